"""Every channel of a layer on the explorer's page: its map, its numbers, and grafting it alone."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from browser_toys import with_chromium
from explorer_toys import Explored, Heard, page
from graftscope.client import Client, InfluenceResult, Method
from graftscope.client.values import LayerModules
from graftscope.explorer._channels import longest_side, reduced
from graftscope.explorer._findings import between
from page_toys import CHIPS, STEPS, Opened, behind
from server_toys import Stubs

PAIRS = 64
LEVEL = 1 / 255
TILES = "[...document.querySelectorAll('.tiles button')]"
NUMBERS = f"{TILES}.map(each => Number.parseInt(each.textContent))"
ORDER = "document.querySelector('[aria-label=\"Order of the channels\"]')"


@pytest.fixture(scope="module")
def influence(toy_server: Stubs) -> InfluenceResult:
    with Client(toy_server.address) as client:
        return client.influence("toy-blocks", "fc", pairs=PAIRS)


@pytest.fixture(scope="module")
def found(explorer: Explored, influence: InfluenceResult) -> Heard:
    """What the gateway tells of a job that is done."""
    with page(explorer) as opened:
        opened.ask(ask="modules", model="toy-blocks", layer="fc", k=2, pairs=PAIRS)
        while "channels" not in (heard := opened.hear()).said or "modules" not in heard.said:
            pass
        return heard


def test_maps_and_numbers_are_the_clients(found: Heard, influence: InfluenceResult) -> None:
    told = found.said["channels"]
    count, height, width = influence.maps.shape
    assert (told["count"], told["height"], told["width"], told["pairs"]) == (
        4,
        height,
        width,
        PAIRS,
    )
    for name, expected in (
        ("influence", influence.individual),
        ("errors", influence.individual_stderr),
        ("peaks", influence.maps.max(axis=(1, 2))),
    ):
        np.testing.assert_allclose(told[name], expected / influence.range_width, rtol=1e-4)
    shares = found.pictures["maps"].reshape(count, height, width) / 255
    peaks = influence.maps.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(shares, influence.maps / peaks, atol=LEVEL)


def test_channels_between_modules_are_told_in_the_numbers_of_the_page() -> None:
    nothing = np.full(3, np.nan)
    modules = LayerModules(
        labels=np.array([0, 1, 2]),
        templates=np.zeros((3, 4, 4)),
        purity=nothing,
        probabilities=np.array([[0.99, 0.01, 0.0], [0.05, 0.55, 0.4], nothing]),
        method=Method.NMF,
    )
    shown_as = [2, 0, 1]  # The page shows module 2 first.
    assert between(modules, shown_as) == [
        {"channel": 1, "modules": [2, 0], "probabilities": [0.55, 0.4]}
    ]


def test_many_maps_are_averaged_over_areas_and_stay_within_a_message() -> None:
    maps = np.random.default_rng(0).random((1024, 64, 48))
    side = longest_side(len(maps))
    small = reduced(maps, side)
    assert small.shape == (1024, 32, 32)
    assert small.size <= 2**20
    np.testing.assert_allclose(small.mean(axis=1), reduced(maps.mean(axis=1)[:, None], side)[:, 0])
    np.testing.assert_allclose(small[:, 3, 0], maps[:, 6:8, :1].mean(axis=(1, 2)))
    np.testing.assert_array_equal(reduced(maps[:2], 64), maps[:2])


def _ordered(influence: InfluenceResult, labels: NDArray[np.int64], by: str) -> list[int]:
    falling, numbers = -influence.individual, np.arange(len(labels))
    keys = {"influence": [falling], "module": [falling, labels], "channel": [numbers]}
    return list(np.lexsort(np.array(keys[by])).tolist())


@with_chromium
class TestPage:
    """By mouse and by keys."""

    @pytest.fixture(autouse=True)
    def shown(self, at: Opened, found: Heard) -> None:
        at.open(behind(asked=["fc"]))
        at.tab.until(f"{TILES}.length === 4 && {CHIPS}.length === 2")

    @pytest.mark.parametrize("by", ["influence", "module", "channel"])
    def test_channels_stand_in_the_order_that_numpy_gives(
        self, at: Opened, influence: InfluenceResult, found: Heard, by: str
    ) -> None:
        at.tab.value(f"{ORDER}.value = {by!r}; {ORDER}.dispatchEvent(new Event('change')); 0")
        labels = np.full(4, -1)
        for index, each in enumerate(found.said["modules"]["each"]):
            labels[each["channels"]] = index
        at.tab.until(
            f"{NUMBERS}.join() === {','.join(map(str, _ordered(influence, labels, by)))!r}"
        )

    def test_a_channel_says_its_numbers_where_it_is_pointed_at_and_where_it_has_the_focus(
        self, at: Opened, found: Heard
    ) -> None:
        told: dict[str, Any] = found.said["channels"]
        for at_place in (1, 2):
            channel = at.tab.value(f"{NUMBERS}[{at_place}]")
            x, y = at.tab.place(f"{TILES}[{at_place}]")
            at.tab.mouse("Moved", x, y)
            at.tab.until(f"document.querySelector('.told b').textContent === 'Channel {channel}'")
            words = at.tab.value("document.querySelector('.grid .told').innerText")
            assert f"{100 * told['influence'][channel]:.1f}"[:2] in words
            assert "±" in words
            assert "64 pairs" in words
        last = at.tab.value(f"{NUMBERS}[3]")
        at.tab.value(f"{TILES}[2].focus()")
        at.tab.key("ArrowRight")
        at.tab.until(f"document.activeElement === {TILES}[3]")
        at.tab.until(f"document.querySelector('.grid .told b').textContent === 'Channel {last}'")
        names = [each for each in at.tab.names("button") if each.startswith("Channel ")]
        assert len(names) == 4
        assert all("influence" in each and "module" in each for each in names)

    def test_channels_that_are_clicked_make_one_graft_and_go_by_keys_too(self, at: Opened) -> None:
        one, left, right = at.halves()

        def tile(channel: int) -> str:
            return f"{TILES}.find(each => Number.parseInt(each.textContent) === {channel})"

        at.tab.click(tile(1))
        at.tab.click(tile(0))
        at.until_hybrid(left)
        assert at.tab.value(f"{STEPS}.length") == 1
        assert "channels 0 and 1" in at.tab.value(f"{STEPS}[0].innerText")
        assert at.tab.value(f"{tile(0)}.ariaPressed") == "true"
        for channel in (0, 1):
            at.tab.value(f"{tile(channel)}.focus()")
            at.tab.key("Enter")
        at.tab.until(f"{STEPS}.length === 0")
        at.until_hybrid(one)
        at.tab.value(f"{tile(3)}.focus()")
        at.tab.key("Enter")
        at.tab.value(f"{tile(2)}.focus()")
        at.tab.key(" ")
        at.until_hybrid(right)
        assert at.tab.value(f"{STEPS}.length") == 1

    def test_one_scale_for_all_darkens_what_is_weaker(self, at: Opened) -> None:
        def brightest() -> list[int]:
            found: list[int] = at.tab.value(
                f"{TILES}.map(each => {{const canvas = each.querySelector('canvas');"
                "const {width, height} = canvas; return Math.max(...canvas.getContext('2d')"
                ".getImageData(0, 0, width, height).data.filter((_, at) => at % 4 === 0))})"
            )
            return found

        # Tiles are drawn when they are in view.
        at.tab.value("document.querySelector('.grid').scrollIntoView()")
        at.tab.until(f"{TILES}.every(each => each.querySelector('canvas'))")
        while 0 in brightest():
            at.tab.value("new Promise(done => requestAnimationFrame(() => done(0)))")
        assert len(set(brightest())) == 1
        at.tab.click("document.querySelector('.grid [type=checkbox]')")
        at.tab.until("document.querySelector('.grid [type=checkbox]').checked")
        shown = brightest()
        assert shown[0] == max(shown) > shown[-1]
