"""Originals of the explorer that are more than a seed, against a real server."""

import asyncio
import base64
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from explorer_toys import Explored, Page, explored, page
from graftscope.client import AsyncClient, Client, LatentPairs
from graftscope.client.cli import run
from graftscope.explorer._asked import Show
from graftscope.explorer._hybrids import Hybrids
from graftscope.explorer._originals import Sample
from server_toys import Stubs

MODEL, NOISY = "toy-vae", "toy-skip"
STEP = {"layer": "deconv1", "channels": [0, 3], "weight": 0.6}


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
    with Client(toy_server.address) as opened:
        yield opened


def latents_of(client: Client) -> NDArray[np.float32]:
    """What the encoder makes of a picture: (1, Z)."""
    size = client.model(MODEL).image
    shape = (1, size.height, size.width, size.channels)
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return np.asarray(client.encode(MODEL, picture).mean["z"], np.float32)


def photograph(latents: NDArray[np.float32]) -> dict[str, object]:
    letters = base64.b64encode(latents.astype("<f4").tobytes()).decode()
    return {"seed": 7, "inputs": {}, "photograph": {"name": "me.jpg", "latents": {"z": letters}}}


def show(
    *originals: dict[str, object], steps: object = (), truncation: float = 1, model: str = MODEL
) -> dict[str, object]:
    asked = {"model": model, "originals": originals, "truncation": truncation, "steps": steps}
    return {"ask": "show", **asked}


def of_seed(seed: int, **inputs: object) -> dict[str, object]:
    return {"seed": seed, "inputs": inputs, "photograph": None}


def pictures_of(client: Client, model: str, **latents: NDArray[np.generic]) -> NDArray[np.uint8]:
    """What latents make: (H, W, c)."""
    given = LatentPairs(latents, latents)
    with client.explore(model, originals=given, eight_bits=True) as session:
        made = session.originals.original1
    assert made is not None
    return np.asarray(made[0])


def test_a_photographs_encoding_is_an_original_to_the_level(
    open_page: Page, client: Client
) -> None:
    latents = latents_of(client)
    shown = open_page.answer(**show(of_seed(7), photograph(latents))).pictures
    np.testing.assert_array_equal(shown["original2"], pictures_of(client, MODEL, z=latents))
    assert not np.array_equal(shown["original1"], shown["original2"])


def test_truncation_pulls_what_seeds_draw_to_the_mean_and_leaves_photographs(
    open_page: Page, client: Client
) -> None:
    latents = latents_of(client)
    drawn = np.asarray(client.generate(MODEL, count=1, seed=7).latents["z"], np.float32)
    for psi in (0.0, 0.5):
        asked = show(of_seed(7), photograph(latents), truncation=psi)
        shown = open_page.answer(**asked).pictures
        expected = pictures_of(client, MODEL, z=np.asarray(psi * drawn, np.float32))
        np.testing.assert_array_equal(shown["original1"], expected)
        np.testing.assert_array_equal(shown["original2"], pictures_of(client, MODEL, z=latents))


def test_an_input_of_another_seed_is_that_seeds_and_the_rest_is_not(
    open_page: Page, client: Client
) -> None:
    own, other = (client.generate(NOISY, count=1, seed=seed).latents for seed in (7, 3))
    asked = show(of_seed(7, noise={"seed": 3}), of_seed(8), model=NOISY)
    expected = pictures_of(client, NOISY, z=own["z"], noise=other["noise"])
    np.testing.assert_array_equal(open_page.answer(**asked).pictures["original1"], expected)


def test_a_number_is_given_to_an_input_as_it_is(open_page: Page, client: Client) -> None:
    asked = show(of_seed(7, z=0.25), of_seed(8), truncation=0.5)
    expected = pictures_of(client, MODEL, z=np.full((1, 8), 0.25, np.float32))
    np.testing.assert_array_equal(open_page.answer(**asked).pictures["original1"], expected)


class Counting(AsyncClient):
    """A client that tells which seeds were drawn."""

    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.seeds: asyncio.Queue[int] = asyncio.Queue()

    async def generate(self, model: str, **named: Any) -> Any:
        made = await super().generate(model, **named)
        self.seeds.put_nowait(named["seed"])
        return made


async def test_neighbours_are_drawn_while_nothing_is_asked_for_and_not_again(
    toy_server: Stubs,
) -> None:
    async with Counting(toy_server.address) as counting:
        hybrids = Hybrids(counting)
        await hybrids.show(Show(MODEL, (Sample(7), Sample(20)), ()))
        drawn = [await counting.seeds.get() for _ in range(6)]
        assert drawn == [7, 20, 8, 6, 21, 19]
        await hybrids.show(Show(MODEL, (Sample(8), Sample(20)), ()))
        assert await counting.seeds.get() == 9
        await hybrids.close()


ORIGINALS = {
    "a photograph and a truncated seed": "encoded",
    "two seeds and one input of a third": "drawn",
}


@pytest.mark.parametrize("kind", ORIGINALS.values(), ids=ORIGINALS)
@pytest.mark.parametrize("steps", [(), (STEP,)], ids=["original 1", "a hybrid"])
def test_the_command_line_and_python_make_the_same_picture(
    open_page: Page,
    client: Client,
    kind: str,
    steps: tuple[dict[str, Any], ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind == "encoded":
        asked = show(photograph(latents_of(client)), of_seed(8), steps=steps, truncation=0.7)
    else:
        layer = client.model(NOISY).layers[-1].name
        there = [{**each, "layer": layer, "channels": [0]} for each in steps]
        noisy = of_seed(7, noise={"seed": 3})
        asked = show(noisy, of_seed(8), steps=there, truncation=0.7, model=NOISY)
    shown = open_page.answer(**asked).pictures["hybrid" if steps else "original1"]
    told = open_page.answer(**{**asked, "ask": "recipe"}).said["recipe"]
    monkeypatch.chdir(tmp_path)
    run_commands(told["cli"])
    (file,) = [*Path("hybrid").glob("*hybrid.png"), *Path("original1").glob("*.png")]
    with Image.open(file) as made:
        np.testing.assert_array_equal(np.asarray(made).reshape(shown.shape), shown)
    names: dict[str, Any] = {}
    exec(told["python"], names)
    again = (names["made"].hybrid if steps else names["made"].images)[0].transpose(1, 2, 0)
    low, high = client.model(str(asked["model"])).image.range
    np.testing.assert_allclose((again.clip(low, high) - low) / (high - low) * 255, shown, atol=1)


def run_commands(text: str) -> None:
    """Do what a shell does with a recipe: the commands, and what is written between them."""
    parts = re.split(r"^([^\n]+) <<'END'\n(.*?)\nEND$", text, flags=re.M | re.S)
    for commands, here, written in zip(
        parts[::3], [*parts[1::3], ""], [*parts[2::3], ""], strict=True
    ):
        for command in filter(None, commands.splitlines()):
            name, *words = shlex.split(command)
            assert name == "graftscope"
            assert run(words) == 0
        match shlex.split(here):
            case ["cat", ">", file]:
                Path(file).write_text(written)
            case ["base64", "-d", ">", file]:
                Path(file).write_bytes(base64.b64decode(written))
            case ["python", "-"]:
                exec(written, {})
            case other:
                assert other == []
