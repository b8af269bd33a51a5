"""What hybrids are like: whether they have an edge where a template ends (section 4.1: no
discontinuity), and what a tenth of β changes in them and in reconstructions (Fig. 6).

It must not know how borders are found, nor how energy, sharpness or overlay are measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import INK, MUTED, module_color
from graftscope.client.figures.paper._marks import ErrorBars, Floats
from graftscope.client.figures.paper._page import (
    BODY,
    DOUBLE,
    GAP,
    SINGLE,
    Page,
    error_bars,
    hold_bars,
    level_line,
)
from graftscope.client.pictures import to_pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TOP = 23.0
_SIDE = 122.0
_LEFT = 40.0
_PLOTS = 268.0
_HEAD = 20.0
_COLORS = ("#88a0b8", "#dd8844")
_NAMES = ("β", "β/10")
_FEWEST = 5


@dataclass(frozen=True, eq=False)
class ModuleSeams:
    """Gradient energy along the border of one module's template.

    Args:
        originals: (B,) mean squared gradient of each pair's originals there, in (image units a
            pixel)².
        hybrids: (B,) the same of the hybrid.
        ratio: Of hybrids' energy to originals'.
        interval: (low, high) confidence interval of the ratio.
        module: Which module, from 0.
    """

    originals: Floats
    hybrids: Floats
    ratio: float
    interval: tuple[float, float]
    module: int


@dataclass(frozen=True, eq=False)
class Seams:
    """Input of `seams`.

    Args:
        modules: One or more of them.
        confidence: Of the intervals, for example 0.95.
    """

    modules: Sequence[ModuleSeams]
    confidence: float


def seams(found: Seams) -> "Figure":
    """Draw gradient energy along templates' borders, hybrids against originals.

    Args:
        found: Energies of every pair, and their ratio a module.

    Returns:
        A figure of one column's width. a: a point a pair, on logarithmic axes, dashed where both
        are equal; b: the ratio of each module with its confidence interval.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    page = Page(SINGLE, _TOP + _SIDE + 34)
    left = page.plot(
        Box(50, _TOP, _SIDE - 4, _SIDE), "Originals (units²/px²)", "Hybrids (units²/px²)"
    )
    _pairs(left, found)
    interval = f"Ratio, {100 * found.confidence:g}% interval"
    right = page.plot(Box(212, _TOP, _SIDE - 2, _SIDE), "Module", interval)
    _ratios(right, found)
    page.letter(0, _TOP - 9, "a", "Gradient energy")
    page.letter(172, _TOP - 9, "b", "Hybrids / originals")
    return page.figure


def _pairs(axes: "Axes", found: Seams) -> None:
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    every = np.concatenate([np.r_[one.originals, one.hybrids] for one in found.modules])
    low, high = float(every[every > 0].min()) / 1.2, float(every.max()) * 1.2
    axes.plot([low, high], [low, high], color=MUTED, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
    for one in found.modules:
        color = module_color(one.module)
        axes.scatter(one.originals, one.hybrids, s=3, color=color, linewidths=0, alpha=0.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    for axis in (axes.xaxis, axes.yaxis):
        # Powers of ten would have exponents too small to read.
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=1.5, width=0.5, color=MUTED)


def _ratios(axes: "Axes", found: Seams) -> None:
    level_line(axes, 1.0)
    for place, one in enumerate(found.modules):
        color = module_color(one.module)
        axes.plot([place], [one.ratio], color=color, marker="o", markersize=4, markeredgewidth=0)
        axes.errorbar(
            [place],
            [one.ratio],
            yerr=[[one.ratio - one.interval[0]], [one.interval[1] - one.ratio]],
            fmt="none",
            ecolor=color,
            elinewidth=0.8,
            capsize=2,
            capthick=0.8,
        )
    highest = max(one.interval[1] for one in found.modules)
    axes.set_ylim(0, max(1.2, 1.1 * highest))
    axes.set_xlim(-0.6, len(found.modules) - 0.4)
    axes.set_xticks(np.arange(len(found.modules)), [str(one.module) for one in found.modules])


@dataclass(frozen=True, eq=False)
class Beta:
    """Input of `beta`.

    Args:
        images: (N, c, h, w) held-out images, in the generators' range; None where there are none.
        default: (N, c, h, w) their reconstructions with β; samples where there are no images.
        tenth: (N, c, h, w) the same with β/10.
        image_range: (low, high) of the images.
        sharpness: (2,) gradient energy of reconstructions over that of the images, with β and with
            β/10; 1 is as sharp. Without images, of samples over those with β.
        overlay: (2,) how far hybrids show the hair of both originals, likewise; 0 is not at all.
    """

    images: Floats | None
    default: Floats
    tenth: Floats
    image_range: tuple[float, float]
    sharpness: ErrorBars
    overlay: ErrorBars


def beta(found: Beta) -> "Figure":
    """Draw what a tenth of β changes (Fig. 6): reconstructions, sharpness, overlay of hair.

    Args:
        found: Images and the two measures.

    Returns:
        A figure of two columns' width; about six images read best.

    Raises:
        ValueError: If the images have another shape.
        ReportExtraError: If matplotlib is not installed.
    """
    count = max(_FEWEST, len(found.default))
    side = (DOUBLE - _LEFT - _PLOTS - (count - 1) * GAP) / count
    height = side * found.default.shape[2] / found.default.shape[3]
    rows = [(_NAMES[0], found.default), (_NAMES[1], found.tenth)]
    if found.images is not None:
        rows.insert(0, ("Image", found.images))
    page = Page(DOUBLE, max(150.0, _HEAD + len(rows) * (height + GAP)))
    page.letter(0, 13, "a", "Samples" if found.images is None else "Reconstructions")
    for row, (name, images) in enumerate(rows):
        y = _HEAD + row * (height + GAP)
        page.write(0, y + height / 2, name)
        for column, pixels in enumerate(to_pixels(images, found.image_range)):
            page.picture(pixels, Box(_LEFT, y, side, height).beside(column, GAP))
    left = DOUBLE - _PLOTS + 62
    one = "β" if found.images is None else "real"
    plots = ((f"Sharpness, {one} = 1", found.sharpness), ("Overlay score", found.overlay))
    for i, (name, shown) in enumerate(plots):
        box = Box(left + i * 132, _HEAD + 4, 72, page.height - _HEAD - 26)
        page.letter(box.x - 44, 13, "bc"[i])
        _bars(page, box, name, shown, one=i == 0)
    return page.figure


def _bars(page: Page, box: Box, name: str, shown: ErrorBars, *, one: bool) -> None:
    axes = page.plot(box, "", name)
    axes.bar(np.arange(2), shown.value, width=0.62, color=_COLORS, zorder=2)
    error_bars(axes, np.arange(2), shown, INK)
    axes.set_xticks(np.arange(2), _NAMES)
    axes.tick_params(axis="x", length=0, labelsize=BODY)
    axes.locator_params(axis="y", nbins=5)
    axes.set_xlim(-0.6, 1.6)
    if one:
        level_line(axes, 1.0)
        axes.set_ylim(0, max(1.08, axes.get_ylim()[1]))
    hold_bars(axes)
