"""The explorer's page for everybody: by keys, by touch, for screen readers, in all sizes."""

import pytest

from browser_toys import with_chromium
from page_toys import AXE, CHIPS, DESK, LEFT, PHONE, RIGHT, WALL, Opened, behind, button

pytestmark = with_chromium

FULL = behind(steps=[LEFT, {**RIGHT, "on": False}], asked=["fc"], view="compare")
TIP = "document.querySelector('#tip:popover-open')"
TOUCHED_PX = 44
SMALL_PHONE, ZOOMED, PROJECTOR = 360, 640, 3840


@pytest.mark.skipif(not AXE.is_file(), reason="axe is not installed: npm ci in explorer/page")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK, WALL])
def test_axe_finds_nothing_that_shuts_anybody_out(at: Opened, theme: str, width: int) -> None:
    at.open(FULL, width)
    at.tab.until(f"{CHIPS}.length")
    at.theme(theme)
    found = at.hindrances()
    at.tab.click(button("Copy as"))
    at.tab.until("document.querySelector('[role=menu]')")
    found += at.hindrances()
    at.choose_open("PyTorch hook")
    at.choose("Save more", "Filmstrip or animation …")
    at.tab.until("document.querySelector('dialog[open]')")
    found += at.hindrances()
    at.tab.key("Escape")
    at.theme("system")
    assert found == []


@pytest.mark.parametrize("width", [SMALL_PHONE, ZOOMED, PROJECTOR])
def test_no_width_scrolls_sideways(at: Opened, width: int) -> None:
    at.open(FULL, width)
    at.tab.until(f"{CHIPS}.length")
    assert at.tab.value("document.documentElement.scrollWidth") <= width


def test_nothing_jumps_while_modules_are_found_grafted_and_dragged(at: Opened) -> None:
    # So many that no other test has asked for them: they would be shown unasked.
    at.open(behind(pairs=320))
    at.tab.value(
        "window.jumps = []; new PerformanceObserver(list => jumps.push(...list.getEntries()"
        ".filter(each => !each.hadRecentInput).map(each => [each.value, ...each.sources.map("
        "source => String(source.node?.textContent).slice(0, 40))])))"
        ".observe({type: 'layout-shift', buffered: true}); 0"
    )
    # With the mouse: what a gesture makes room for does not jump.
    at.tab.until("document.querySelector('.finder .main:not(:disabled)')")
    at.tab.click("document.querySelector('.finder .main')")
    at.tab.until(f"{CHIPS}.length && document.body.innerText.includes('Found in 320 pairs.')")
    at.tab.click("document.querySelector('.chip')")
    at.tab.until("document.querySelector('.weight input')")
    x, y = at.tab.place("document.querySelector('.weight input')")
    at.tab.mouse("Pressed", x, y)
    for part in range(30):
        at.tab.mouse("Moved", x + part, y)
    at.tab.mouse("Released", x + 30, y)
    for view in "cdh":
        at.tab.key(view)
    at.settled()
    assert at.tab.value("jumps") == []


def test_a_sentence_that_the_mouse_gets_comes_to_the_keyboard_too(at: Opened) -> None:
    at.open(FULL)
    at.tab.until(f"{CHIPS}.length")
    # Where the mouse alone could rest on a title, nobody else would have its sentence.
    lost = at.tab.value(
        "[...document.querySelectorAll('[title]')].filter(each => !each.closest("
        "'button, select, input, label, [tabindex], [aria-hidden]') && "
        "!each.querySelector('button, input')).map(each => each.outerHTML.slice(0, 80))"
    )
    assert lost == []
    at.tab.value("document.querySelector('.chip').focus(); 0")
    at.tab.key("ArrowRight")
    told = at.tab.until(f"{TIP}?.innerText")
    assert "Channels " in told
    assert "share of the image range" in told
    described = "document.getElementById(document.activeElement.getAttribute('aria-describedby'))"
    assert at.tab.value(f"{described} === {TIP}")
    at.tab.key("Escape")
    at.tab.until(f"!{TIP}")
    assert at.tab.value("document.activeElement.title.startsWith('Channels')")


def test_a_group_is_one_stop_and_arrows_go_through_it(at: Opened) -> None:
    at.open(FULL)
    at.tab.until(f"{CHIPS}.length")
    for group in (".views", "nav ol", ".finder ul"):
        stops = f"[...document.querySelectorAll('{group} button')].filter(e => e.tabIndex === 0)"
        assert at.tab.value(f"{stops}.length") == 1
    first, second = (f"document.querySelectorAll('.views button')[{at_}]" for at_ in (0, 1))
    at.tab.value(f"{first}.focus(); 0")
    at.tab.key("ArrowRight")
    assert at.tab.value(f"document.activeElement === {second}")
    at.tab.key("Home")
    at.tab.key("Enter")
    at.tab.until(f"{first}.ariaPressed === 'true'")


def test_everything_goes_by_tab_in_the_order_that_is_seen(at: Opened) -> None:
    at.open(FULL)
    at.tab.until(f"{CHIPS}.length")
    places = ["header", "nav", ".originals", ".hybrid", ".finder", ".strip", ".out"]
    seen: list[str] = []
    while seen[-1:] != [".out"]:
        at.tab.key("Tab")
        where = at.tab.value(f"{places}.find(each => document.activeElement.closest(each))")
        seen += [where] if where and where not in seen else []
    assert seen == places


def test_what_fingers_touch_is_large_enough(at: Opened) -> None:
    session = at.tab.page.context.new_cdp_session(at.tab.page)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        at.open(FULL, PHONE)
        at.tab.until(f"{CHIPS}.length")
        small = at.tab.value(
            "[...document.querySelectorAll('button:not(.fact), select, input:not(.unseen)')].map("
            "each => [each, each.closest('label') ?? each]).map(([each, touched]) => [each, "
            "touched.getBoundingClientRect()]).filter(([each, {width, height}]) => width && "
            f"(height < {TOUCHED_PX} - 0.5 || width < {TOUCHED_PX} - 0.5)).map(([each, box]) => "
            "[each.outerHTML.slice(0, 90), box.width, box.height])"
        )
        assert small == []
    finally:
        session.send("Emulation.setTouchEmulationEnabled", {"enabled": False})
        session.detach()


def test_forced_colours_show_what_is_pressed(at: Opened) -> None:
    at.open(FULL)
    at.tab.page.emulate_media(forced_colors="active")
    try:
        pressed = "document.querySelector('.views [aria-pressed=true]')"
        assert at.tab.value(f"getComputedStyle({pressed}).outlineStyle") == "solid"
    finally:
        at.tab.page.emulate_media(forced_colors="none")


def test_nothing_moves_where_motion_is_not_wanted(at: Opened) -> None:
    at.open(FULL)
    at.tab.page.emulate_media(reduced_motion="reduce")
    try:
        moving = "[...document.querySelectorAll('*')].filter(each => parseFloat(getComputedStyle("
        moving += (
            "each).transitionDuration) > 0 || getComputedStyle(each).animationName !== 'none')"
        )
        assert at.tab.value(f"{moving}.map(each => each.className)") == []
    finally:
        at.tab.page.emulate_media(reduced_motion="no-preference")
