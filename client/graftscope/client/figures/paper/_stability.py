"""How far modules depend on the channels they were found in (Fig. 5), by number and by way of
clustering; and the templates of several ways, where images are not aligned (section 5).

It must not know how stability is computed, nor how any of them clusters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import INK, MUTED, TEMPLATE_COLORS
from graftscope.client.figures.paper._marks import (
    METHODS,
    Floats,
    Integers,
    Mark,
    mark_of,
    over_repeats,
)
from graftscope.client.figures.paper._page import (
    DOUBLE,
    GAP,
    SINGLE,
    Page,
    dodged,
    entry,
    points_with_errors,
    whole_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_LEFT = 38.0
_WIDE = 128.0
_HIGH = 112.0
_KEY = 26.0
_HEADING = 16.0
_LOWER = 34.0
_APART = 14.0
_FLOOR = 0.4
_ROOM = 0.02
_PLOT = Box(40, 52, 360, 172)
_NAMES = 430.0
_TEMPLATES = 512.0
_TOP = 23.0
_BAR = 40.0
_LARGEST = 56.0


@dataclass(frozen=True, eq=False)
class LayerStability:
    """Stability of one layer's clusters.

    Args:
        level: Of the layer, or another name of the row.
        k: (n,) numbers of modules.
        methods: M names out of `METHODS`.
        consistency: (M, n, R) share of channels with one label in both runs; NaN where a run did
            not settle.
        cosine: (M, n, R) cosine of matched templates, averaged over modules.
        chance: (M, n) consistency of permuted labels.
        suggested: (M,) the K that each method's consistency suggests.
    """

    level: str
    k: Integers
    methods: Sequence[str]
    consistency: Floats
    cosine: Floats
    chance: Floats
    suggested: Integers


@dataclass(frozen=True, eq=False)
class Stability:
    """Input of `stability`.

    Args:
        layers: One a row, with the same methods.
    """

    layers: Sequence[LayerStability]


def stability(found: Stability) -> "Figure":
    """Draw label consistency and cosine similarity against K (Fig. 5), a column a layer.

    Args:
        found: Consistency and cosine of every repeat.

    Returns:
        A figure of two columns' width, consistency above and cosine below; of one column's width,
        both side by side, for one layer. Mean over repeats, error bars the standard deviation;
        dashed in the method's colour the consistency of chance; a ring around the suggested K.
        All panels share one axis, from 0.4 (lower where something lies lower) to 1 and more.

    Raises:
        ReportExtraError: If matplotlib is not installed.
        ValueError: If a method is not known.
    """
    page, rows = _single() if len(found.layers) == 1 else _landscape(found.layers)
    page.key(legend_of_methods(found.layers[0].methods), 6, 4, columns=4)
    lowest, highest = _range(
        [each for one in found.layers for each in (one.consistency, one.cosine)],
        [layer.chance for layer in found.layers],
    )
    for (above, below), layer in zip(rows, found.layers, strict=True):
        draw_methods(above, layer.k, layer.methods, layer.consistency, layer.suggested)
        draw_chance(above, layer.k, layer.methods, layer.chance)
        draw_methods(below, layer.k, layer.methods, layer.cosine, layer.suggested)
        for axes in (above, below):
            _shares(axes, lowest, highest)
    return page.figure


def _single() -> tuple[Page, list[tuple["Axes", "Axes"]]]:
    """Two panels side by side on one column."""
    page = Page(SINGLE, _KEY + 14 + _HIGH + 30)
    boxes = [Box(x, _KEY + 14, _WIDE, _HIGH) for x in (_LEFT, SINGLE - _WIDE - 2)]
    for letter, box in zip("ab", boxes, strict=True):
        page.letter(box.x - 36, _KEY + 8, letter)
    left, right = (
        page.plot(box, "Number of modules K", name)
        for box, name in zip(boxes, ("Label consistency", "Cosine similarity"), strict=True)
    )
    return page, [(left, right)]


def _landscape(layers: Sequence[LayerStability]) -> tuple[Page, list[tuple["Axes", "Axes"]]]:
    """Consistency above cosine, a column a layer, with the numbers of one axis at the left."""
    top = _KEY + _HEADING
    page = Page(DOUBLE, top + 2 * _HIGH + _LOWER + 30)
    width = (DOUBLE - _LEFT - (len(layers) - 1) * _APART - 2) / len(layers)
    found = []
    for column, layer in enumerate(layers):
        above = Box(_LEFT + column * (width + _APART), top, width, _HIGH)
        below = above._replace(y=top + _HIGH + _LOWER)
        names = ("Label consistency", "Cosine similarity") if column == 0 else ("", "")
        panels = (
            page.plot(above, "", names[0]),
            page.plot(below, "Number of modules K", names[1]),
        )
        for row, (axes, box) in enumerate(zip(panels, (above, below), strict=True)):
            axes.tick_params(labelleft=column == 0)
            page.letter(box.x, box.y - 6, chr(ord("a") + row * len(layers) + column))
        page.write(above.x + 14, above.y - 6, layer.level, bold=True, anchor="baseline")
        found.append(panels)
    return page, found


def _range(values: Sequence[Floats], chance: Sequence[Floats]) -> tuple[float, float]:
    """From where to where an axis of shares must reach, so that no error bar is cut off."""
    bars = [over_repeats(each) for each in values]
    lows = [np.nanmin(one.value - np.nan_to_num(one.error), initial=_FLOOR) for one in bars]
    lows += [np.nanmin(one, initial=_FLOOR) for one in chance]
    highs = [np.nanmax(one.value + np.nan_to_num(one.error), initial=1.0) for one in bars]
    return float(np.floor(10 * min(lows)) / 10), float(max(highs)) + _ROOM


def _shares(axes: "Axes", lowest: float, highest: float) -> None:
    """Limits, and ticks up to 1; none above, where only error bars reach."""
    step = 0.1 if lowest >= _FLOOR else 0.2
    axes.set_ylim(lowest, highest)
    axes.set_yticks(step * np.arange(np.ceil(lowest / step - _ROOM), round(1 / step) + 1))


def legend_of_methods(methods: Sequence[str]) -> list["Line2D"]:
    """Entries for each method, for chance and for the suggested K."""
    entries = [entry(mark_of(METHODS, method)) for method in methods]
    entries.append(entry(Mark(MUTED, "", "chance"), line="--"))
    entries.append(entry(Mark(INK, "o", "suggested K"), line="none", filled=False))
    return entries


def draw_methods(
    axes: "Axes", k: Integers, methods: Sequence[str], values: Floats, suggested: Integers
) -> None:
    """Draw a line a method, mean and standard deviation over repeats, and ring what it suggests."""
    for index, method in enumerate(methods):
        mark = mark_of(METHODS, method)
        mean = over_repeats(values[index])
        places = dodged(k.tolist(), index, len(methods), min(0.18, 0.7 / len(methods)))
        points_with_errors(axes, places, mean, mark)
        chosen = k == suggested[index]
        axes.plot(
            places[chosen],
            mean.value[chosen],
            linestyle="none",
            marker="o",
            markersize=6.5,
            markerfacecolor="none",
            markeredgecolor=mark.color,
            markeredgewidth=0.9,
            zorder=4,
        )
    whole_ticks(axes, k.tolist())


def draw_chance(axes: "Axes", k: Integers, methods: Sequence[str], chance: Floats) -> None:
    """Draw what chance gives, (M, n), as a dashed line a method."""
    for method, values in zip(methods, chance, strict=True):
        color, dashes = mark_of(METHODS, method).color, (0, (3, 2))
        axes.plot(k, values, color=color, linewidth=0.8, linestyle=dashes, zorder=2)


@dataclass(frozen=True, eq=False)
class Methods:
    """Input of `methods`.

    Args:
        k: (n,) numbers of modules.
        methods: M names out of `METHODS`.
        consistency: (M, n, R) share of channels with one label in both runs; NaN where a run did
            not settle.
        chance: (M, n) consistency of permuted labels.
        suggested: (M,) the K that each method's consistency suggests.
        templates: (M, K, H, W) of one K, not negative.
        channels: (M, K) how many channels each module has.
    """

    k: Integers
    methods: Sequence[str]
    consistency: Floats
    chance: Floats
    suggested: Integers
    templates: Floats
    channels: Integers


def methods(found: Methods) -> "Figure":
    """Draw label consistency of several ways of clustering, and the templates that they find.

    Args:
        found: Consistency of every repeat, and templates of one K.

    Returns:
        A figure of two columns' width. a: as in `stability`; b: a row a method, each template as a
        share of its maximum, its number of channels below.

    Raises:
        ReportExtraError: If matplotlib is not installed.
        ValueError: If a method is not known.
    """
    count, k, height, width = found.templates.shape
    step = (DOUBLE - _TEMPLATES - 2 + GAP) / k
    side = min(step - GAP, _LARGEST)
    row = side * height / width + 15
    page = Page(DOUBLE, max(_TOP + count * row + _BAR, _PLOT.y + _PLOT.height + 32))
    page.key(legend_of_methods(found.methods), 24, 4, columns=3)
    page.letter(0, 14, "a")
    plot = _PLOT._replace(height=page.height - _PLOT.y - 30)
    axes = page.plot(plot, "Number of modules K", "Label consistency")
    draw_methods(axes, found.k, found.methods, found.consistency, found.suggested)
    draw_chance(axes, found.k, found.methods, found.chance)
    _shares(axes, *_range([found.consistency], [found.chance]))
    page.letter(_NAMES, 14, "b", f"Templates, K = {k}")
    for i, method in enumerate(found.methods):
        y = _TOP + i * row
        mark = mark_of(METHODS, method)
        page.write(_NAMES, y + row / 2 - 6, mark.name, color=mark.color, bold=True)
        for module in range(k):
            box = Box(_TEMPLATES + module * (side + GAP + 2), y, side, row - 15)
            page.template(found.templates[i, module], box, module, 1.4)
            page.below(box, str(found.channels[i, module]), 6.5)
    bar = Box(_TEMPLATES, page.height - 20, 120, 6)
    page.scale(bar, TEMPLATE_COLORS, 1.0, "Share of the template's maximum")
    return page.figure
