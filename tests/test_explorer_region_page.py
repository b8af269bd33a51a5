"""A region on the explorer's page in a browser, of known truth: each channel paints one quarter."""

import base64
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from browser_toys import Browser, with_chromium
from explorer_toys import Explored, explored
from graftscope.client import spill
from page_toys import AXE, CTRL, DESK, PHONE, SHIFT, STEPS, Opened, behind, button, watched
from server_toys import Stubs
from torch_toys import BUMP_GROUPS, BUMP_SIDE

pytestmark = with_chromium

HALF = BUMP_SIDE // 2
SIZE = {"height": BUMP_SIDE, "width": BUMP_SIDE}
QUARTER: dict[str, Any] = {**SIZE, "rectangle": [0, HALF, HALF, HALF]}
CHANNELS = [at for at, group in enumerate(BUMP_GROUPS) if group == 1]
"""Those that paint that quarter, the upper right one."""

REGION = "document.querySelector('.region').innerText"
RANKED = "[...document.querySelectorAll('.found tbody th')].map(each => parseInt(each.innerText))"
SETTLED = (
    f"{REGION}.includes('Measured in 64 pairs.') && "
    "document.querySelector('.region .found').ariaBusy === 'false'"
)
"""Whether the job has ended, and what is shown is of all of its pairs."""
MIXED = {"layer": "fc", "module": None, "name": "mixed", "weight": 0.7, "on": True}


@pytest.fixture(scope="module")
def running(bumps_server: Stubs) -> Iterator[Explored]:
    with explored(bumps_server.address) as started:
        yield started


@pytest.fixture(scope="module")
def admitted(tab: Browser, running: Explored) -> Browser:
    tab.open(running.addresses[-1], DESK)
    return tab


@pytest.fixture
def at(admitted: Browser, running: Explored) -> Iterator[Opened]:
    with watched(admitted, running) as page:
        yield page


def opened(at: Opened, width: int = DESK, **changes: object) -> None:
    at.open(behind(**{"model": "toy-bumps", "k": 4, "asked": ["fc"], **changes}), width)


def drag(at: Opened, *places: tuple[float, float], release: bool = True) -> None:
    """Press, move and release the mouse at places in pixels of the picture."""
    at.tab.until("document.querySelector('.area')")
    left, top, width = at.tab.value(
        "(() => {const area = document.querySelector('.area'); area.scrollIntoView({block: "
        "'center'}); const box = area.getBoundingClientRect(); return [box.x, box.y, box.width]})()"
    )
    on_screen = [(left + x * width / BUMP_SIDE, top + y * width / BUMP_SIDE) for x, y in places]
    at.tab.mouse("Pressed", *on_screen[0])
    for place in on_screen[1:]:
        at.tab.mouse("Moved", *place)
    if release:
        at.tab.mouse("Released", *on_screen[-1])


def region(at: Opened) -> NDArray[np.bool_]:
    """The region that the page's address tells."""
    at.tab.value("new Promise(resolve => setTimeout(resolve, 400))")  # It is written with a delay.
    letters = at.tab.value("location.hash").partition(".")[2]
    data = base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
    said = json.loads(zlib.decompress(data, wbits=-15))["region"]
    if said is None:
        return np.zeros((BUMP_SIDE, BUMP_SIDE), bool)
    if "rectangle" in said:
        top, left, height, width = said["rectangle"]
        inside = np.zeros((BUMP_SIDE, BUMP_SIDE), bool)
        inside[top : top + height, left : left + width] = True
        return inside
    brushed: NDArray[np.bool_] = np.repeat(np.arange(len(said["runs"])) % 2 == 1, said["runs"])
    return brushed.reshape(BUMP_SIDE, BUMP_SIDE)


def spilled(at: Opened, inside: NDArray[np.bool_]) -> list[str]:
    """What the page is to say of a change: outside, the area outside, and inside on average."""
    one, hybrid = (at.pixels(which)[..., :3].astype(np.float64) for which in (0, 2))
    found = spill(one.transpose(2, 0, 1)[np.newaxis], hybrid.transpose(2, 0, 1)[np.newaxis], inside)
    shares = found.share, found.area, np.abs(hybrid - one)[inside].mean() / 255
    return [percent(100 * each) for each in shares]


def percent(amount: float) -> str:
    """As the page writes it."""
    digits = min(4, 1 - int(np.floor(np.log10(amount)))) if 0 < amount < 1 else 1
    return f"{amount:.{digits}f}"


def told(at: Opened) -> list[str]:
    """Percentages that the page says of the change."""
    return re.findall(r"([\d.]+)\s%", at.tab.value("document.querySelector('.spill').innerText"))


def test_a_rectangle_over_a_quarter_ranks_its_channels_and_nothing_spills(at: Opened) -> None:
    opened(at)
    at.tab.click(button("Rectangle"))
    drag(at, (HALF + 0.5, 0.5), (20, 9), (BUMP_SIDE - 0.5, HALF - 0.5))
    at.tab.until(f"{RANKED}.length === 8 && {SETTLED}")
    np.testing.assert_array_equal(region(at)[:HALF, HALF:], True)
    assert region(at).sum() == HALF * HALF
    assert sorted(at.tab.value(RANKED)[:6]) == CHANNELS
    assert "6 of 24 channels" in at.tab.value(REGION)
    chips = "document.querySelectorAll('.region .chip')"
    at.tab.until(f"{chips}.length === 4")
    at.tab.click(f"{chips}[0]")
    at.tab.until(f"{STEPS}.length === 1 && document.querySelector('.spill b')")
    at.settled()
    one, two, hybrid = (at.pixels(which) for which in range(3))
    np.testing.assert_array_equal(hybrid[:HALF, HALF:], two[:HALF, HALF:])
    assert told(at) == spilled(at, region(at))
    assert told(at)[:2] == ["0.0", "75.0"]
    assert not np.array_equal(one, hybrid)


def test_all_of_it_goes_by_keys(at: Opened) -> None:
    opened(at)
    at.tab.key("r")
    for key, times, held in (
        ("ArrowUp", 13, 0),
        ("ArrowRight", 4, 0),
        ("ArrowRight", 8, SHIFT),
        ("ArrowDown", 8, SHIFT),
    ):
        for _ in range(times):
            at.tab.key(key, modifiers=held)
    words = "rectangle from 16, 0 to 32, 16, 256 of 1,024 pixels"
    at.tab.until(f"document.querySelector('.area').ariaLabel === 'Region: {words}'")
    at.tab.until(f"{RANKED}.length === 8 && {SETTLED}")
    assert sorted(at.tab.value(RANKED)[:6]) == CHANNELS
    at.tab.key("Escape")
    assert at.tab.value("document.activeElement.textContent") == "Rectangle"
    assert at.tab.value("document.querySelector('.area')") is None
    at.tab.value("document.querySelector('.graft [type=text]').focus()")
    at.tab.page.keyboard.type("corner")
    at.tab.key("Enter")
    at.tab.until(f"{STEPS}.length === 1")
    assert "corner, fc: on" in at.tab.names("checkbox")
    at.settled()
    assert told(at)[0] == "0.0"
    at.tab.key("z", modifiers=CTRL)  # In a field, where it is the field's own.
    at.tab.value("document.activeElement.blur()")
    at.tab.key("z", modifiers=CTRL)
    at.tab.until(f"{STEPS}.length === 0")
    at.tab.key("z", modifiers=CTRL)  # All that the keys moved.
    at.tab.until(f"{REGION}.includes('from 12, 12 to 20, 20, 64 of 1,024')")


def test_what_spills_is_numpys_and_follows_while_one_drags(at: Opened) -> None:
    opened(at, asked=[], steps=[{**MIXED, "channels": [0, 1, 2, 7, 13]}], region=QUARTER)
    assert told(at) == spilled(at, region(at))
    at.tab.key("r")
    drag(at, (3.5, 5.5), (9.5, 20.5), release=False)
    at.tab.until(f"{REGION}.includes('from 3, 5 to 10, 21')")
    inside = np.zeros((BUMP_SIDE, BUMP_SIDE), bool)
    inside[5:21, 3:10] = True
    assert told(at) == spilled(at, inside)
    at.tab.mouse("Released", 0, 0)
    at.tab.click(button("Undo"))
    np.testing.assert_array_equal(region(at)[:HALF, HALF:], True)
    at.tab.click(button("Clear"))
    at.tab.until("!document.querySelector('.spill')")


def test_a_brush_paints_discs_and_the_eraser_takes_them_away(at: Opened) -> None:
    opened(at, asked=[])
    rows, columns = np.mgrid[:BUMP_SIDE, :BUMP_SIDE]
    at.tab.key("b")
    drag(at, (10.5, 12.5), (20.5, 12.5))
    painted = np.any([(rows - 12) ** 2 + (columns - x) ** 2 <= 2.5**2 for x in range(10, 21)], 0)
    np.testing.assert_array_equal(region(at), painted)
    assert "of 1,024 pixels" in at.tab.value(REGION)
    at.tab.key("e")
    drag(at, (15.5, 12.5))
    erased = painted & ((rows - 12) ** 2 + (columns - 15) ** 2 > 2.5**2)
    np.testing.assert_array_equal(region(at), erased)
    at.tab.key("ArrowDown")
    at.tab.key("ArrowRight", modifiers=SHIFT)
    for x in (15, 16):
        erased &= (rows - 13) ** 2 + (columns - x) ** 2 > 2.5**2
    np.testing.assert_array_equal(region(at), erased)
    at.tab.click(button("Undo"))
    at.tab.click(button("Undo"))
    np.testing.assert_array_equal(region(at), painted)
    at.tab.click(button("Undo"))
    assert not region(at).any()


@pytest.mark.soak  # The browser does not always turn touches on in time.
def test_a_finger_draws_and_the_page_stays_where_it_is(at: Opened) -> None:
    opened(at, asked=[])
    at.tab.click(button("Rectangle"))
    touch = at.tab.page.context.new_cdp_session(at.tab.page)
    # Before anything is measured: where fingers point, what they touch is larger.
    touch.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    at.tab.until("matchMedia('(pointer: coarse)').matches")
    at.tab.value(
        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))"
    )
    left, top, side, scrolled = at.tab.value(
        "(() => {const area = document.querySelector('.area');"
        "area.scrollIntoView({block: 'center'}); const box = area.getBoundingClientRect();"
        "return [box.x, box.y, box.width, scrollY]})()"
    )
    for kind, x, y in (("Start", 4.5, 2.5), ("Move", 6.5, 9.5), ("Move", 11.5, 20.5)):
        point = {"x": left + x * side / BUMP_SIDE, "y": top + y * side / BUMP_SIDE}
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    at.tab.until(f"{REGION}.includes('from 4, 2 to 12, 21')")
    assert at.tab.value("scrollY") == scrolled
    touch.send("Emulation.setTouchEmulationEnabled", {"enabled": False})
    touch.detach()


def test_a_reload_keeps_the_region_and_one_of_another_size_is_told_of(at: Opened) -> None:
    runs = [100, 30, 40, 7, BUMP_SIDE**2 - 177]
    opened(at, asked=[], region={**SIZE, "runs": runs})
    before = region(at)
    assert before.sum() == 37
    at.tab.page.reload()
    at.tab.until(f"{REGION}.includes('37 of 1,024 pixels')")
    np.testing.assert_array_equal(region(at), before)
    opened(at, asked=[], region={"height": 64, "width": 64, "rectangle": [1, 2, 3, 4]})
    assert "The region was drawn on pictures of 64" in at.tab.value(REGION)


TAMPERED = {
    "beyond the picture": ({**SIZE, "rectangle": [0, 20, 4, 20]}, "0, 20, 4, 20 is not within"),
    "runs of another picture": ({**SIZE, "runs": [1, 2]}, "of 3 pixels"),
    "a side that is none": ({**SIZE, "rectangle": [0, 0, 4, -1]}, "must be from 0"),
    "no picture": ({"rectangle": [0, 0, 4, 4]}, "the region's picture"),
}


@pytest.mark.parametrize(("value", "words"), TAMPERED.values(), ids=TAMPERED)
def test_a_region_that_was_changed_in_the_address_is_told_of(
    at: Opened, value: dict[str, Any], words: str
) -> None:
    opened(at, region=value)
    assert words in at.tab.value("document.querySelector('.status').innerText")


@pytest.mark.skipif(not AXE.is_file(), reason="axe is not installed: npm ci in explorer/page")
def test_a_telephone_has_room_for_all_of_it_and_axe_finds_nothing(at: Opened) -> None:
    opened(at, PHONE, region=QUARTER)
    at.tab.key("b")
    at.tab.until(f"{RANKED}.length === 8")
    assert at.tab.value("document.documentElement.scrollWidth") <= PHONE
    assert at.hindrances() == []
