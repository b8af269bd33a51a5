"""Standard errors of any statistic of pairs: groups of pairs are left out in turn.

What a statistic is without a group says how much it owes to that group. By the inequality of Efron
and Stein (1981) the variance that follows is in the mean no smaller than the true one, whatever the
statistic: errors are upper bounds. They are 1.0 to 1.5 times as large as the spread over new pairs
for distances of features, and 1.2 to 2.5 times for shares of rows that have near neighbours (the
tests hold them to that). A bootstrap has no such bound here: it draws rows twice, and a row that is
there twice is its own nearest neighbour.

Axes: N rows, G groups. This module must not know what a row is.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError

MOST_JACKKNIFE_GROUPS = 32
"""With so many, a standard error is itself known to an eighth: 1 / sqrt(2 (G - 1))."""

LEAST_ROWS = 2 * MOST_JACKKNIFE_GROUPS
"""Of fewer, a group would be a single row."""

_ENTRIES_AT_ONCE = 1 << 22


def group_bounds(rows: int) -> npt.NDArray[np.int64]:
    """Where groups of neighbouring rows begin, and where the last one ends, shape (G + 1,), int64.

    Raises:
        InvalidInputError: There are fewer than LEAST_ROWS.
    """
    if rows < LEAST_ROWS:
        raise InvalidInputError(
            f"{rows} rows are not enough for standard errors; at least {LEAST_ROWS} are", "rows"
        )
    return np.linspace(0, rows, MOST_JACKKNIFE_GROUPS + 1).astype(np.int64)


def jackknife_stderr(left_out: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The standard error of a statistic.

    Args:
        left_out: The statistic without each group in turn, shape (G, ...); groups are of about the
            same size. Of a difference or a mean of statistics these are the differences or means.

    Returns:
        Shape (...), at least 0; NaN where one of them is NaN.
    """
    values = np.asarray(left_out, dtype=np.float64)
    groups = len(values)
    return np.asarray(np.sqrt((groups - 1) * values.var(axis=0)), dtype=np.float64)


def without_each_group(total: float, groups: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A sum over pairs of rows (i, j) without the rows of each group on either side, shape (G,).

    Args:
        total: The sum over all.
        groups: The sums over rows of group g and rows of group h, shape (G, G).
    """
    left = total - groups.sum(axis=0) - groups.sum(axis=1) + np.diagonal(groups)
    return np.asarray(left, dtype=np.float64)


def blocks(bounds: npt.NDArray[np.int64], width: int) -> Iterator[tuple[int, slice]]:
    """Rows of one group each, in order, few enough to hold a number for each of so many columns."""
    most = max(1, _ENTRIES_AT_ONCE // width)
    for group, (start, stop) in enumerate(pairwise(bounds.tolist())):
        for first in range(start, stop, most):
            yield group, slice(first, min(first + most, stop))
