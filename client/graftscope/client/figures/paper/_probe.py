"""What classifiers make of modules' hybrids: whose class they have, a bar a set.

It must not know how hybrids are made, or classified.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import INK, NO_MODULE, RULE, module_color, paler
from graftscope.client.figures.paper._marks import Mark
from graftscope.client.figures.paper._page import BODY, DOUBLE, KEY, SMALL, Page, entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES = 150.0
_ROW = 15.0
_HEAD = 20.0
_BELOW = 34.0
_KEYS = (
    Mark(NO_MODULE, "s", "original 1's class"),
    Mark(paler(NO_MODULE), "s", "original 2's class"),
)
_OTHER = Mark(RULE, "s", "another class")
_HIGH = 0.72
"""Of a bar, as a share of its row."""


@dataclass(frozen=True)
class ProbeBar:
    """One set of hybrids.

    Args:
        name: What is swapped.
        stays: Share of hybrids that keep original 1's class.
        becomes: Share that have original 2's; the rest have another.
        low: Where the interval of `stays` begins.
        high: Where it ends.
        module: Whose colour the bar has; -1 for sets that are no module.
    """

    name: str
    stays: float
    becomes: float
    low: float
    high: float
    module: int = -1


@dataclass(frozen=True)
class ProbeBars:
    """One classifier.

    Args:
        name: What it is called.
        bars: At least one, from top to bottom.
    """

    name: str
    bars: Sequence[ProbeBar]


def probe(classifiers: Sequence[ProbeBars]) -> "Figure":
    """Draw whose class hybrids have, a bar a set, classifiers one below the other.

    Args:
        classifiers: At least one.

    Returns:
        A figure of two columns' width. Full colour is original 1's class, pale original 2's, white
        another; the line is the interval of the first.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    high = sum(_HEAD + _ROW * len(each.bars) for each in classifiers)
    page = Page(DOUBLE, KEY + high + _BELOW)
    page.key(
        [*(entry(x, line="none") for x in _KEYS), entry(_OTHER, line="none", filled=False)],
        6,
        4,
        columns=3,
    )
    top = KEY
    for place, each in enumerate(classifiers):
        page.write(4, top + _HEAD / 2, each.name, points=BODY, bold=True)
        box = Box(_NAMES, top + _HEAD, DOUBLE - _NAMES - 12, _ROW * len(each.bars))
        last = place == len(classifiers) - 1
        _bars(page.plot(box, "Hybrids (%)" if last else ""), each.bars, last)
        top += _HEAD + box.height
    return page.figure


def _bars(axes: "Axes", bars: Sequence[ProbeBar], named: bool) -> None:
    places = np.arange(len(bars))
    axes.set_xlim(0, 100)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_yticks(places, [each.name for each in bars])
    axes.tick_params(axis="y", length=0, labelsize=SMALL, pad=4)
    if not named:
        axes.tick_params(axis="x", labelbottom=False)
    for place, each in zip(places, bars, strict=True):
        if not np.isfinite(each.stays):
            continue
        color = module_color(each.module)
        stays, becomes = 100 * each.stays, 100 * each.becomes
        axes.barh(place, 100, height=_HIGH, facecolor="white", edgecolor=RULE, linewidth=0.6)
        axes.barh(place, stays, height=_HIGH, color=color)
        axes.barh(place, becomes, left=stays, height=_HIGH, color=paler(color))
        axes.hlines(place, 100 * each.low, 100 * each.high, color=INK, linewidth=0.9)
