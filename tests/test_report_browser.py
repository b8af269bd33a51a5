"""The report and the reproduction in a browser: on a telephone, on a wide screen, in the dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from browser_toys import Browser, browser, with_chromium
from figure_toys import FIGURES
from graftscope.client.report import render_report
from graftscope.client.reproduce import (
    Claim,
    Picture,
    Reproduction,
    Verdict,
    write_page,
    write_reproduction,
)
from report_toys import make_data, make_section

pytestmark = with_chromium

PHONE, DESK, WALL = 390, 1280, 2560


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    coarse = make_section("coarse", channels=64, pairs=8)
    seeds = make_section("intermediate", channels=130, modules=10, pairs=8)
    return render_report(
        make_data(coarse, seeds, command="graftscope report --bundle " + "very-" * 40),
        tmp_path_factory.mktemp("report"),
    )


@pytest.mark.parametrize("width", [320, PHONE, 768, DESK, WALL])
def test_nothing_scrolls_sideways(tab: Browser, page: Path, width: int) -> None:
    tab.open(page, width)
    assert tab.value("document.documentElement.scrollWidth") <= width
    inner = (
        "[...document.querySelectorAll('main *')].filter(each => each.scrollWidth > "
        "each.clientWidth + 1 && getComputedStyle(each).overflowX !== 'visible').length"
    )
    assert tab.value(inner) == 0


@pytest.mark.parametrize("width", [DESK, WALL])
def test_text_stands_beside_figures_and_the_page_fills_its_width(
    tab: Browser, page: Path, width: int
) -> None:
    tab.open(page, width)
    beside = (
        "[...document.querySelectorAll('figure.beside')].every(figure => {"
        "const [shown, told] = [...figure.children].map(each => each.getBoundingClientRect());"
        "return told.left >= shown.right && Math.abs(told.top - shown.top) < 2})"
    )
    assert tab.value(beside) is True
    right = (
        "Math.max(...[...document.querySelectorAll('main img')]"
        ".map(each => each.getBoundingClientRect().right))"
    )
    body = tab.value("document.body.getBoundingClientRect().right")
    assert tab.value(right) > 0.9 * body


def test_hybrids_are_large(tab: Browser, page: Path) -> None:
    tab.open(page, DESK)
    assert tab.value("document.querySelector('.block .row > .tile img').clientWidth") >= 110
    tab.open(page, PHONE)
    assert tab.value("document.querySelector('.block .row > .tile img').clientWidth") >= 70


def test_a_picture_fills_the_window_at_a_click_and_goes_back_at_the_next(
    tab: Browser, page: Path
) -> None:
    tab.open(page, PHONE)
    width = "document.querySelector('.grafts img').getBoundingClientRect().width"
    small = tab.value(width)
    tab.value("document.querySelector('.grafts input').click()")
    assert tab.value(width) == PHONE
    tab.value("document.querySelector('.grafts input').click()")
    assert tab.value(width) == small


def test_a_dark_page_has_no_bright_ground(tab: Browser, page: Path) -> None:
    ground = (
        "[...document.querySelectorAll('body, main *, footer *')].filter(each => {"
        "const color = getComputedStyle(each).backgroundColor.match(/[\\d.]+/g).map(Number);"
        "return each.clientHeight > 40 && each.clientWidth > 100 && (color[3] ?? 1) > 0.5 && "
        "Math.min(...color.slice(0, 3)) > 120}).length"
    )
    tab.open(page, DESK, dark=True)
    assert tab.value(ground) == 0
    tab.open(page, DESK)
    assert tab.value(ground) > 0


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    long = "coarse 0.886 ± 0.021, intermediate 0.833 ± 0.022, fine 0.759 ± 0.032; " * 4
    claims = [Claim("4.1, Fig. 5", long, long, long, each, long) for each in Verdict]
    pictures = [
        Picture("wide", long, FIGURES["stability, layers"]),
        Picture("seams", long, FIGURES["seams"]),
    ]
    found = Reproduction("fig5", "Stability of modules", pictures, {}, claims)
    folder = tmp_path_factory.mktemp("reproduction")
    write_reproduction(found, {}, folder)
    return write_page([found], {"pairs": 200}, folder)


@pytest.mark.parametrize("width", [320, PHONE, 768, DESK, WALL])
def test_nothing_of_the_reproduction_scrolls_sideways(
    tab: Browser, reproduction: Path, width: int
) -> None:
    tab.open(reproduction, width)
    assert tab.value("document.documentElement.scrollWidth") <= width


def test_figures_of_the_reproduction_are_dark_in_the_dark(tab: Browser, reproduction: Path) -> None:
    shown = "[...document.images].map(each => each.currentSrc.split('/').pop())"
    tab.open(reproduction, DESK, dark=True)
    assert tab.value(shown) == ["wide-dark.png", "seams-dark.png"]
    tab.open(reproduction, DESK)
    assert tab.value(shown) == ["wide.png", "seams.png"]
