"""A region of the picture in the explorer: what acts there, and what spills, of known truth.

The generator's 24 channels act in one quarter of the picture each, `BUMP_GROUPS` says in which.
"""

import asyncio
import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from display_toys import JOB
from explorer_toys import Explored, Page, explored, page
from graftscope.client import (
    AsyncClient,
    Client,
    InfluenceTask,
    PartialResult,
    find_channels,
    rectangle_region,
)
from graftscope.client.cli import run
from graftscope.explorer import Way
from graftscope.explorer._regions import Regions
from server_toys import Stubs
from test_client_results import INFLUENCE
from torch_toys import BUMP_GROUPS, BUMP_SIDE

MODEL, LAYER, PAIRS = "toy-bumps", "fc", 64
HALF = BUMP_SIDE // 2
SIZE = {"height": BUMP_SIDE, "width": BUMP_SIDE}
MODULES = [[at for at, each in enumerate(BUMP_GROUPS) if each == group] for group in range(4)]
QUARTERS = [[row * HALF, column * HALF, HALF, HALF] for row in (0, 1) for column in (0, 1)]


@pytest.fixture(scope="module")
def job(bumps_server: Stubs) -> str:
    with Client(bumps_server.address) as client:
        return client.influence(MODEL, LAYER, pairs=PAIRS).operation


@pytest.fixture(scope="module")
def running(bumps_server: Stubs) -> Iterator[Explored]:
    with explored(bumps_server.address) as started:
        yield started


@pytest.fixture(scope="module")
def open_page(running: Explored) -> Iterator[Page]:
    with page(running) as opened:
        yield opened


def asked(job: str, region: dict[str, Any]) -> dict[str, Any]:
    about = {"model": MODEL, "layer": LAYER, "job": job, "pairs": PAIRS, "pairs_wanted": PAIRS}
    return {"ask": "find", **about, "modules": MODULES, "region": {**SIZE, **region}}


def runs(inside: np.ndarray) -> list[int]:
    """Lengths of what is outside and inside in turn, counted one pixel after another."""
    lengths, now = [0], False
    for each in inside.ravel():
        if bool(each) != now:
            lengths.append(0)
            now = not now
        lengths[-1] += 1
    return lengths


@pytest.mark.parametrize("group", range(4))
def test_a_quarter_ranks_exactly_its_own_channels_and_module_first(
    open_page: Page, job: str, group: int
) -> None:
    told = open_page.answer(**asked(job, {"rectangle": QUARTERS[group]})).said
    assert sorted(told["found"]) == MODULES[group]
    assert sorted(told["ranked"][:6]) == MODULES[group]
    assert len(told["ranked"]) == 24
    assert told["modules"][0]["module"] == group
    assert (told["pairs"], told["final"]) == (PAIRS, True)


def test_the_numbers_are_the_clients_own_as_shares_of_the_range(
    open_page: Page, job: str, bumps_server: Stubs
) -> None:
    told = open_page.answer(**asked(job, {"rectangle": QUARTERS[1]})).said
    with Client(bumps_server.address) as client:
        maps = client.influence(MODEL, LAYER, pairs=PAIRS)
    top, left, height, width = QUARTERS[1]
    where = rectangle_region(
        top, left, height, width, image_height=BUMP_SIDE, image_width=BUMP_SIDE
    )
    expected = find_channels(maps, where).contrast
    for each in told["channels"]:
        at = each["channel"]
        for name in ("inside", "outside"):
            value = getattr(expected, name)[at] / maps.range_width
            error = getattr(expected, f"{name}_stderr")[at] / maps.range_width
            np.testing.assert_allclose([each[name], each[f"{name}_error"]], [value, error])
        assert each["certain"] == expected.certain[at]
    # Independently of the client: the module's channels, pixel by pixel.
    inside = np.mean([maps.maps[at][:HALF, HALF:].mean() for at in MODULES[1]])
    np.testing.assert_allclose(told["modules"][0]["inside"], inside / maps.range_width)


def test_a_job_that_was_stopped_is_searched_as_far_as_it_is(
    open_page: Page, bumps_server: Stubs
) -> None:
    with Client(bumps_server.address) as client:
        task = InfluenceTask(MODEL, LAYER, pairs=1_000_000)
        begun = client.start(task)
        for state in client.watch(begun.name):
            if state.pairs_done > 0 and not state.done:
                client.cancel(begun.name)
    told = open_page.answer(**asked(begun.name, {"rectangle": QUARTERS[0]})).said
    assert 0 < told["pairs"] < task.pairs
    assert not told["final"]
    assert sorted(told["ranked"][:6]) == MODULES[0]


def test_maps_of_a_running_job_are_read_anew_when_the_page_knows_of_more() -> None:
    read: list[bool] = []

    class Running:
        async def partial(self, name: str) -> PartialResult:
            read.append(len(read) == 2)
            now = replace(INFLUENCE, pairs=(32, 64, 64)[len(read) - 1], is_partial=not read[-1])
            return PartialResult(JOB, now, {})

    async def asked_for() -> list[tuple[int, bool]]:
        regions = Regions(cast(AsyncClient, Running()), Way())
        known = [(32, False), (32, False), (64, False), (64, True), (64, True)]
        maps = [await regions._measured("job", *each) for each in known]
        return [(each.pairs, each.is_partial) for each in maps]

    told = asyncio.run(asked_for())
    assert told == [(32, True), (32, True), (64, True), (64, False), (64, False)]
    assert len(read) == 3


def test_a_brushed_region_and_the_rectangle_of_the_same_pixels_find_the_same(
    open_page: Page, job: str
) -> None:
    inside = np.zeros((BUMP_SIDE, BUMP_SIDE), bool)
    inside[HALF:, :HALF] = True
    brushed = open_page.answer(**asked(job, {"runs": runs(inside)})).said
    drawn = open_page.answer(**asked(job, {"rectangle": QUARTERS[2]})).said
    assert "--region region.png" in brushed["command"]
    for name in ("found", "ranked", "channels", "modules"):
        assert brushed[name] == drawn[name]


def test_the_command_finds_the_same_channels(
    open_page: Page, job: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = open_page.answer(**asked(job, {"rectangle": QUARTERS[3]})).said
    words = shlex.split(told["command"])
    assert words[:4] == ["graftscope", "find", "--region", "16,16,16,16"]
    assert run([*words[1:], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["channels"] == told["found"]
    assert found["ranked"] == told["ranked"]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "beyond the picture": ({"rectangle": [0, 0, 33, 4]}, "reaches beyond"),
    "three sides": ({"rectangle": [0, 0, 4]}, "four numbers"),
    "the whole picture": ({"rectangle": [0, 0, 32, 32]}, "whole image"),
    "nothing": ({"runs": [1024]}, "no inside"),
    "of another size": (
        {"height": 4096, "width": 4096, "runs": [0, 1 << 24]},
        "is of a picture of 4096 x 4096; this model's are 32 x 32",
    ),
    "runs of another picture": ({"runs": [10, 10]}, "20 pixels are not of a picture of 32 x 32"),
    "another picture": ({"height": 48, "rectangle": [0, 0, 4, 4]}, "48 x 32"),
    "too many pixels": ({"height": 1 << 20, "width": 1 << 20}, "width"),
    "neither": ({}, "runs must be a list"),
}


@pytest.mark.parametrize(("region", "words"), WRONG.values(), ids=WRONG)
def test_a_region_that_is_none_is_refused_in_words(
    open_page: Page, job: str, region: dict[str, Any], words: str
) -> None:
    assert words in open_page.refusal(**asked(job, region))["message"]
