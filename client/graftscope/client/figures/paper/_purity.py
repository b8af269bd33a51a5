"""What it costs to exclude impure channels (section 4.1). It must not know how purity is found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import module_color
from graftscope.client.figures.paper._marks import Estimate, Floats, Integers, Mark
from graftscope.client.figures.paper._page import (
    SINGLE,
    Page,
    dodged,
    entry,
    level_line,
    points_with_errors,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KEY = 22.0
_MARKERS = "os^DvP"


@dataclass(frozen=True, eq=False)
class PureModule:
    """One module at every minimum purity.

    Args:
        channels: (n,) how many channels are left.
        share: (n,) individual influence over that of the module with all its channels, with its
            standard error; NaN where no channel is left.
    """

    channels: Integers
    share: Estimate


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
    page = Page(SINGLE, _KEY + 160)
    marks = [
        Mark(module_color(i), _MARKERS[i % len(_MARKERS)], f"Module {i}")
        for i in range(len(found.modules))
    ]
    page.key([entry(mark) for mark in marks], 6, 4, columns=4)
    left = page.plot(Box(42, _KEY + 12, 124, 112), "Minimum purity", "Influence kept (%)")
    right = page.plot(Box(205, _KEY + 12, 128, 112), "Minimum purity", "Channels kept")
    step = 0.012 * float(found.minimum.max() - found.minimum.min())
    for index, (module, mark) in enumerate(zip(found.modules, marks, strict=True)):
        places = dodged(found.minimum.tolist(), index, len(marks), step)
        percent = Estimate(100 * module.share.value, 100 * module.share.error)
        points_with_errors(left, places, percent, mark)
        right.plot(
            found.minimum,
            module.channels,
            color=mark.color,
            marker=mark.marker,
            markersize=3.4,
            markeredgewidth=0,
            linewidth=1.0,
        )
    level_line(left, 100.0)
    for axes in (left, right):
        axes.set_xlim(left.get_xlim())
        axes.locator_params(axis="x", nbins=5)
        axes.set_ylim(bottom=0)
    page.letter(0, _KEY + 8, "a")
    page.letter(172, _KEY + 8, "b")
    return page.figure
