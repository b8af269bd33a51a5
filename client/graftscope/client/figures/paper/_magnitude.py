"""How much modules change the image, what that depends on (Fig. 3 right), and what it costs to
exclude impure channels (section 4.1).

It must not know how influence is measured, lines are fitted or purity is found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import INK, module_color
from graftscope.client.figures.paper._marks import (
    LEVELS,
    ErrorBars,
    Floats,
    Integers,
    Mark,
    mark_of,
    over_repeats,
)
from graftscope.client.figures.paper._page import (
    KEY,
    SINGLE,
    Page,
    dodged,
    entry,
    hold_bars,
    level_line,
    points,
    points_with_errors,
    whole_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POOLED = Mark(INK, "", "all layers")
_KEY = 46.0
_MARKERS = "os^DvP"


@dataclass(frozen=True)
class Line:
    """A regression of individual influence.

    Args:
        slope: Share of the image range a unit of the predictor; NaN draws no line.
        intercept: Share of the image range at a predictor of 0.
        r2: Share of the variance explained, 0 to 1.
    """

    slope: float
    intercept: float
    r2: float


@dataclass(frozen=True, eq=False)
class LayerMagnitude:
    """Modules of one layer, of all K together.

    Args:
        level: Of the layer; of one without a level its name, with a `mark`.
        total: How many channels it has.
        k: (M,) number of modules of the clustering that each module is of.
        channels: (M,) number of channels of each module.
        individual: (M,) individual influence with its standard error, share of the image range.
        on_channels: Regression on the number of channels.
        mark: How it is drawn; None for the mark of its level.
    """

    level: str
    total: int
    k: Integers
    channels: Integers
    individual: ErrorBars
    on_channels: Line
    mark: Mark | None = None

    @property
    def drawn_as(self) -> Mark:
        """How it is drawn.

        Raises:
            ValueError: If it has no mark, and is of no known level.
        """
        return self.mark or mark_of(LEVELS, self.level)


@dataclass(frozen=True, eq=False)
class Magnitude:
    """Input of `magnitude`.

    Args:
        layers: One or more, the coarsest first.
        pooled: Regression over all layers on the share of the layer's channels, 0 to 1.
    """

    layers: Sequence[LayerMagnitude]
    pooled: Line


def magnitude(found: Magnitude) -> "Figure":
    """Draw the magnitude of causal effects (Fig. 3 right), in per cent of the image range.

    Args:
        found: Modules of each layer and the regressions.

    Returns:
        A figure of one column's width. a: mean individual influence over the modules of a
        clustering against K, error bars the standard deviation over modules. b: of each module
        against its number of channels, with standard errors and a line a layer; c: against its
        share of the layer's channels, with the pooled line. The legend has each line's r².

    Raises:
        ReportExtraError: If matplotlib is not installed.
        ValueError: If a layer is of no known level.
    """
    page = Page(SINGLE, _KEY + 320)
    _key(page, found)
    unit = "Individual influence\n(% of image range)"
    top = page.plot(Box(50, _KEY + 6, 282, 116), "Number of modules K", unit)
    left = page.plot(Box(50, _KEY + 168, 130, 118), "Channels of the module", unit)
    right = page.plot(Box(198, _KEY + 168, 130, 118), "Share of the layer (%)")
    for index, layer in enumerate(found.layers):
        _over_k(top, layer, index, len(found.layers))
        _over_size(left, right, layer)
    _line(right, found.pooled, 100.0, _longest_share(found), INK)
    whole_ticks(top, (k for layer in found.layers for k in layer.k.tolist()))
    highest = max(left.get_ylim()[1], right.get_ylim()[1])
    for axes in (left, right):
        axes.set_xlim(left=0)
        axes.set_ylim(0, highest)
    right.tick_params(labelleft=False)
    top.set_ylim(bottom=0)
    for axes in (top, left, right):
        hold_bars(axes)
    right.set_ylim(left.get_ylim())
    for x, y, letter in ((0, _KEY, "a"), (0, _KEY + 162, "b"), (186, _KEY + 162, "c")):
        page.letter(x, y, letter)
    return page.figure


def _key(page: Page, found: Magnitude) -> None:
    entries = []
    for layer in found.layers:
        mark = layer.drawn_as
        entries.append(entry(mark, name=f"{mark.name}, r² = {_r2(layer.on_channels)} (b)"))
    entries.append(entry(_POOLED, name=f"all layers, r² = {_r2(found.pooled)} (c)", line="--"))
    page.key(entries, 6, 4, columns=2)


def _r2(line: Line) -> str:
    return f"{line.r2:.2f}" if np.isfinite(line.r2) else "none"


def _over_k(axes: "Axes", layer: LayerMagnitude, index: int, count: int) -> None:
    ks = sorted(set(layer.k.tolist()))
    groups = [over_repeats(100 * layer.individual.value[layer.k == k]) for k in ks]
    mean = np.array([group.value for group in groups], dtype=np.float64)
    deviation = np.array([group.error for group in groups], dtype=np.float64)
    places = dodged(ks, index, count, 0.16)
    points_with_errors(axes, places, ErrorBars(mean, deviation), layer.drawn_as)


def _over_size(left: "Axes", right: "Axes", layer: LayerMagnitude) -> None:
    mark = layer.drawn_as
    percent = layer.individual.times(100)
    share = 100 * layer.channels / layer.total
    points_with_errors(left, layer.channels, percent, mark, line=False, size=2.8)
    points_with_errors(right, share, percent, mark, line=False, size=2.8)
    _line(left, layer.on_channels, 1.0, float(layer.channels.max()), mark.color)


def _line(axes: "Axes", line: Line, units: float, end: float, color: str) -> None:
    """Draw a regression from 0 to ``end``; ``units`` of the axis make one of the predictor's."""
    ends: Floats = np.array([0.0, end])
    heights = 100 * (line.intercept + line.slope * ends / units)
    if np.isfinite(heights).all():
        axes.plot(ends, heights, color=color, linewidth=1.0, linestyle=(0, (4, 2)), zorder=2)


def _longest_share(found: Magnitude) -> float:
    return max(100 * float(layer.channels.max()) / layer.total for layer in found.layers)


@dataclass(frozen=True, eq=False)
class PureModule:
    """One module at every minimum purity.

    Args:
        channels: (n,) how many channels are left.
        share: (n,) individual influence over that of the module with all its channels, with its
            standard error; NaN where no channel is left.
    """

    channels: Integers
    share: ErrorBars


@dataclass(frozen=True, eq=False)
class Purity:
    """Input of `purity`.

    Args:
        minimum: (n,) the least share of its largest weight that a channel must have to stay.
        modules: K of them.
    """

    minimum: Floats
    modules: Sequence[PureModule]


def purity(found: Purity) -> "Figure":
    """Draw what excluding impure channels costs: a line a module.

    Args:
        found: Influence and number of channels at every minimum purity.

    Returns:
        A figure of one column's width. a: individual influence as a share of the module's own with
        all channels, with standard errors; b: channels kept.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    page = Page(SINGLE, KEY + 160)
    marks = [
        Mark(module_color(i), _MARKERS[i % len(_MARKERS)], f"Module {i}")
        for i in range(len(found.modules))
    ]
    page.key([entry(mark) for mark in marks], 6, 4, columns=4)
    left = page.plot(Box(42, KEY + 12, 124, 112), "Minimum purity", "Influence kept (%)")
    right = page.plot(Box(205, KEY + 12, 128, 112), "Minimum purity", "Channels kept")
    step = 0.012 * float(found.minimum.max() - found.minimum.min())
    for index, (module, mark) in enumerate(zip(found.modules, marks, strict=True)):
        places = dodged(found.minimum.tolist(), index, len(marks), step)
        points_with_errors(left, places, module.share.times(100), mark)
        points(right, found.minimum, module.channels, mark, zorder=2)
    level_line(left, 100.0)
    for axes in (left, right):
        axes.set_xlim(left.get_xlim())
        axes.locator_params(axis="x", nbins=5)
        axes.set_ylim(bottom=0)
        hold_bars(axes)
    page.letter(0, KEY + 8, "a")
    page.letter(172, KEY + 8, "b")
    return page.figure
