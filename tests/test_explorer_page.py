"""The explorer's page in a browser, against a real server: what the mouse and the keys do."""

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from access_toys import protected
from browser_toys import Browser, with_chromium
from explorer_toys import explored
from page_toys import (
    CHIPS,
    CTRL,
    DESK,
    LEFT,
    PHONE,
    RIGHT,
    SHIFT,
    SHOWN,
    STEPS,
    WALL,
    Opened,
    behind,
    button,
)
from server_toys import Stubs

pytestmark = with_chromium


def test_the_first_picture_comes_by_itself_and_is_original_1(at: Opened) -> None:
    at.open()
    np.testing.assert_array_equal(at.pixels(2), at.pixels(0))
    assert "Nothing is taken from original 2 yet" in at.tab.value("document.body.innerText")


@pytest.mark.parametrize("width", [320, PHONE, DESK, WALL])
def test_nothing_scrolls_sideways_but_the_layers(at: Opened, width: int) -> None:
    at.open(behind(steps=[LEFT, RIGHT], asked=["fc"], view="compare"), width)
    at.tab.until(f"{CHIPS}.length")
    assert at.tab.value("document.documentElement.scrollWidth") <= width
    cut_off = (
        "[...document.querySelectorAll('main *:not(nav, nav *, .divider, .unseen)')]"
        ".filter(each => each.scrollWidth > each.clientWidth + 1 && "
        "getComputedStyle(each).display !== 'inline').length"
    )
    assert at.tab.value(cut_off) == 0


def test_a_module_that_is_clicked_is_taken_from_original_2(at: Opened) -> None:
    at.open(behind())
    at.find()
    one, left, right = at.halves()
    chips = at.tab.value("[...document.querySelectorAll('.chip')].map(each => each.title)")
    for module, channels in enumerate(chips):
        at.tab.click(f"document.querySelectorAll('.chip')[{module}]")
        at.tab.until(f"{STEPS}.length === 1")
        at.until_hybrid(left if channels == "Channels 0, 1" else right)
        at.tab.click(button("Undo"))
        at.until_hybrid(one)
    at.tab.click(button("Redo"))
    at.tab.until(f"{STEPS}.length === 1")
    # A module whose step is switched off is not taken; a click takes it again, and adds no step.
    at.tab.click("document.querySelectorAll('.strip [type=checkbox]')[0]")
    at.tab.until("document.querySelectorAll('.chip')[1].ariaPressed === 'false'")
    steps = at.tab.value(f"{STEPS}.length")
    at.tab.click("document.querySelectorAll('.chip')[1]")
    at.tab.until("document.querySelectorAll('.chip')[1].ariaPressed === 'true'")
    assert at.tab.value(f"{STEPS}.length") == steps
    assert at.tab.value("document.querySelectorAll('.strip [type=checkbox]')[0].checked")


def test_all_of_it_goes_by_keys(at: Opened) -> None:
    at.open(behind())
    at.tab.key("f")
    at.tab.until(f"{CHIPS}.length === 2 && document.body.innerText.includes('Found in')")
    one = at.pixels(0)
    at.tab.key("0")
    at.tab.key("1")
    at.tab.until(f"{STEPS}.length === 2")
    at.until_hybrid(at.pixels(1))
    at.tab.key("0")
    at.tab.key("1")
    at.until_hybrid(one)
    at.tab.key("z", modifiers=CTRL)
    at.tab.key("z", modifiers=CTRL)
    at.until_hybrid(at.pixels(1))
    at.tab.key("z", modifiers=CTRL | SHIFT)
    at.tab.until(f"{STEPS}.length === 1")
    at.tab.key("d")
    at.tab.until(f"{button('Difference')}.ariaPressed === 'true'")
    at.tab.key("x")
    at.tab.until("document.querySelector('[aria-label=\"Seed of original 1\"]').value === '8'")
    at.tab.key("?")
    assert at.tab.value("document.querySelector('dialog[open] kbd') !== null")


def test_a_weight_is_dragged_and_one_undo_takes_the_whole_drag_back(at: Opened) -> None:
    at.open(behind(steps=[LEFT]))
    one, left, _ = at.halves()
    at.until_hybrid(left)
    slider = "document.querySelector('.weight input')"
    box = at.tab.value(
        f"(() => {{{slider}.scrollIntoView({{block: 'center'}});"
        f" const box = {slider}.getBoundingClientRect(); return [box.x, box.y, box.width,"
        " box.height]})()"
    )
    middle = box[1] + box[3] / 2
    at.tab.mouse("Pressed", box[0] + box[2] * 2 / 3, middle)
    for part in range(40):
        at.tab.mouse("Moved", box[0] + box[2] * (2 / 3 - part / 120), middle)
    at.tab.mouse("Released", box[0] + box[2] / 3, middle)
    weight = float(at.tab.value(f"{slider}.value"))
    assert -0.1 < weight < 0.1
    at.settled()
    faint = at.pixels(2).astype(float) - one
    assert np.abs(faint).max() <= 0.2 * np.abs(left.astype(float) - one).max() + 1
    at.tab.click(button("Undo"))
    at.until_hybrid(left)
    assert at.tab.value(f"{button('Undo')}.disabled")


def test_a_step_is_switched_off_and_on_removed_and_brought_back(at: Opened) -> None:
    at.open(behind(steps=[LEFT, RIGHT]))
    _, left, right = at.halves()
    at.until_hybrid(at.pixels(1))
    at.tab.click("document.querySelectorAll('.strip [type=checkbox]')[0]")
    at.until_hybrid(right)
    at.tab.click("document.querySelectorAll('.strip [type=checkbox]')[0]")
    at.until_hybrid(at.pixels(1))
    at.tab.click("document.querySelectorAll('.remove')[1]")
    at.until_hybrid(left)
    at.tab.click(button("Reset"))
    at.tab.until(f"{STEPS}.length === 0")
    at.tab.click(button("Undo"))
    at.until_hybrid(left)


def test_of_two_steps_with_a_channel_the_later_one_has_it_and_the_page_says_so(
    at: Opened,
) -> None:
    at.open(behind(steps=[{**LEFT, "k": 3, "channels": [0, 1, 2]}, {**LEFT, "weight": 0}]))
    one, two = at.pixels(0), at.pixels(1)
    assert not np.array_equal(one, two)
    words = at.tab.value("document.querySelector('.strip').innerText")
    assert "Later grafts assign 2 channels of it." in words
    middle = one.shape[1] // 2
    np.testing.assert_array_equal(at.pixels(2)[:, :middle], one[:, :middle])


def test_steps_change_places_and_take_the_channels_that_a_module_has_now(at: Opened) -> None:
    old = {**LEFT, "channels": [1, 2]}
    at.open(behind(steps=[{**RIGHT, "weight": 0}, old], asked=["fc"]))
    at.tab.until(f"{CHIPS}.length")
    _, left, _ = at.halves()
    numbers = "[...document.querySelectorAll('.number')].map(each => each.textContent).join()"
    before = at.tab.value(numbers)
    at.tab.click("document.querySelectorAll('.move button')[2]")
    at.tab.until(f"{numbers} === {','.join(reversed(before.split(',')))!r}")
    at.tab.click(button("Take its 2 channels"))
    at.until_hybrid(left)
    assert "better known" not in at.tab.value("document.querySelector('.strip').innerText")


def test_channels_that_were_chosen_otherwise_are_a_step_under_their_name(at: Opened) -> None:
    chosen = {"layer": "fc", "module": None, "name": "eyes", "channels": [2, 3], "weight": 1}
    at.open(behind(steps=[{**chosen, "on": True}, LEFT], asked=["fc"]))
    at.tab.until(f"{CHIPS}.length")
    _, left, right = at.halves()
    at.until_hybrid(at.pixels(1))
    steps = [name for name in at.tab.names("checkbox") if name.endswith(": on")]
    assert steps == ["eyes, fc: on", "module 0 of 2, fc: on"]
    at.tab.click("document.querySelectorAll('.remove')[1]")
    at.until_hybrid(right)
    at.tab.click(button("Undo"))
    at.tab.click("document.querySelectorAll('.remove')[0]")
    at.until_hybrid(left)


def test_a_step_is_dragged_to_another_place_and_moved_by_its_buttons(at: Opened) -> None:
    third = {"layer": "fc", "module": None, "name": "third", "channels": [0], "weight": 1}
    # Of so many pairs nothing is stored, which would be shown beside the steps as it comes.
    at.open(behind(steps=[LEFT, RIGHT, {**third, "on": True}], pairs=65))
    numbers = "[...document.querySelectorAll('.strip .number')].map(each => each.innerText).join()"
    height = "document.documentElement.scrollHeight"
    assert at.tab.value(numbers) == "0,1,✎"
    before = at.tab.value(height)
    x, y = at.tab.place("document.querySelectorAll('.move i')[2]")
    _, target = at.tab.place("document.querySelectorAll('.move i')[0]")
    x, y = at.tab.value(
        "(() => {const box = document.querySelectorAll('.move i')[2].getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2]})()"
    )
    at.tab.mouse("Pressed", x, y)
    at.tab.mouse("Moved", x, (y + target) / 2)
    at.tab.mouse("Moved", x, target)
    assert (at.tab.value(numbers), at.tab.value(height)) == ("0,1,✎", before)
    at.tab.mouse("Released", x, target)
    at.tab.until(f"{numbers} === '✎,0,1'")
    said = "document.querySelector('.strip [role=status]').innerText"
    assert at.tab.value(said) == "third, fc is now step 1 of 3."
    at.tab.value("document.querySelectorAll('.move button')[1].focus()")
    at.tab.key("Enter")
    at.tab.until(f"{numbers} === '0,✎,1'")
    assert at.tab.value("document.activeElement.ariaLabel") == "Move third, fc down"
    at.tab.key("Enter")
    at.tab.until(f"{numbers} === '0,1,✎'")
    assert at.tab.value(said) == "third, fc is now step 3 of 3."
    assert at.tab.value("document.activeElement.ariaLabel") == "Move third, fc up"
    at.tab.key("z", modifiers=CTRL)
    at.tab.until(f"{numbers} === '0,✎,1'")


def test_seeds_go_on_step_by_step_and_the_same_seed_is_the_same_picture(at: Opened) -> None:
    at.open(behind())
    eight = at.pixels(1)
    at.tab.click(button("The next seed, for original 1"))
    at.settled()
    at.tab.until(f"{SHOWN} >= 2")
    np.testing.assert_array_equal(at.pixels(0), eight)
    at.tab.click(button("Another"))
    at.tab.until("document.querySelector('[aria-label=\"Seed of original 1\"]').value !== '8'")


def test_a_reload_restores_everything(at: Opened) -> None:
    at.open(behind(steps=[{**LEFT, "weight": 0.5}, RIGHT], asked=["fc"], view="compare"))
    at.tab.until(f"{CHIPS}.length === 2")
    shown = at.pixels(2)
    at.tab.value("new Promise(resolve => setTimeout(resolve, 400))")  # It is written with a delay.
    address = at.tab.value("location.href")
    at.tab.open("about:blank", DESK)
    at.tab.open(address, DESK)
    at.tab.until(f"{SHOWN} && {CHIPS}.length === 2")
    np.testing.assert_array_equal(at.pixels(2), shown)
    assert at.tab.value(f"{STEPS}.length") == 2
    assert at.tab.value("document.querySelector('.divider') !== null")


TAMPERED = {
    "cut off": (behind()[:-9], "changed or cut off"),
    "no letters of an address": ("#1.%%%", "changed or cut off"),
    "another version": ("#9.AAAA", "of version 9"),
    "a weight too large": (behind(steps=[{**LEFT, "weight": 99}]), "a weight 99 must be from -1"),
    "chosen channels without a name": (behind(steps=[{**LEFT, "module": None}]), "a step's name"),
    "three seeds": (behind(seeds=[1, 2, 3]), "at most 2"),
    "one seed": (behind(seeds=[1]), "two originals are needed"),
    "no such view": (behind(view="other"), "none of hybrid"),
    "no such model": (behind(model="gone"), "This server has no model gone"),
}


@pytest.mark.parametrize(("address", "words"), TAMPERED.values(), ids=TAMPERED)
def test_an_address_that_was_changed_is_told_of_and_the_page_begins_anew(
    at: Opened, address: str, words: str
) -> None:
    at.open(address)
    assert words in at.tab.value("document.querySelector('.status').innerText")
    np.testing.assert_array_equal(at.pixels(2), at.pixels(0))


def test_channels_that_there_are_not_are_refused_where_the_picture_is(at: Opened) -> None:
    at.open(behind())
    at.tab.open("about:blank", DESK)
    at.tab.open(f"http://{at.host}/{behind(steps=[{**LEFT, 'channels': [77]}])}", DESK)
    at.tab.until("document.querySelector('.hybrid .error')")
    assert "77" in at.tab.value("document.querySelector('.hybrid .error').innerText")
    at.tab.click(button("Reset"))
    at.tab.until("!document.querySelector('.hybrid .error')")


def test_everything_that_can_be_used_has_a_name(at: Opened) -> None:
    at.open(behind(steps=[LEFT, RIGHT], asked=["fc"], view="compare"))
    at.tab.until(f"{CHIPS}.length")
    for role, least in (("button", 20), ("slider", 3), ("checkbox", 2), ("spinbutton", 2)):
        names = at.tab.names(role)
        assert len(names) >= least
        assert all(names), (role, names)
    assert len(set(at.tab.names("slider"))) == len(at.tab.names("slider"))


def test_a_dark_page_has_no_bright_ground(at: Opened) -> None:
    at.open(behind(asked=["fc"]))
    ground = (
        "[...document.querySelectorAll('body, header, main, main button, select')].filter(each => "
        "{const color = getComputedStyle(each).backgroundColor.match(/[\\d.]+/g).map(Number);"
        "return (color[3] ?? 1) > 0.5 && Math.min(...color.slice(0, 3)) > 120}).length"
    )
    assert at.tab.value(ground) > 0
    at.theme("dark")
    at.tab.until(f"{ground} === 0")
    at.theme("system")


def test_a_server_that_goes_away_and_comes_back_is_waited_for(
    tab: Browser, block_bundle: Path, tmp_path: Path
) -> None:
    listen = f"unix:{tmp_path}/s"

    def server() -> AbstractContextManager[str]:
        return protected([block_bundle], tmp_path / "state", listen=listen, auth="none")

    with explored(listen) as running:
        at = Opened(tab, running)
        tab.open("about:blank", DESK)
        tab.open(running.addresses[-1], DESK)
        tab.until("document.querySelector('.hybrid .error')")
        with server():
            tab.until(SHOWN)
            tab.until("!document.querySelector('.hybrid .error')")
            one = at.pixels(0)
        tab.key("k")
        tab.until("document.querySelector('.hybrid .error')")
        np.testing.assert_array_equal(at.pixels(0), one)
        with server():
            tab.until("!document.querySelector('.hybrid .error')")
    tab.until("document.querySelector('.status').innerText.includes('does not answer')")


def test_an_explorer_that_was_started_again_says_how_the_page_goes_on(
    tab: Browser, toy_server: Stubs
) -> None:
    with explored(toy_server.address) as running:
        tab.open("about:blank", DESK)
        tab.open(running.addresses[-1] + behind(steps=[LEFT]), DESK)
        tab.until(SHOWN)
        port = running.host.rpartition(":")[2]
    told = "document.querySelector('.status').innerText"
    tab.until(f"{told}.includes('does not answer')")
    with explored(toy_server.address, port) as running:
        tab.until(f"{told}.includes('was started again')")
        kept = tab.value("location.hash")
        tab.open(running.addresses[-1] + kept, DESK)
        tab.until(f"{SHOWN} && {STEPS}.length === 1")
        assert tab.value(told).strip() == ""
