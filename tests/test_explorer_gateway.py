"""The explorer's gateway: who is let in, and what it answers, against a real server."""

import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import InvalidStatus

from explorer_toys import Explored, Heard, Page, explored, page
from graftscope.client import AsyncClient, Blend, Client, Edit, Intervention, LatentPairs, Method
from graftscope.client.cli import run
from graftscope.client.errors import InputError, UsageError
from graftscope.client.models import ImageFormat, Model
from graftscope.client.values import LayerModules
from graftscope.explorer import Way, listening
from graftscope.explorer._asked import Show, Step
from graftscope.explorer._findings import Told
from graftscope.explorer._hybrids import RAW_BYTES, Hybrids
from graftscope.explorer._originals import Sample
from graftscope.explorer._recipes import recipe
from server_toys import Stubs

MODEL = "toy-vae"
LAYER = "deconv1"
BLOCKS = "fc"
PAIRS = 256


@pytest.fixture(scope="module")
def running(toy_server: Stubs) -> Iterator[Explored]:
    with explored(toy_server.address) as started:
        yield started


@pytest.fixture
def open_page(running: Explored) -> Iterator[Page]:
    with page(running) as opened:
        yield opened


def step(*channels: int, weight: float = 1.0, layer: str = LAYER) -> dict[str, object]:
    return {"layer": layer, "channels": list(channels), "weight": weight}


def show(*steps: dict[str, object], seeds: tuple[int, int] = (7, 8)) -> dict[str, object]:
    return {
        "ask": "show",
        "model": MODEL,
        "originals": [original(seed) for seed in seeds],
        "truncation": 1,
        "steps": list(steps),
    }


def original(seed: int, inputs: object = {}, photograph: object = None) -> dict[str, object]:
    return {"seed": seed, "inputs": inputs, "photograph": photograph}


def of_photograph(letters: str) -> dict[str, object]:
    return original(7, photograph={"name": "me.jpg", "latents": {"z": letters}})


def with_first(first: object) -> dict[str, object]:
    return {**show(), "originals": [first, original(8)]}


# Who is let in.


def test_an_address_opens_the_page_once_and_is_followed_by_another(running: Explored) -> None:
    address = urlsplit(running.addresses[-1])
    path = f"{address.path}?{address.query}"
    status, headers, _ = running.get(path)
    assert (status, headers["location"]) == (303, "/")
    for word in ("HttpOnly", "SameSite=lax"):
        assert word in headers["set-cookie"]
    status, _, body = running.get(path)
    assert status == 403
    assert b"does not know this browser" in body
    assert running.addresses[-1] != address.geturl()


def test_the_page_and_its_files_are_for_browsers_that_were_let_in(running: Explored) -> None:
    cookie = running.admitted()
    status, headers, body = running.get(Cookie=cookie)
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    for attribute in (b'src="', b'href="'):
        name = body.split(attribute, 1)[1].split(b'"', 1)[0].decode().removeprefix(".")
        assert running.get(name, Cookie=cookie)[0] == 200
        assert running.get(name)[0] == 403
    assert running.get("/assets/nothing.js", Cookie=cookie)[0] == 404
    assert running.get("/assets/..%2findex.html", Cookie=cookie)[0] == 404


FOREIGN = {
    "another name for this machine": {"Host": "rebound.example"},
    "another port": {"Host": "127.0.0.1:1"},
    "another page": {"Origin": "https://elsewhere.example"},
    "a page without an origin": {"Origin": "null"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_requests_from_elsewhere_are_refused_even_with_the_cookie(
    running: Explored, headers: dict[str, str]
) -> None:
    assert running.get(**{"Cookie": running.admitted(), **headers})[0] == 403


def test_only_the_page_itself_can_connect(running: Explored) -> None:
    cookie = running.admitted()
    with page(running, cookie) as opened:
        assert opened.answer(ask="models").said["models"]
    for wrong in (
        {"cookie": "graftscope=guessed"},
        {"cookie": cookie, "origin": "https://elsewhere.example"},
        {"cookie": cookie, "origin": f"http://127.0.0.1:{1}"},
    ):
        with pytest.raises(InvalidStatus) as refused, page(running, **wrong):
            pass
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.7:80", "[::]:0", "example.org:80"])
def test_no_other_machine_is_listened_to_and_the_refusal_says_what_to_do(address: str) -> None:
    with pytest.raises(UsageError, match="ssh -L"):
        listening(address)


def test_a_port_that_is_taken_is_told_and_the_usual_one_makes_way() -> None:
    with listening("0") as first:
        port = first.getsockname()[1]
        with pytest.raises(InputError, match=r"choose another port with --listen"):
            listening(f"127.0.0.1:{port}")
    with listening(None) as one, listening(None) as other:
        assert one.getsockname()[1] != other.getsockname()[1]
    with pytest.raises(InputError, match="malformed"):
        listening("localhost")


# What it answers.


def test_models_are_told_with_their_layers_and_costs(open_page: Page, toy_server: Stubs) -> None:
    told = {each["name"]: each for each in open_page.answer(ask="models").said["models"]}
    with Client(toy_server.address) as client:
        for model in client.models():
            layers = told[model.name]["layers"]
            assert [each["name"] for each in layers] == [each.name for each in model.layers]
            assert [tuple(each["shape"]) for each in layers] == [x.shape for x in model.layers]


def test_a_hybrid_is_the_clients_to_the_level(open_page: Page, toy_server: Stubs) -> None:
    found = open_page.answer(**show(step(0, 3, weight=0.6), step(1, layer="deconv2")))
    with Client(toy_server.address) as client:
        first, second = (client.generate(MODEL, count=1, seed=seed).latents for seed in (7, 8))
        edits = [Edit(LAYER, [0, 3], action=Blend(0.6)), Edit("deconv2", [1], action=Blend(1.0))]
        with client.explore(
            MODEL, originals=LatentPairs(first, second), eight_bits=True
        ) as session:
            expected = session.show(Intervention(edits))
            originals = session.originals
    assert expected is not None
    for name, images in (
        ("original1", originals.original1),
        ("original2", originals.original2),
        ("hybrid", expected.hybrid),
    ):
        assert images is not None
        np.testing.assert_array_equal(found.pictures[name], images[0])


def test_originals_come_once_and_again_when_they_change(open_page: Page) -> None:
    first = open_page.answer(**show(step(0)))
    assert list(first.pictures) == ["original1", "original2", "hybrid"]
    assert list(open_page.answer(**show(step(1))).pictures) == ["hybrid"]
    nothing = open_page.answer(**show())
    assert nothing.said["is_original1"]
    assert not nothing.pictures
    other = open_page.answer(**show(step(0), seeds=(8, 7)))
    np.testing.assert_array_equal(other.pictures["original1"], first.pictures["original2"])


def test_every_question_is_answered_and_the_last_with_its_picture(open_page: Page) -> None:
    numbers = [open_page.ask(**show(step(0, 1, weight=at / 50))) for at in range(50)]
    answers: dict[int, Heard] = {}
    while len(answers) < len(numbers):
        found = open_page.hear()
        answers[found.said["id"]] = found
    assert sorted(answers) == numbers
    last = open_page.answer(**show(step(0, 1, weight=49 / 50)))
    np.testing.assert_array_equal(answers[numbers[-1]].pictures["hybrid"], last.pictures["hybrid"])
    for number in numbers[:-1]:
        assert answers[number].said.get("outdated") or "hybrid" in answers[number].pictures


def test_originals_that_change_while_one_drags_end_with_the_last_ones(open_page: Page) -> None:
    for at in range(20):
        open_page.ask(**show(step(0, weight=0.5), seeds=(at, 99)))
    last = open_page.ask(**show(step(0), seeds=(3, 4)))
    while (found := open_page.hear()).said["id"] != last:
        pass
    with_itself = open_page.answer(**show(step(0), seeds=(3, 3)))
    assert set(found.pictures) == {"original1", "original2", "hybrid"}
    np.testing.assert_array_equal(found.pictures["original1"], with_itself.pictures["original1"])


async def test_large_pictures_come_as_files_of_the_same_levels(toy_server: Stubs) -> None:
    asked = Show(MODEL, (Sample(7), Sample(8)), (Step(LAYER, (0, 3), 0.6),))
    async with AsyncClient(toy_server.address) as client:
        shown = []
        for raw_bytes in (RAW_BYTES, 0):
            hybrids = Hybrids(client, raw_bytes)
            found = await hybrids.show(asked)
            await hybrids.close()
            assert found is not None
            shown.append({each.name: each.pixels for each in found.pictures})
    raw, files = shown
    assert list(raw) == list(files) == ["original1", "original2", "hybrid"]
    for name, file in files.items():
        assert isinstance(file, bytes)
        with Image.open(io.BytesIO(file)) as picture:
            np.testing.assert_array_equal(np.asarray(picture), raw[name])


WRONG = {
    "no such question": ({"ask": "dance"}, "ask", "there are: models, show, "),
    "one original": ({**show(), "originals": [original(7)]}, "originals", "one of each original"),
    "an original that is a number": (with_first(7), "originals", "a JSON object"),
    "an input that there is not": (with_first(original(7, {"label": 1})), "", "label"),
    "an input that is text": (with_first(original(7, {"z": "1"})), "inputs", "must be a number"),
    "a seed below 0": (with_first(original(-1)), "seed", "from 0 to 4294967295"),
    "an input's seed below 0": (
        with_first(original(7, {"z": {"seed": -1}})),
        "inputs",
        "'z': seed",
    ),
    "noise that there is not": (with_first(original(7, {"n": {"seed": 1}})), "", "'n' is not in"),
    "a truncation above 1": ({**show(), "truncation": 2}, "truncation", "from 0 to 1"),
    "latents that are no base64": (with_first(of_photograph("*")), "latents", "base64"),
    "another model's photograph": (with_first(of_photograph("AAAA")), "latents", "another model's"),
    "a weight that is text": (show({**step(0), "weight": "1"}), "weight", "from -10 to 10"),
    "channels that are text": (show({**step(0), "channels": "0"}), "channels", "list of numbers"),
    "no such channel": (show(step(99)), "channels", "99"),
    "a channel twice": (show(step(0, 0)), "channels", "more than once"),
    "no such layer": (show(step(0, layer="conv9")), "layer", "conv9"),
    "no such model": ({**show(), "model": "none"}, "", "toy-vae"),
    "no modules": ({"ask": "modules", "model": MODEL, "layer": LAYER, "k": 0}, "k", "from 1 to"),
}


@pytest.mark.parametrize(("question", "field", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_in_words_and_the_page_goes_on(
    open_page: Page, question: dict[str, object], field: str, words: str
) -> None:
    open_page.answer(**show(step(1)))
    error = open_page.refusal(**question)
    assert words in error["message"]
    if field:
        assert field in error["field"]
    assert "hybrid" in open_page.answer(**show(step(0))).pictures


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"id": 0, "ask": "models"}', "[" * 99_999])
def test_what_is_no_question_is_answered_with_number_0(open_page: Page, text: str) -> None:
    open_page.say(text)
    assert open_page.hear().said["id"] == 0
    assert open_page.answer(ask="models").said["models"]


def test_a_wrong_question_keeps_its_number(open_page: Page) -> None:
    open_page.say(json.dumps({"id": 41, "ask": "show"}))
    assert open_page.hear().said["id"] == 41


# How it is made without the page.


def test_the_command_line_makes_the_same_picture(
    open_page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (step(0, 3, weight=0.6), step(1, layer="deconv2"))
    shown = open_page.answer(**show(*steps)).pictures["hybrid"]
    told = open_page.answer(**{**show(*steps), "ask": "recipe"}).said["recipe"]
    monkeypatch.chdir(tmp_path)
    commands, _, rest = told["cli"].partition("cat > graft.json <<'END'\n")
    graft, _, last = rest.partition("\nEND\n")
    Path("graft.json").write_text(graft)
    for command in [*commands.splitlines(), last]:
        name, *words = shlex.split(command)
        assert name == "graftscope"
        assert run(words) == 0
    with Image.open("hybrid/0000-hybrid.png") as made:
        np.testing.assert_array_equal(np.asarray(made), shown)
    assert Intervention.from_json(told["json"]) == Intervention.load("graft.json")


def test_python_makes_the_same_picture(open_page: Page) -> None:
    shown = open_page.answer(**show(step(0, 3))).pictures["hybrid"]
    told = open_page.answer(**{**show(step(0, 3)), "ask": "recipe"}).said["recipe"]
    names: dict[str, Any] = {}
    exec(told["python"], names)
    made = names["made"].hybrid[0].transpose(1, 2, 0)
    np.testing.assert_allclose((made + 1) / 2 * 255, shown, atol=1)


def test_without_grafts_original_1_is_made(open_page: Page) -> None:
    told = open_page.answer(**{**show(), "ask": "recipe"}).said["recipe"]
    assert told["cli"].startswith("graftscope generate --seed 7 --count 1 ")
    assert told["json"] == ""
    names: dict[str, Any] = {}
    exec(told["python"], names)
    assert len(names["made"].images) == 1


def test_a_recipe_says_what_seeds_do_not_draw_and_where_the_server_is() -> None:
    shown = Show("digits", (Sample(7, (("label", 3),)), Sample(8)), (Step("conv", (0,), 1.0),))
    image = ImageFormat(1, 4, 4, 0.0, 1.0)
    model = Model("digits", "", (), image, (), has_encoder=False, manifest={})
    told = recipe(shown, Way(bundles=("a b",)), model)
    first, second, *_ = str(told["cli"]).splitlines()
    assert "--model digits " in first
    assert first.endswith("--fix label=3 --bundle 'a b'")
    assert "--fix" not in second
    assert "client.generate('digits', count=1, seed=7, fix={'label': 3})" in str(told["python"])
    assert "Client(bundles=['a b'])" in str(told["python"])


# Modules.


def modules_of(opened: Page, k: int) -> tuple[dict[str, Any], Heard]:
    """Ask for modules, and wait for the last ones."""
    number = opened.ask(ask="modules", model="toy-blocks", layer=BLOCKS, k=k, pairs=PAIRS)
    while True:
        found = opened.hear()
        assert found.said["id"] == number, found.said
        assert "error" not in found.said, found.said
        if "modules" in found.said and found.said["modules"]["final"]:
            return found.said["modules"], found


def test_modules_that_are_known_are_found_whatever_is_asked_first(running: Explored) -> None:
    with page(running) as opened:
        modules, found = modules_of(opened, 2)
        assert {tuple(each["channels"]) for each in modules["each"]} == {(0, 1), (2, 3)}
        for index, each in enumerate(modules["each"]):
            left = each["channels"] == [0, 1]
            template = found.pictures[f"template{index}"][..., 0]
            assert (template[:, :4].sum() > template[:, 4:].sum()) == left
            assert 0 < each["influence_error"] < each["influence"] < 1
            assert each["sure"] == 2
        assert modules["pairs"] == found.said["job"]["pairs"] == PAIRS
        assert len(modules_of(opened, 3)[0]["each"]) == 3
    with page(running) as opened:
        assert modules_of(opened, 2)[0] == modules


def test_a_search_that_is_stopped_ends_and_goes_on_when_it_is_asked_for_again(
    running: Explored,
) -> None:
    about: dict[str, Any] = {"model": MODEL, "layer": LAYER}
    with page(running) as opened:
        number = opened.ask(ask="modules", k=2, pairs=PAIRS, **about)
        stop = 0
        while True:
            found = opened.hear()
            if found.said["id"] == number and not stop:
                stop = opened.ask(ask="stop", **about)
            if found.said["id"] == number and found.said["job"]["done"]:
                break
        assert found.said["job"]["state"] in ("cancelled", "done")
        number = opened.ask(ask="modules", k=2, pairs=PAIRS, **about)
        while not (found.said["id"] == number and found.said.get("modules", {}).get("final")):
            found = opened.hear()
        assert found.said["modules"]["pairs"] == PAIRS


def test_modules_that_are_found_again_keep_the_places_that_they_had() -> None:
    def found(*labels: int) -> LayerModules:
        channels, modules = len(labels), max(labels) + 1
        return LayerModules(
            np.array(labels),
            np.zeros((modules, 2, 2)),
            np.zeros(channels),
            np.zeros((channels, modules)),
            Method.NMF,
        )

    told = Told()
    assert told.order(found(0, 0, 1, 1, 2)) == [0, 1, 2]
    told.members = [frozenset({0, 1}), frozenset({2, 3}), frozenset({4})]
    assert told.order(found(1, 1, 2, 2, 0)) == [1, 2, 0]
    assert told.order(found(2, 2, 2, 0, 1)) == [2, 0, 1]
