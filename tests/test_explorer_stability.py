"""How stable each number of modules is, on the explorer's page: a generator of four modules."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from browser_toys import Browser, with_chromium
from explorer_toys import Explored, Page, explored, page
from graftscope.client import (
    Client,
    InfluenceTask,
    JobKind,
    JobState,
    Method,
    StabilityResult,
    StabilityTask,
)
from page_toys import AXE, DESK, Opened, behind, button, watched
from server_toys import Stubs
from torch_toys import BUMP_GROUPS

MODEL, LAYER, PAIRS = "toy-bumps", "fc", 128
MODULES = max(BUMP_GROUPS) + 1
ASK = "How stable is each number of modules?"
SLIDER = "document.querySelector('.curve input')"
CELLS = (
    "[...document.querySelectorAll('.curve tbody tr')]"
    ".map(row => [...row.children].map(each => each.textContent))"
)


@pytest.fixture(scope="module")
def client(bumps_server: Stubs) -> Iterator[Client]:
    with Client(bumps_server.address) as connected:
        yield connected


@pytest.fixture(scope="module")
def bumps_explorer(bumps_server: Stubs) -> Iterator[Explored]:
    with explored(bumps_server.address) as running:
        yield running


@pytest.fixture
def open_page(bumps_explorer: Explored) -> Iterator[Page]:
    with page(bumps_explorer) as opened:
        yield opened


def _maps(client: Client, pairs: int) -> str:
    job = client.start(InfluenceTask(MODEL, LAYER, pairs=pairs))
    client.wait(job.name)
    return job.name


def _jobs(client: Client, maps: str) -> list[str]:
    """Stability jobs of these maps."""
    of = client.job(maps).maps
    return [each.name for each in client.jobs(kinds=[JobKind.STABILITY]) if each.maps == of]


def _stored(client: Client) -> StabilityResult:
    """What the server has of the maps of `PAIRS` pairs."""
    return client.stability(_maps(client, PAIRS), range(2, 6), [Method.NMF], repeats=3)


def test_the_curve_has_the_numbers_of_the_client_and_suggests_the_number_of_blocks(
    open_page: Page, client: Client
) -> None:
    maps = _maps(client, PAIRS)
    found = _stored(client)
    curve = open_page.answer(ask="stability", maps=maps, start=False).said["curve"]
    at = found.methods.index(Method.NMF)
    assert [each["k"] for each in curve["points"]] == found.k.tolist()
    for name, values in (
        ("consistency", found.consistency_mean),
        ("sd", found.consistency_sd),
        ("chance", found.chance),
        ("settled", found.settled),
    ):
        np.testing.assert_array_equal([each[name] for each in curve["points"]], values[at])
    assert (curve["repeats"], curve["channels"]) == (found.repeats, len(BUMP_GROUPS))
    assert curve["suggested"] == found.suggested[at].k == MODULES
    assert curve["reason"] == found.suggested[at].reason


def test_what_is_stored_is_told_at_once_and_by_whatever_job_it_was_found(
    open_page: Page, client: Client
) -> None:
    maps = _maps(client, 32)
    assert open_page.answer(ask="stability", maps=maps, start=False).said["job"] is None
    client.stability(maps, [3], [Method.KMEANS], repeats=1)
    assert open_page.answer(ask="stability", maps=maps, start=False).said["job"] is None
    mine = client.stability(maps, [3, 4], [Method.NMF], repeats=2)
    told = open_page.answer(ask="stability", maps=maps, start=True).said
    assert told["job"]["name"] == mine.operation
    assert (told["curve"]["repeats"], len(told["curve"]["points"])) == (2, 2)
    assert len(_jobs(client, maps)) == 2


def test_a_job_that_goes_on_is_followed_and_stopped(open_page: Page, client: Client) -> None:
    maps = _maps(client, 64)
    number = open_page.ask(ask="stability", maps=maps, start=True)
    name = open_page.hear().said["job"]["name"]
    # What anybody gets who asks for it by itself.
    assert client.start(StabilityTask(maps)).name == name
    stop = open_page.ask(ask="stop_job", name=name)
    last: dict[str, Any] = {"done": False}
    while not last["done"]:
        said = open_page.hear().said
        assert said["id"] in (number, stop)
        last = said.get("job", last)
    assert last["state"] == "cancelled"
    assert client.job(name).progress.state is JobState.CANCELLED


def test_what_is_no_influence_job_is_refused_in_words(open_page: Page, client: Client) -> None:
    maps = _maps(client, 32)
    job = client.start(StabilityTask(maps, ks=[2], repeats=1))
    client.wait(job.name)
    refusal = open_page.refusal(ask="stability", maps=job.name, start=True)
    assert refusal["field"] == "maps"
    assert "a job of kind stability that is done" in refusal["message"]


@with_chromium
class TestPage:
    """By keys and by mouse."""

    @pytest.fixture
    def here(self, tab: Browser, bumps_explorer: Explored) -> Iterator[Opened]:
        tab.open(bumps_explorer.addresses[-1], DESK)
        with watched(tab, bumps_explorer) as opened:
            yield opened

    def test_what_is_stored_stands_beside_the_slider_that_keys_move(
        self, here: Opened, client: Client
    ) -> None:
        found = _stored(client)
        here.open(behind(model=MODEL, layer=LAYER, pairs=PAIRS))
        here.tab.until(f"{CELLS}.length > 0")
        at = found.methods.index(Method.NMF)
        means, spreads, chances = (
            100 * each[at] for each in (found.consistency_mean, found.consistency_sd, found.chance)
        )
        cells = here.tab.value(CELLS)
        assert [int(k) for k, *_ in cells] == found.k.tolist()
        for (_, told, by_chance), mean, spread, chance in zip(
            cells, means, spreads, chances, strict=True
        ):
            mine, error = (float(each) for each in told.removesuffix("%").split("±"))
            assert mine == pytest.approx(mean, abs=0.51)
            assert error == pytest.approx(spread, abs=0.51)
            assert float(by_chance.removesuffix("%")) == pytest.approx(chance, abs=0.51)
        assert here.tab.value("document.querySelector('.curve text').textContent") == (
            f"suggested: {MODULES}"
        )
        here.tab.value(f"{SLIDER}.focus()")
        here.tab.key("ArrowRight")
        here.tab.key("+")
        here.tab.until(f"{SLIDER}.value === '4'")
        here.tab.until("document.querySelectorAll('.chip .template').length === 4")
        assert "K = 4: 100" in here.tab.value(f"{SLIDER}.ariaValueText").replace("\xa0", " ")

    @pytest.mark.skipif(not AXE.is_file(), reason="axe is not installed: npm ci in explorer/page")
    def test_axe_finds_nothing_in_the_curve(self, here: Opened, client: Client) -> None:
        _stored(client)
        here.open(behind(model=MODEL, layer=LAYER, pairs=PAIRS))
        here.tab.until(f"{CELLS}.length > 0")
        assert here.hindrances() == []

    def test_ticks_and_points_stand_above_the_thumb(self, here: Opened, client: Client) -> None:
        _stored(client)
        here.open(behind(model=MODEL, layer=LAYER, pairs=PAIRS))
        here.tab.until(f"{CELLS}.length > 0")
        for k in (2, 5):
            middle = here.tab.value(
                f"(() => {{const box = document.querySelectorAll('.column')[{k - 2}]"
                ".getBoundingClientRect(); return [box.x + box.width / 2, box.y + 40]})()"
            )
            here.tab.mouse("Pressed", *middle)
            here.tab.mouse("Released", *middle)
            here.tab.until(f"{SLIDER}.value === '{k}'")
            x, y = here.tab.value(
                f"(() => {{const box = {SLIDER}.getBoundingClientRect();"
                " return [box.x, box.y + box.height / 2]})()"
            )
            here.tab.until(
                "(() => {const box = document.querySelector('circle.chosen')"
                f".getBoundingClientRect(); return Math.abs(box.x + box.width / 2 - {middle[0]})"
                " < 1})()"
            )
            # A press where the point stands leaves the thumb where it is: it is there already.
            here.tab.mouse("Pressed", middle[0], y)
            here.tab.mouse("Released", middle[0], y)
            assert x < middle[0]
            assert here.tab.value(f"{SLIDER}.value") == str(k)

    def test_it_is_asked_for_once_there_are_maps_and_moves_nothing(
        self, here: Opened, client: Client
    ) -> None:
        here.open(behind(model=MODEL, layer=LAYER, pairs=96))
        assert here.tab.value(f"{button(ASK)}.ariaDisabled") == "true"
        assert "Once the modules" in here.tab.value(f"{button(ASK)}.title")
        here.tab.key("f")
        here.tab.until(f"{button(ASK)}.ariaDisabled === 'false'")
        top = "document.querySelector('.chip').getBoundingClientRect().top + scrollY"
        before = here.tab.value(top)
        here.tab.click(button(ASK))
        here.tab.until(f"Boolean({button('Stop')})")
        assert here.tab.value(top) == before
        (name,) = _jobs(client, _maps(client, 96))
        client.cancel(name)
