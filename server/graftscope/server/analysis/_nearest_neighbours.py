"""Precision, recall, density and coverage by nearest neighbours.

Every row has a ball that reaches to its k-th nearest neighbour in its own set; together the balls
stand for where the set's distribution is.

- Precision is the share of a set's rows that are in some ball of the reference, and recall the
  share of the reference's rows that are in some ball of the set (Kynkäänniemi et al., 2019).
- Density is the number of the reference's balls that hold a row, over k: a mean over rows, 1 in
  the mean for equal distributions, which a single outlier of the reference cannot raise much.
  Coverage is the share of the reference's balls that hold a row of the set (Naeem et al., 2020).

A row on a ball's border is in it. Without a group of rows, the balls reach further where a
neighbour is left out; that is counted exactly.

Axes: N and M rows, F features, G groups of rows. This module must not know what has the features.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._jackknife import blocks

NEAREST = 5
"""k, to which neighbour a ball reaches, where nothing else is said: as Naeem et al. have it."""

# Times k: neighbours of a row that are kept, to find its k-th when those of a group are left out.
# If more are of one group, the ball reaches to the last one.
_KEPT = 8

# A distance that is computed in two ways is the same; so are equal rows.
_SAME = 1 + 1e-9
_NONE = 1e-13


@dataclass(frozen=True, eq=False)
class Balls:
    """The balls of a set's rows.

    Attributes:
        rows: The set's features, (N, F), float64.
        bounds: Its groups, (G + 1,).
        nearest: k.
        radii: Squared, shape (N,), from all rows.
        grown: For each group, which rows' balls reach further without it, and how far, squared;
            rows of the group itself are not among them.
    """

    rows: npt.NDArray[np.float64]
    bounds: npt.NDArray[np.int64]
    nearest: int
    radii: npt.NDArray[np.float64]
    grown: tuple[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]], ...]

    @classmethod
    def of(
        cls, rows: npt.NDArray[np.float64], bounds: npt.NDArray[np.int64], nearest: int
    ) -> "Balls":
        """The balls of features (N, F), of more than k rows whichever group is left out."""
        groups = len(bounds) - 1
        members = np.repeat(np.arange(groups), np.diff(bounds))
        kept = min(_KEPT * nearest, len(rows) - 1)
        near = np.empty((len(rows), kept))
        whose = np.empty((len(rows), kept), dtype=np.int64)
        for _, some in blocks(bounds, len(rows)):
            squared = _squared_distances(rows[some], rows)
            np.fill_diagonal(squared[:, some], np.inf)
            columns = np.argpartition(squared, kept - 1, axis=1)[:, :kept]
            found = np.take_along_axis(squared, columns, axis=1)
            order = np.argsort(found, axis=1, kind="stable")
            near[some] = np.take_along_axis(found, order, axis=1)
            whose[some] = members[np.take_along_axis(columns, order, axis=1)]
        radii = near[:, nearest - 1]
        grown = tuple(_grown(near, whose, members, nearest, group) for group in range(groups))
        return cls(rows, bounds, nearest, radii * _SAME, grown)


@dataclass(frozen=True, eq=False)
class NeighbourShares:
    """Precision, recall, density and coverage, in this order.

    Attributes:
        values: Shape (4,).
        left_out: Without each group, shape (G, 4).
    """

    values: npt.NDArray[np.float64]
    left_out: npt.NDArray[np.float64]


def neighbour_shares(one: Balls, reference: Balls) -> NeighbourShares:
    """Counts which rows of either set are in balls of the other.

    Args:
        one: A set.
        reference: What it is compared with; group g of either is left out with that of the other.
    """
    counted = _Counted(one, reference)
    for group, some in blocks(one.bounds, len(reference.rows)):
        counted.add(group, some, _squared_distances(one.rows[some], reference.rows))
    return counted.shares()


class _Counted:
    """Which rows are in how many balls, gathered block by block of one set's rows.

    The last entry of an axis of G + 1 is of all rows; entry g is without group g of both sets.
    """

    def __init__(self, one: Balls, reference: Balls) -> None:
        groups, rows, others = len(one.bounds) - 1, len(one.rows), len(reference.rows)
        self._one, self._reference = one, reference
        self._held = np.zeros((groups + 1, rows), dtype=np.int64)  # by how many of the balls
        self._by = np.zeros((groups, others), dtype=np.int64)  # rows of each group in each ball
        self._grown_by = np.zeros((groups, others), dtype=bool)
        self._reach = np.zeros((groups, others), dtype=np.int64)  # balls of each group's rows
        self._grown_reach = np.zeros((groups, others), dtype=bool)

    def add(self, group: int, some: slice, squared: npt.NDArray[np.float64]) -> None:
        """Counts rows of one group, at squared distances (n, M) from the reference."""
        one, reference = self._one, self._reference
        inside = squared <= reference.radii
        by_group = np.add.reduceat(inside, reference.bounds[:-1], axis=1, dtype=np.int64)
        total = by_group.sum(axis=1)
        self._held[-1, some] = total
        self._held[:-1, some] = total - by_group.T
        self._by[group] += np.count_nonzero(inside, axis=0)
        for left, (balls, radii) in enumerate(reference.grown):
            further = squared[:, balls] <= radii
            new = further & ~inside[:, balls]
            self._held[left, some] += np.count_nonzero(new, axis=1)
            if left != group:
                self._grown_by[left, balls] |= further.any(axis=0)
        self._reach[group] += np.count_nonzero(squared <= one.radii[some, np.newaxis], axis=0)
        for left, (balls, radii) in enumerate(one.grown):
            if left == group:
                continue
            here = slice(*np.searchsorted(balls, [some.start, some.stop]))
            rows = balls[here] - some.start
            reached = squared[rows] <= radii[here, np.newaxis]
            self._grown_reach[left] |= reached.any(axis=0)

    def shares(self) -> NeighbourShares:
        """The four numbers from what was counted."""
        inside, balls = self._means(self._held > 0, self._held, self._one.bounds)
        recalled = self._any(self._reach, self._grown_reach)
        covered = self._any(self._by, self._grown_by)
        recall, coverage = self._means(recalled, covered, self._reference.bounds)
        table = np.stack([inside, recall, balls / self._reference.nearest, coverage], axis=1)
        return NeighbourShares(table[-1], table[:-1])

    @staticmethod
    def _any(groups: npt.NDArray[np.int64], grown: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which of the reference's rows count, without each group and of all, (G + 1, M)."""
        total = groups.sum(axis=0)
        without = (total - groups > 0) | grown
        return np.concatenate([without, total[np.newaxis] > 0])

    @staticmethod
    def _means(
        first: npt.NDArray[np.generic],
        second: npt.NDArray[np.generic],
        bounds: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Means (G + 1,) of two tables (G + 1, rows) over the rows that are not left out."""
        kept = np.ones((len(bounds), bounds[-1]))
        for group in range(len(bounds) - 1):
            kept[group, bounds[group] : bounds[group + 1]] = 0
        sizes = kept.sum(axis=1)
        return (first * kept).sum(axis=1) / sizes, (second * kept).sum(axis=1) / sizes


def _grown(
    near: npt.NDArray[np.float64],
    whose: npt.NDArray[np.int64],
    members: npt.NDArray[np.int64],
    nearest: int,
    group: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Which rows lose one of their k nearest without a group, and where their k-th is then."""
    losing = (whose[:, :nearest] == group).any(axis=1) & (members != group)
    rows = np.flatnonzero(losing)
    count = np.cumsum(whose[rows] != group, axis=1)
    place = np.where(count[:, -1] >= nearest, (count >= nearest).argmax(axis=1), -1)
    return rows, near[rows, place] * _SAME


def _squared_distances(
    one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Shape (N, M); exactly 0 between equal rows."""
    lengths = np.einsum("nf,nf->n", one, one)[:, np.newaxis] + np.einsum("nf,nf->n", other, other)
    squared = one @ other.T
    squared *= -2
    squared += lengths
    squared[squared < _NONE * one.shape[1] * lengths] = 0
    return squared
