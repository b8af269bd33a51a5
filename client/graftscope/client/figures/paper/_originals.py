"""How far results depend on where originals come from: photographs, encodings or the prior.

It must not know how any of them is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import MUTED, RULE
from graftscope.client.figures.paper._marks import SOURCES, Estimate, Mark, mark_of
from graftscope.client.figures.paper._page import (
    BODY,
    DOUBLE,
    Page,
    entry,
    error_bars,
    lowest_shown,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT = 72.0
_BETWEEN = 18.0
_KEY = 22.0
_ROW = 30.0
_DODGE = 0.2


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
    correlation: Estimate
    ratio: Estimate
    agreement: Estimate
    consistency: Estimate
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
    page = Page(DOUBLE, _KEY + 20 + high + 32)
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
    width = (DOUBLE - _LEFT - 3 * _BETWEEN - 10) / 4
    for column, (name, estimate, compared) in enumerate(panels):
        box = Box(_LEFT + column * (width + _BETWEEN), _KEY + 16, width, high)
        axes = page.plot(box, name)
        page.letter(box.x - 4, _KEY + 10, "abcd"[column])
        _points(axes, estimate, marks)
        _rows(axes, found.levels, named=column == 0)
        if compared:
            axes.axvline(1, color=reference.color, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        low = lowest_shown([estimate])
        top = max(1.0, float(np.nanmax(estimate.value + np.nan_to_num(estimate.error))))
        axes.set_xlim(low, top + (top - low) / 15)
        axes.locator_params(axis="x", nbins=4)
    return page.figure


def _points(axes: "Axes", estimate: Estimate, marks: Sequence[Mark]) -> None:
    count = estimate.value.shape[1]
    for i, mark in enumerate(marks):
        rows = np.arange(count) + (i - (len(marks) - 1) / 2) * _DODGE
        known = np.isfinite(estimate.value[i])
        axes.plot(
            estimate.value[i][known],
            rows[known],
            color=mark.color,
            marker=mark.marker,
            markersize=3.8,
            markeredgewidth=0,
            linestyle="none",
            zorder=3,
        )
        one = Estimate(estimate.value[i], estimate.error[i])
        error_bars(axes, rows, one, mark.color, across=True)


def _rows(axes: "Axes", levels: Sequence[str], *, named: bool) -> None:
    """A row a level, the first on top, with thin lines between them."""
    axes.set_ylim(len(levels) - 0.5, -0.5)
    axes.set_yticks(np.arange(len(levels)), list(levels) if named else [""] * len(levels))
    axes.tick_params(axis="y", length=0, labelsize=BODY, pad=4)
    axes.spines["left"].set_color(MUTED if named else RULE)
    for edge in range(1, len(levels)):
        axes.axhline(edge - 0.5, color=RULE, linewidth=0.6, zorder=0)
