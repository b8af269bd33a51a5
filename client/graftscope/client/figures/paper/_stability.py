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
_HIGH = 108.0
_STEP = 146.0
_KEY = 30.0
_PLOT = Box(40, 52, 360, 172)
_NAMES = 430.0
_TEMPLATES = 492.0
_TOP = 23.0
_BAR = 40.0
_LARGEST = 56.0


@dataclass(frozen=True, eq=False)
class LayerStability:
    """Stability of one layer's clusters.

    Args:
        level: Of the layer, or another name of the row.
        k: (n,) numbers of modules.
        methods: M names out of nmf, kmeans, pca, spectral.
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
    """Draw label consistency and cosine similarity against K (Fig. 5), a row a layer.

    Args:
        found: Consistency and cosine of every repeat.

    Returns:
        A figure of one column's width: mean over repeats, error bars the standard deviation;
        dashed in the method's colour the consistency of chance; a ring around the suggested K.

    Raises:
        ReportExtraError: If matplotlib is not installed.
        ValueError: If a method is not known.
    """
    page = Page(SINGLE, _KEY + _STEP * len(found.layers) + 4)
    page.key(legend_of_methods(found.layers[0].methods), 6, 4, columns=4)
    for row, layer in enumerate(found.layers):
        last = row == len(found.layers) - 1
        _row(page, layer, _KEY + row * _STEP, first=2 * row, last=last)
        if len(found.layers) > 1:
            page.write(SINGLE, _KEY + row * _STEP + 1, layer.level, bold=True, align="right")
    return page.figure


def _row(page: Page, layer: LayerStability, y: float, *, first: int, last: bool) -> None:
    x_label = "Number of modules K" if last else ""
    names = ("Label consistency", "Cosine similarity")
    boxes = [Box(x, y + 8, _WIDE, _HIGH) for x in (_LEFT, SINGLE - _WIDE - 2)]
    left, right = (page.plot(box, x_label, name) for box, name in zip(boxes, names, strict=True))
    draw_methods(left, layer.k, layer.methods, layer.consistency, layer.suggested, layer.chance)
    draw_methods(right, layer.k, layer.methods, layer.cosine, layer.suggested)
    for panel, box in enumerate(boxes, first):
        page.letter(box.x - 36, y + 4, chr(ord("a") + panel))


def legend_of_methods(methods: Sequence[str]) -> list["Line2D"]:
    """Entries for each method, for chance and for the suggested K."""
    entries = [entry(mark_of(METHODS, method)) for method in methods]
    entries.append(entry(Mark(MUTED, "", "chance"), line="--"))
    entries.append(entry(Mark(INK, "o", "suggested K"), line="none", filled=False))
    return entries


def draw_methods(
    axes: "Axes",
    k: Integers,
    methods: Sequence[str],
    values: Floats,
    suggested: Integers,
    chance: Floats | None = None,
) -> None:
    """Draw a line a method, mean and standard deviation over repeats, from 0 to 1.

    With what chance gives, (M, n), a dashed line a method too.
    """
    for index, method in enumerate(methods):
        mark = mark_of(METHODS, method)
        mean = over_repeats(values[index])
        places = dodged(k.tolist(), index, len(methods), 0.18)
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
        if chance is not None:
            dashes = (0, (3, 2))
            axes.plot(k, chance[index], color=mark.color, linewidth=0.8, linestyle=dashes, zorder=2)
    whole_ticks(axes, k.tolist())
    axes.set_ylim(0, 1.05)
    axes.set_yticks(np.linspace(0, 1, 6))


@dataclass(frozen=True, eq=False)
class Methods:
    """Input of `methods`.

    Args:
        k: (n,) numbers of modules.
        methods: M names out of nmf, kmeans, pca, spectral.
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
    draw_methods(axes, found.k, found.methods, found.consistency, found.suggested, found.chance)
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
