"""What the explorer gives to take along: files that the client's own calls would write."""

import io
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from explorer_toys import Explored, Heard, Page, explored, page
from graftscope.client import Blend, Client, Edit, Intervention, LatentPairs
from graftscope.client.cli import run
from graftscope.client.values import HybridResult
from server_toys import Stubs

MODEL = "toy-vae"
STEPS = [
    {"layer": "deconv1", "channels": [0, 3], "weight": 0.6},
    {"layer": "deconv2", "channels": [1], "weight": 1},
]
GRAFT = Intervention(
    [Edit("deconv1", [0, 3], action=Blend(0.6)), Edit("deconv2", [1], action=Blend(1.0))]
)
SHOWN = {"model": MODEL, "originals": [{"seed": 7}, {"seed": 8}], "steps": STEPS}
FILM: dict[str, Any] = {**SHOWN, "ask": "take", "first": -1, "last": 2, "frames": 4}


@pytest.fixture(scope="module")
def running(toy_server: Stubs) -> Iterator[Explored]:
    with explored(toy_server.address) as started:
        yield started


@pytest.fixture
def open_page(running: Explored) -> Iterator[Page]:
    with page(running) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(toy_server: Stubs) -> Iterator[Client]:
    with Client(toy_server.address) as connected:
        yield connected


def originals(client: Client) -> LatentPairs:
    first, second = (client.generate(MODEL, count=1, seed=seed).latents for seed in (7, 8))
    return LatentPairs(first, second)


def taken(opened: Page, **question: Any) -> tuple[list[list[int]], Heard]:
    """Ask for a file: how far it was, each time that was told, and the answer."""
    number, told = opened.ask(**question), []
    while "progress" in (found := opened.hear()).said:
        assert found.said["id"] == number
        told.append(found.said["progress"])
    return told, found


def test_the_arrays_are_those_of_the_clients_own_hybrid(
    open_page: Page, client: Client, tmp_path: Path
) -> None:
    _, found = taken(open_page, **SHOWN, ask="take", form="npz")
    path = tmp_path / "taken.npz"
    path.write_bytes(found.files["file"])
    known = client.hybridize(MODEL, intervention=GRAFT, originals=originals(client))
    with np.load(path) as arrays:
        assert list(arrays) == list(known.arrays()) == ["original1", "original2", "hybrid"]
        for name, array in known.arrays().items():
            np.testing.assert_array_equal(arrays[name], array)
    assert HybridResult.load(path) == known


@pytest.mark.parametrize("form", ["png", "gif", "webp"])
def test_a_film_is_the_strip_that_the_client_draws(
    open_page: Page, client: Client, tmp_path: Path, form: str
) -> None:
    told, found = taken(open_page, **FILM, form=form)
    assert told == [[made, 4] for made in range(5)]
    strip = client.strip(
        MODEL, intervention=GRAFT, originals=originals(client), strengths=[-1, 0, 1, 2]
    )
    strip.draw(tmp_path / f"known.{form}")
    assert found.files["file"] == (tmp_path / f"known.{form}").read_bytes()
    assert found.said["clipped"] == strip.clipped


def test_an_animation_there_and_back_ends_beside_where_it_began(open_page: Page) -> None:
    frames = []
    for back in (False, True):
        _, found = taken(open_page, **FILM, form="webp", there_and_back=back)
        with Image.open(io.BytesIO(found.files["file"])) as film:
            shown = []
            for at in range(film.n_frames):  # type: ignore[attr-defined]  # of animations
                film.seek(at)
                shown.append(np.asarray(film.convert("RGB")))
        frames.append(shown)
    there, and_back = frames
    np.testing.assert_array_equal(and_back, [*there, there[2], there[1]])


@pytest.mark.parametrize("form", ["png", "webp"])
def test_the_command_line_makes_the_same_film(
    open_page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    asked = {**FILM, "form": form, "there_and_back": True}
    _, found = taken(open_page, **asked)
    told = open_page.answer(**{**asked, "ask": "film"}).said["recipe"]["film"]
    monkeypatch.chdir(tmp_path)
    commands, _, rest = told.partition("cat > graft.json <<'END'\n")
    graft, _, last = rest.partition("\nEND\n")
    Path("graft.json").write_text(graft)
    for command in [*commands.splitlines(), last]:
        assert run(shlex.split(command)[1:]) == 0
    with (
        Image.open(f"strip.{form}") as made,
        Image.open(io.BytesIO(found.files["file"])) as shown,
    ):
        assert made.size == shown.size
        for at in range(getattr(shown, "n_frames", 1)):
            made.seek(at)
            shown.seek(at)
            np.testing.assert_array_equal(np.asarray(made), np.asarray(shown))


def test_a_film_that_nobody_wants_any_more_ends(open_page: Page) -> None:
    number = open_page.ask(**{**FILM, "frames": 121}, form="png")
    assert open_page.hear().said["progress"] == [0, 121]
    stop = open_page.ask(ask="leave")
    last: dict[int, dict[str, Any]] = {number: {}}
    while stop not in last or "stopped" not in last[number]:
        said = open_page.hear().said
        last[said["id"]] = said
    assert "file" not in last[number]


WRONG = {
    "another form": ({"form": "tiff"}, "form", "png"),
    "one frame": ({"frames": 1}, "frames", "from 2 to 121"),
    "no way to go": ({"first": 1, "last": 1}, "last", "stands still"),
    "a strength that is text": ({"first": "0"}, "first", "must be a number"),
    "nothing grafted": ({"steps": []}, "steps", "nothing is grafted"),
}


@pytest.mark.parametrize(("part", "field", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_taken_is_told_in_words(
    open_page: Page, part: dict[str, Any], field: str, words: str
) -> None:
    error = open_page.refusal(**{**FILM, "form": "png", **part})
    assert error["field"] == field
    assert words in error["message"]
