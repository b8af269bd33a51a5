"""Whether modules' hybrids look like samples: modules beside random sets of as many channels, the
floor and the ceilings, a row a layer.

It must not know how distances are measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import INK, MUTED, NO_MODULE, RULE, module_color
from graftscope.client.figures.paper._marks import ErrorBars, Mark
from graftscope.client.figures.paper._page import (
    BODY,
    DOUBLE,
    KEY,
    SMALL,
    Page,
    entry,
    points_with_errors,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES = 172.0
_ROW = 21.0
_BELOW = 34.0
_DODGE = 0.2

_MODULE = Mark(module_color(0), "o", "module (its colour)")
_CONTROL = Mark(NO_MODULE, "D", "random sets of as many channels, mean")
_FLOOR = Mark(INK, "|", "floor: other samples")
_PASTED = Mark(MUTED, "x", "ceiling: two originals pasted")
_BLENDED = Mark(MUTED, "+", "ceiling: two originals blended")


@dataclass(frozen=True, eq=False)
class LayerWorth:
    """One row.

    Args:
        generator: Its name.
        level: The layer's level.
        modules: (K,) Fréchet distances of the modules' hybrids.
        controls: (K,) means over their random sets.
        floor: Distance of as many other samples.
        pasted: Of two originals, half a picture each.
        blended: Of the mean of two originals.
    """

    generator: str
    level: str
    modules: ErrorBars
    controls: ErrorBars
    floor: float
    pasted: float
    blended: float


def faithfulness(rows: Sequence[LayerWorth]) -> "Figure":
    """Draw how far hybrids are from samples, a row a layer, rows of one generator together.

    Args:
        rows: At least one; those of one generator follow each other.

    Returns:
        A figure of two columns' width, with a logarithmic axis of the distance.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    high = _ROW * len(rows)
    page = Page(DOUBLE, 2 * KEY + high + _BELOW)
    points = [entry(mark, line="none") for mark in (_MODULE, _CONTROL)]
    strokes = [entry(mark, line="none", filled=False) for mark in (_FLOOR, _PASTED, _BLENDED)]
    page.key([*points, *strokes], 6, 4, columns=3)
    box = Box(_NAMES, 2 * KEY, DOUBLE - _NAMES - 12, high)
    axes = page.plot(box, "Fréchet distance from samples")
    axes.set_xscale("log")
    _plain_numbers(axes)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(np.arange(len(rows)), [row.level for row in rows])
    axes.tick_params(axis="y", length=0, labelsize=SMALL, pad=4)
    for place, row in enumerate(rows):
        _row(axes, place, row)
    _groups(page, axes, rows, box)
    return page.figure


def _plain_numbers(axes: "Axes") -> None:
    """Ticks at 1, 2 and 5, as they are said."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_locator(NullLocator())


def _row(axes: "Axes", place: int, row: LayerWorth) -> None:
    count = len(row.modules.value)
    places = place + (np.arange(count) - (count - 1) / 2) * _DODGE
    for module in range(count):
        at = slice(module, module + 1)
        for bars, mark in (
            (row.controls, _CONTROL),
            (row.modules, _MODULE._replace(color=module_color(module))),
        ):
            one = ErrorBars(bars.value[at], bars.error[at])
            points_with_errors(axes, places[at], one, mark, line=False, size=3.6, across=True)
    axes.vlines(row.floor, place - 0.38, place + 0.38, color=INK, linewidth=1.2, zorder=2)
    for value, mark in ((row.pasted, _PASTED), (row.blended, _BLENDED)):
        axes.plot(
            value, place, marker=mark.marker, color=mark.color, markersize=5, linestyle="none"
        )


def _groups(page: Page, axes: "Axes", rows: Sequence[LayerWorth], box: Box) -> None:
    """Name each generator beside its rows, with a line between two."""
    for place, row in enumerate(rows):
        if place and row.generator == rows[place - 1].generator:
            continue
        if place:
            axes.axhline(place - 0.5, color=RULE, linewidth=0.8, zorder=0)
        middle = box.y + _ROW * (place + 0.5)
        page.write(4, middle, row.generator, points=BODY, bold=True)
