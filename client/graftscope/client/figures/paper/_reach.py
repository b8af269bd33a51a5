"""Extrinsic against intrinsic: what few latents reach, and few channels (Definitions 3 and 4).

It must not know how units are ranked or effects are measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import INK, MUTED
from graftscope.client.figures.paper._marks import LEVELS, PLACES, ErrorBars, Floats, Mark
from graftscope.client.figures.paper._page import DOUBLE, Page, entry, level_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LATENTS = Mark(INK, "o", "latents")
_ENTRIES = 6
_KEY = 14.0
_TOP = 24.0
_HIGH = 132.0
_ROW = 190.0
_LEFT = 46.0
_WIDE = 276.0
_BAND = 0.18


@dataclass(frozen=True, eq=False)
class ReachCurve:
    """What the first units of one kind reach.

    Args:
        name: ``latents``, or a layer's level or name.
        total: How many units there are of the kind.
        best: (n,) the share of the reachable effect that the best 1, 2, ..., n give, with its
            standard error; NaN where there are no more.
        random: (n,) the same in random order.
    """

    name: str
    total: int
    best: ErrorBars
    random: ErrorBars


@dataclass(frozen=True, eq=False)
class ReachTarget:
    """What is to be changed, and what reaches it.

    Args:
        name: In words.
        curves: The latents first, then the layers.
    """

    name: str
    curves: Sequence[ReachCurve]


@dataclass(frozen=True, eq=False)
class Reach:
    """Input of `reach`.

    Args:
        targets: One or more, of the same kinds of units.
    """

    targets: Sequence[ReachTarget]


def reach(found: Reach) -> "Figure":
    """Draw how much of what can be reached the best units give: a row a target.

    Args:
        found: Curves of each target.

    Returns:
        A figure of two columns' width. Left: against the number of units; right: against their
        share of all units of the kind, for there are not as many latents as channels. Bands are
        one standard error wide to each side; thin dashed lines are units in random order.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    targets = found.targets
    marks = [_LATENTS, *_of_layers([curve.name for curve in targets[0].curves[1:]])]
    lines = -(-(len(marks) + 1) // _ENTRIES)
    key = lines * _KEY + 6
    page = Page(DOUBLE, key + len(targets) * _ROW)
    entries = [entry(mark) for mark in marks]
    page.key([*entries, entry(Mark(MUTED, "", "random order"), line="--")], 6, 4, columns=_ENTRIES)
    for row, target in enumerate(targets):
        _row(page, key + row * _ROW, target, marks, chr(ord("a") + 2 * row))
    return page.figure


def _of_layers(names: Sequence[str]) -> list[Mark]:
    """A mark a layer: that of its level, or of its place where one has no level."""
    if all(name in LEVELS for name in names):
        return [LEVELS[name] for name in names]
    return [PLACES[i % len(PLACES)]._replace(name=name) for i, name in enumerate(names)]


def _row(page: Page, y: float, target: ReachTarget, marks: Sequence[Mark], letter: str) -> None:
    unit = "Reachable effect (%)"
    left = page.plot(Box(_LEFT, y + _TOP, _WIDE, _HIGH), "Units swapped", unit)
    box = Box(DOUBLE - _WIDE - 4, y + _TOP, _WIDE, _HIGH)
    right = page.plot(box, "Share of all units of the kind (%)")
    page.letter(0, y + 14, letter, target.name)
    page.letter(box.x - 18, y + 14, chr(ord(letter) + 1))
    for curve, mark in zip(target.curves, marks, strict=True):
        places = np.arange(1.0, len(curve.best.value) + 1)
        _curve(left, places, curve, mark)
        _curve(right, 100 * places / curve.total, curve, mark)
    for axes in (left, right):
        axes.set_xlim(left=0)
        axes.set_ylim(*_limits(target))
        level_line(axes, 100.0)
    left.locator_params(axis="x", integer=True)
    right.tick_params(labelleft=False)


def _curve(axes: "Axes", places: Floats, curve: ReachCurve, mark: Mark) -> None:
    """A curve from nothing at 0, with its band, and the random one below it."""
    for found, style, size in ((curve.best, "-", 2.6), (curve.random, (0, (3, 2)), 0.0)):
        known = np.isfinite(found.value)
        x = np.append(0.0, places[known])
        value = np.append(0.0, 100 * found.value[known])
        error = np.append(0.0, 100 * np.nan_to_num(found.error[known]))
        axes.plot(
            x,
            value,
            color=mark.color,
            marker=mark.marker if size else "",
            markersize=size,
            markeredgewidth=0,
            linewidth=1.1 if size else 0.8,
            linestyle=style,
            zorder=3 if size else 2,
        )
        axes.fill_between(
            x, value - error, value + error, color=mark.color, alpha=_BAND, linewidth=0, zorder=1
        )


def _limits(target: ReachTarget) -> tuple[float, float]:
    """From below all bands, or 0, to above all of them, or 100."""
    found = [each for curve in target.curves for each in (curve.best, curve.random)]
    low = min(np.nanmin(x.value - np.nan_to_num(x.error), initial=0.0) for x in found)
    high = max(np.nanmax(x.value + np.nan_to_num(x.error), initial=1.0) for x in found)
    return 100 * float(low) - 3.0 * (low < 0), 100 * float(high) + 3.0
