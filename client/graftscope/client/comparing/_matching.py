"""Which row goes with which column, so that the sum is largest; and how far labels agree.

Axis letters: A rows, B columns, C channels.
"""

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def best_match(values: FloatArray) -> NDArray[np.int64]:
    """Pair rows with columns, each at most once, so that the sum of their values is largest.

    The Hungarian method, by shortest augmenting paths, in O(A² B) steps.

    Args:
        values: (A, B), finite.

    Returns:
        (min(A, B), 2): rows and columns that go together, by rows.
    """
    if values.shape[0] > values.shape[1]:
        turned = best_match(values.T)[:, ::-1]
        return turned[np.argsort(turned[:, 0])]
    rows, columns = values.shape
    # Row and column 0 stand for none, so that each path has a beginning.
    cost = np.zeros((rows + 1, columns + 1))
    cost[1:, 1:] = -values
    of_row, of_column = np.zeros(rows + 1), np.zeros(columns + 1)
    row_of = np.zeros(columns + 1, np.int64)
    for row in range(1, rows + 1):
        row_of[0] = row
        _augment(cost, of_row, of_column, row_of)
    taken = np.flatnonzero(row_of[1:])
    found = np.stack([row_of[1:][taken] - 1, taken], axis=1)
    return found[np.argsort(found[:, 0])]


def _augment(
    cost: FloatArray, of_row: FloatArray, of_column: FloatArray, row_of: NDArray[np.int64]
) -> None:
    """Find a column for the row that column 0 holds; prices and rows are changed in place."""
    nearest = np.full(len(row_of), math.inf)
    before = np.zeros(len(row_of), np.int64)
    reached = np.zeros(len(row_of), bool)
    at = 0
    while row_of[at]:
        reached[at] = True
        row = row_of[at]
        reduced = cost[row] - of_row[row] - of_column
        shorter = ~reached & (reduced < nearest)
        nearest[shorter], before[shorter] = reduced[shorter], at
        free = np.where(reached, math.inf, nearest)
        free[0] = math.inf
        nearby = int(np.argmin(free))
        step = free[nearby]
        of_row[row_of[reached]] += step
        of_column[reached] -= step
        nearest[~reached] -= step
        at = nearby
    while at:
        row_of[at] = row_of[before[at]]
        at = int(before[at])


def adjusted_rand(labels_a: NDArray[np.int64], labels_b: NDArray[np.int64]) -> float:
    """How far two groupings put the same channels together, whatever their modules' numbers.

    Args:
        labels_a: (C,) module of each channel, -1 for none.
        labels_b: (C,) of the same channels.

    Returns:
        1 where they are the same grouping, about 0 where they are like chance, below where they
        are less alike than that; of channels in a module in both. NaN where chance alone decides:
        fewer than two channels are, or all channels form one group, or each its own, in both.
    """
    both = (labels_a >= 0) & (labels_b >= 0)
    if both.sum() < 2:
        return math.nan
    table = np.zeros((int(labels_a.max()) + 1, int(labels_b.max()) + 1))
    np.add.at(table, (labels_a[both], labels_b[both]), 1.0)
    together, in_a, in_b, all_pairs = map(
        _pairs, (table, table.sum(axis=1), table.sum(axis=0), table.sum())
    )
    expected = in_a * in_b / all_pairs
    most = (in_a + in_b) / 2
    return math.nan if most == expected else float((together - expected) / (most - expected))


def _pairs(counts: FloatArray) -> float:
    """How many pairs groups of such sizes hold."""
    return float(np.sum(counts * (counts - 1) / 2))
