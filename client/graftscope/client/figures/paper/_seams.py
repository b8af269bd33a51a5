"""Whether hybrids have an edge where a template ends (section 4.1: no discontinuity).

It must not know how borders are found or energies measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import MUTED, module_color
from graftscope.client.figures.paper._marks import Floats
from graftscope.client.figures.paper._page import SINGLE, Page, level_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TOP = 23.0
_SIDE = 122.0


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
