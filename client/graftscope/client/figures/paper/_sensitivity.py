"""How far results depend on settings that the paper leaves open (sections 3.2 and 3.3), and on
where originals come from: photographs, encodings or the prior.

It must not know how a setting is varied or originals are drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import MUTED, RULE
from graftscope.client.figures.paper._marks import LEVELS, SOURCES, ErrorBars, Floats, Mark, mark_of
from graftscope.client.figures.paper._page import (
    BODY,
    DOUBLE,
    KEY,
    Page,
    entry,
    points_with_errors,
    range_shown,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT = 40.0
_BETWEEN = 20.0
_HIGH = 98.0
_SECOND = 120.0
_NAMES = 72.0
_APART = 18.0
_ROW = 30.0
_DODGE = 0.2


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
    agreement: ErrorBars
    consistency: ErrorBars


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
    page = Page(DOUBLE, KEY + 16 + _SECOND + _HIGH + 30)
    count = len(found.sweeps)
    width = (DOUBLE - _LEFT - (count - 1) * _BETWEEN - 14) / count
    entries = [entry(mark_of(LEVELS, level)) for level in found.sweeps[0].levels]
    page.key([*entries, entry(Mark(MUTED, "", "default"), line=":")], 6, 4, columns=5)
    for column, sweep in enumerate(found.sweeps):
        x = _LEFT + column * (width + _BETWEEN)
        first = column == 0
        upper = page.plot(Box(x, KEY + 16, width, _HIGH), "", "Label agreement" if first else "")
        lower = page.plot(
            Box(x, KEY + 16 + _SECOND, width, _HIGH),
            sweep.setting.value,
            "Label consistency" if first else "",
        )
        _lines(upper, sweep, sweep.agreement)
        _lines(lower, sweep, sweep.consistency)
        upper.set_ylim(range_shown(one.agreement for one in found.sweeps))
        lower.set_ylim(range_shown(one.consistency for one in found.sweeps))
        upper.tick_params(labelbottom=False, labelleft=first)
        lower.tick_params(labelleft=first)
        for row in range(2):
            letter = chr(ord("a") + row * count + column)
            page.letter(x - (38 if first else 12), KEY + 12 + row * _SECOND, letter)
    return page.figure


def _lines(axes: "Axes", sweep: Sweep, shares: ErrorBars) -> None:
    axes.axvline(sweep.default, color=MUTED, linewidth=0.9, linestyle=":", zorder=1)
    for i, level in enumerate(sweep.levels):
        points_with_errors(axes, sweep.values, shares[i], mark_of(LEVELS, level))
    if sweep.setting is Setting.PAIRS:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(sweep.values, [f"{value:.10g}" for value in sweep.values.tolist()])


@dataclass(frozen=True, eq=False)
class Originals:
    """Input of `originals`.

    Args:
        levels: L names, the coarsest first.
        sources: S names out of real, encoded, prior.
        reference: The source that the others are compared with; where its own value is 1 by
            definition, give NaN.
        correlation: (S, L) mean correlation of channels' maps with the reference's.
        ratio: (S, L) individual influence over the reference's.
        agreement: (S, L) share of channels with the reference's label, at ``k``.
        consistency: (S, L) label consistency at ``k``; the reference has one too.
        k: Number of modules.
    """

    levels: Sequence[str]
    sources: Sequence[str]
    reference: str
    correlation: ErrorBars
    ratio: ErrorBars
    agreement: ErrorBars
    consistency: ErrorBars
    k: int


def originals(found: Originals) -> "Figure":
    """Draw how maps, labels and stability differ between sources of originals, level by level.

    Args:
        found: Four quantities with their errors.

    Returns:
        A figure of two columns' width: a panel a quantity, a row a level, dashed the value of the
        reference where it is 1 by definition.

    Raises:
        ReportExtraError: If matplotlib is not installed.
        ValueError: If a source is not known.
    """
    high = _ROW * len(found.levels)
    page = Page(DOUBLE, KEY + 20 + high + 32)
    marks = [mark_of(SOURCES, source) for source in found.sources]
    reference = mark_of(SOURCES, found.reference)
    entries = [entry(mark, line="none") for mark in marks]
    entries.append(entry(Mark(reference.color, "", f"the same as {reference.name}"), line="--"))
    page.key(entries, 6, 4, columns=5)
    panels = (
        ("Correlation of maps", found.correlation, True),
        ("Ratio of influences", found.ratio, True),
        (f"Same label, K = {found.k}", found.agreement, True),
        (f"Consistency, K = {found.k}", found.consistency, False),
    )
    width = (DOUBLE - _NAMES - 3 * _APART - 10) / 4
    for column, (name, shares, compared) in enumerate(panels):
        box = Box(_NAMES + column * (width + _APART), KEY + 16, width, high)
        axes = page.plot(box, name)
        page.letter(box.x - 4, KEY + 10, "abcd"[column])
        _points(axes, shares, marks)
        _rows(axes, found.levels, named=column == 0)
        if compared:
            axes.axvline(1, color=reference.color, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        axes.set_xlim(range_shown([shares]))
        axes.locator_params(axis="x", nbins=4)
    return page.figure


def _points(axes: "Axes", shares: ErrorBars, marks: Sequence[Mark]) -> None:
    count = shares.value.shape[1]
    for i, mark in enumerate(marks):
        rows = np.arange(count) + (i - (len(marks) - 1) / 2) * _DODGE
        points_with_errors(axes, rows, shares[i], mark, line=False, size=3.8, across=True)


def _rows(axes: "Axes", levels: Sequence[str], *, named: bool) -> None:
    """A row a level, the first on top, with thin lines between them."""
    axes.set_ylim(len(levels) - 0.5, -0.5)
    axes.set_yticks(np.arange(len(levels)), list(levels) if named else [""] * len(levels))
    axes.tick_params(axis="y", length=0, labelsize=BODY, pad=4)
    axes.spines["left"].set_color(MUTED if named else RULE)
    for edge in range(1, len(levels)):
        axes.axhline(edge - 0.5, color=RULE, linewidth=0.6, zorder=0)
