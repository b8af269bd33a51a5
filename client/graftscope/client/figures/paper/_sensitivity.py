"""How far results depend on settings that the paper leaves open (sections 3.2 and 3.3).

It must not know how any of them is varied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import MUTED
from graftscope.client.figures.paper._marks import LEVELS, Estimate, Floats, Mark, mark_of
from graftscope.client.figures.paper._page import (
    DOUBLE,
    Page,
    entry,
    lowest_shown,
    points_with_errors,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT = 40.0
_BETWEEN = 20.0
_KEY = 22.0
_HIGH = 98.0
_SECOND = 120.0


class Setting(Enum):
    """What is varied; the value is the name of its axis."""

    WINDOW = "Smoothing window (pixels)"
    PERCENTILE = "Threshold (percentile)"
    PAIRS = "Number of pairs"


@dataclass(frozen=True, eq=False)
class Sweep:
    """One setting varied, the others at their defaults.

    Args:
        setting: Which.
        values: (n,) of it; pairs are drawn on a logarithmic axis.
        default: Its default.
        levels: L names of levels.
        agreement: (L, n) share of channels with the default's label, and its error.
        consistency: (L, n) label consistency, and its standard deviation over repeats.
    """

    setting: Setting
    values: Floats
    default: float
    levels: Sequence[str]
    agreement: Estimate
    consistency: Estimate


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Input of `sensitivity`.

    Args:
        sweeps: One a column.
    """

    sweeps: Sequence[Sweep]


def sensitivity(found: Sensitivity) -> "Figure":
    """Draw how labels and their consistency change with each setting, a line a level.

    Args:
        found: The settings that were varied.

    Returns:
        A figure of two columns' width: above the agreement of labels with the default's, below
        label consistency, a column a setting; dotted where the default is.

    Raises:
        ReportExtraError: If matplotlib is not installed.
        ValueError: If a level is not known.
    """
    page = Page(DOUBLE, _KEY + 16 + _SECOND + _HIGH + 30)
    count = len(found.sweeps)
    width = (DOUBLE - _LEFT - (count - 1) * _BETWEEN - 14) / count
    entries = [entry(mark_of(LEVELS, level)) for level in found.sweeps[0].levels]
    page.key([*entries, entry(Mark(MUTED, "", "default"), line=":")], 6, 4, columns=5)
    for column, sweep in enumerate(found.sweeps):
        x = _LEFT + column * (width + _BETWEEN)
        first = column == 0
        upper = page.plot(Box(x, _KEY + 16, width, _HIGH), "", "Label agreement" if first else "")
        lower = page.plot(
            Box(x, _KEY + 16 + _SECOND, width, _HIGH),
            sweep.setting.value,
            "Label consistency" if first else "",
        )
        _lines(upper, sweep, sweep.agreement, lowest_shown(one.agreement for one in found.sweeps))
        _lines(
            lower, sweep, sweep.consistency, lowest_shown(one.consistency for one in found.sweeps)
        )
        upper.tick_params(labelbottom=False, labelleft=first)
        lower.tick_params(labelleft=first)
        for row in range(2):
            letter = chr(ord("a") + row * count + column)
            page.letter(x - (38 if first else 12), _KEY + 12 + row * _SECOND, letter)
    return page.figure


def _lines(axes: "Axes", sweep: Sweep, estimate: Estimate, low: float) -> None:
    axes.axvline(sweep.default, color=MUTED, linewidth=0.9, linestyle=":", zorder=1)
    for i, level in enumerate(sweep.levels):
        one = Estimate(estimate.value[i], estimate.error[i])
        points_with_errors(axes, sweep.values, one, mark_of(LEVELS, level))
    axes.set_ylim(low, 1 + (1 - low) / 15)
    if sweep.setting is Setting.PAIRS:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(sweep.values, [f"{value:.10g}" for value in sweep.values.tolist()])
