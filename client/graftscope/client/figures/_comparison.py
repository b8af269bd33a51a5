"""Modules of two layers or models, side by side: matched ones one above the other.

It must not know how they were matched: it draws what it is given.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures._canvas import WIDTH, Box, Canvas
from graftscope.client.figures._palette import MUTED, RULE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LARGE = 150.0
_GAP = 22.0
_LEFT = 34.0
_TOP = 46.0
_BETWEEN = 46.0
_NARROW = 84.0
_WIDE = 145.0


def comparison_figure(
    templates_a: NDArray[np.floating],
    templates_b: NDArray[np.floating],
    pairs: NDArray[np.integer],
    cosine: NDArray[np.floating],
    overlap: NDArray[np.floating],
    names: tuple[str, str] = ("A", "B"),
) -> "Figure":
    """Draw matched templates one above the other, and those without a match behind them.

    Both of a pair have the colour of the pair's place; those without a match have none.

    Args:
        templates_a: (A, H, W); each has a colour scale of its own, from 0 to its maximum.
        templates_b: (B, H, W).
        pairs: (M, 2) which go together, in the order of the columns.
        cosine: (M,) of each pair.
        overlap: (M,) of each pair, 0 to 1.
        names: What the rows are of.

    Returns:
        A matplotlib figure, at most 1,080 layout pixels wide.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    places: list[tuple[int | None, int | None]] = [(int(a), int(b)) for a, b in pairs]
    places += [(at, None) for at in _alone(len(templates_a), pairs[:, 0])]
    places += [(None, at) for at in _alone(len(templates_b), pairs[:, 1])]
    count = len(places)
    width = min(_LARGE, (WIDTH - _LEFT - 6 + _GAP) / count - _GAP)
    height = width * templates_a.shape[1] / templates_a.shape[2]
    lower = _TOP + height + _BETWEEN
    canvas = Canvas(max(420.0, _LEFT + count * (width + _GAP) - _GAP + 6), lower + height + 28)
    canvas.text(0, 9, f"A: {names[0]}", size=12, color=MUTED)
    canvas.text(0, 26, f"B: {names[1]}", size=12, color=MUTED)
    for y, letter in ((_TOP, "A"), (lower, "B")):
        canvas.text(6, y + height / 2, letter, size=15, bold=True)
    for column, (first, second) in enumerate(places):
        box = Box(_LEFT + column * (width + _GAP), _TOP, width, height)
        below = box._replace(y=lower)
        color = column if column < len(pairs) else None
        _module(canvas, box, templates_a, first, color, box.y + height + 13)
        _module(canvas, below, templates_b, second, color, below.y + height + 13)
        if column < len(pairs):
            _numbers(canvas, box, cosine[column], overlap[column])
    return canvas.figure


def _module(
    canvas: Canvas,
    box: Box,
    templates: NDArray[np.floating],
    index: int | None,
    color: int | None,
    below: float,
) -> None:
    """A template with its number, or the place of one that is missing."""
    if index is None:
        canvas.block(box, RULE)
        canvas.text(*box.center, "none", size=11, color=MUTED, align="center")
        return
    canvas.template(templates[index], box, color, 3)
    called = f"module {index}" if box.width >= _NARROW else str(index)
    canvas.text(box.x + box.width / 2, below, called, size=11, bold=True, align="center")


def _numbers(canvas: Canvas, box: Box, cosine: float, overlap: float) -> None:
    words = f"{cosine:.2f}"
    if box.width >= _NARROW:
        words = f"cosine {words}"
    if box.width >= _WIDE:
        words += f", overlap {overlap:.0%}"
    canvas.text(
        box.x + box.width / 2, box.y + box.height + 32, words, size=11, color=MUTED, align="center"
    )


def _alone(count: int, taken: NDArray[np.integer]) -> Sequence[int]:
    alone: list[int] = np.setdiff1d(np.arange(count), taken).tolist()
    return alone
