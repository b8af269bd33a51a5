"""How far clusters depend on the channels they were found in (Fig. 5).

It must not know how stability is computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import INK, MUTED
from graftscope.client.figures.paper._marks import (
    METHODS,
    Floats,
    Integers,
    Mark,
    mark_of,
    over_repeats,
)
from graftscope.client.figures.paper._page import (
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
    draw_methods(left, layer.k, layer.methods, layer.consistency, layer.suggested)
    draw_methods(right, layer.k, layer.methods, layer.cosine, layer.suggested)
    draw_chance(left, layer.k, layer.methods, layer.chance)
    for panel, box in enumerate(boxes, first):
        page.letter(box.x - 36, y + 4, chr(ord("a") + panel))


def legend_of_methods(methods: Sequence[str]) -> list["Line2D"]:
    """Entries for each method, for chance and for the suggested K."""
    entries = [entry(mark_of(METHODS, method)) for method in methods]
    entries.append(entry(Mark(MUTED, "", "chance"), line="--"))
    entries.append(entry(Mark(INK, "o", "suggested K"), line="none", filled=False))
    return entries


def draw_methods(
    axes: "Axes", k: Integers, methods: Sequence[str], values: Floats, suggested: Integers
) -> None:
    """Draw a line a method, mean and standard deviation over repeats, from 0 to 1."""
    for index, method in enumerate(methods):
        mark = mark_of(METHODS, method)
        estimate = over_repeats(values[index])
        places = dodged(k.tolist(), index, len(methods), 0.18)
        points_with_errors(axes, places, estimate, mark)
        chosen = k == suggested[index]
        axes.plot(
            places[chosen],
            estimate.value[chosen],
            linestyle="none",
            marker="o",
            markersize=6.5,
            markerfacecolor="none",
            markeredgecolor=mark.color,
            markeredgewidth=0.9,
            zorder=4,
        )
    whole_ticks(axes, k.tolist())
    axes.set_ylim(0, 1.05)
    axes.set_yticks(np.linspace(0, 1, 6))


def draw_chance(axes: "Axes", k: Integers, methods: Sequence[str], chance: Floats) -> None:
    """Draw a dashed line a method."""
    for values, method in zip(chance, methods, strict=True):
        color = mark_of(METHODS, method).color
        axes.plot(k, values, color=color, linewidth=0.8, linestyle=(0, (3, 2)), zorder=2)
