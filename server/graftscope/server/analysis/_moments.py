"""Influence maps and their standard errors, gathered batch by batch (equation 3, section 3.2).

A batch brings the count, the sum and the centred second moment of its pairs' maps; batches are
merged in float64 by Chan's rule, which neither keeps a hybrid nor subtracts two large numbers.
The order of merging decides the last bits, so callers merge in the order of the shards.

Axes: E interventions, H and W the map's size, N pairs. This module must not know what ran, where.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, finite_array


@dataclass(frozen=True, eq=False)
class MapMoments:
    """Mean and spread of |hybrid - original 1|, averaged over colour, over some pairs.

    Attributes:
        count: Number of observations of each map, shape (E,), int64, at least 1: pairs, unless
            `as_one` made one of several.
        mean: The influence maps, shape (E, H, W), float64, in the image's units.
        m2: Sum over pairs of squared deviations from the mean, shape (E, H, W), float64.
    """

    count: npt.NDArray[np.int64]
    mean: npt.NDArray[np.float64]
    m2: npt.NDArray[np.float64]

    @classmethod
    def from_batch(cls, count: int, total: npt.ArrayLike, m2: npt.ArrayLike) -> Self:
        """Takes what one run returns.

        Args:
            count: Number of pairs in the batch, at least 1.
            total: Sum of the maps over the batch, shape (E, H, W).
            m2: Sum of squared deviations from the batch's own mean, shape (E, H, W), centred
                within the batch: a difference of raw sums in float32 has no correct digit.

        Returns:
            The batch's moments in float64.

        Raises:
            InvalidInputError: The count is below 1, shapes differ, a value is not finite, or a
                second moment is negative.
        """
        if count < 1:
            raise InvalidInputError(f"count = {count} is not allowed; it is at least 1", "count")
        sums = finite_array("total", total, "EHW")
        deviations = finite_array("m2", m2, "EHW")
        if sums.shape != deviations.shape:
            raise InvalidInputError(
                f"m2 has shape {deviations.shape}; total has {sums.shape}, they must be equal", "m2"
            )
        if deviations.min() < 0:
            raise InvalidInputError(
                f"m2 has the value {deviations.min()}; a sum of squares is not negative", "m2"
            )
        return cls(_counts(count, len(sums)), sums / count, deviations)

    @classmethod
    def from_pixel_means(cls, pixel_means: npt.ArrayLike) -> Self:
        """Takes every pair's own pixel mean, for individual influences (section 3.2).

        The pixels of one hybrid move together, so the standard error of an individual influence
        cannot be had from theirs: each pair counts as a map of one pixel.

        Args:
            pixel_means: Each pair's map averaged over pixels, shape (N, E), at least one pair.

        Returns:
            Moments of shape (E, 1, 1).

        Raises:
            InvalidInputError: There is no pair, or a value is not finite.
        """
        # One memory layout, so that numpy sums in one order.
        means = np.ascontiguousarray(finite_array("pixel_means", pixel_means, "NE"))
        total = means.sum(axis=0)
        m2 = np.square(means - total / len(means)).sum(axis=0)
        return cls.from_batch(len(means), total.reshape(-1, 1, 1), m2.reshape(-1, 1, 1))

    def merge(self, later: "MapMoments", rows: npt.NDArray[np.int64] | None = None) -> "MapMoments":
        """The moments over the pairs of both, by Chan's rule.

        Args:
            later: Moments of the pairs that follow, of the same interventions and map size.
            rows: Which of the interventions those are, each once; all by default. The others keep
                what they have.

        Returns:
            New moments; merging the same parts in the same order gives the same bits.

        Raises:
            InvalidInputError: The shapes differ.
        """
        shape = (len(self.mean if rows is None else rows), *self.mean.shape[1:])
        if shape != later.mean.shape:
            raise InvalidInputError(
                f"moments of shape {later.mean.shape} cannot be merged into those of shape "
                f"{shape}; they must be equal",
                "later",
            )
        count = self.count.copy()
        # Where all rows change, nothing is copied that is replaced at once.
        whole = rows is None
        mean, m2 = (np.empty_like(x) if whole else x.copy() for x in (self.mean, self.m2))
        # One map at a time: what is computed in between is as large as a map, not as all of them.
        for j, i in enumerate(range(len(mean)) if rows is None else rows.tolist()):
            before, added = int(self.count[i]), int(later.count[j])
            count[i] = before + added
            delta = later.mean[j] - self.mean[i]
            mean[i] = self.mean[i] + delta * (added / (before + added))
            m2[i] = self.m2[i] + later.m2[j] + delta * delta * (before * added / (before + added))
        return MapMoments(count, mean, m2)

    def as_one(self) -> "MapMoments":
        """The mean as a single observation: of pairs that are not independent of each other.

        What becomes of merged ones then is the mean and the spread of such means.
        """
        return MapMoments(np.ones_like(self.count), self.mean, np.zeros_like(self.m2))

    def stderr(self) -> npt.NDArray[np.float64]:
        """The mean's standard error, sqrt(m2 / (n - 1) / n).

        Returns:
            Shape (E, H, W), float64; NaN for one pair, which has no spread.
        """
        count = self.count.reshape(-1, 1, 1)
        # The denominator of one pair would be 0.
        stderr = np.sqrt(self.m2 / np.maximum(count - 1, 1) / count)
        stderr[self.count == 1] = math.nan
        return stderr


class RunningMoments:
    """Moments of many interventions that grow in place, some interventions at a time.

    What it gives has the bits of `MapMoments.merge` over the same batches in this order; all that
    it holds is the result.

    Args:
        interventions: How many there are, E.
    """

    def __init__(self, interventions: int) -> None:
        self._counts = _counts(0, interventions)
        self._mean = self._m2 = np.empty((0, 0, 0))

    def merge(self, some: range, later: MapMoments) -> None:
        """Merges the next batch of some interventions, by Chan's rule.

        Args:
            some: Indices of the interventions, one after another.
            later: Moments of the pairs that follow those that they have.

        Raises:
            InvalidInputError: The maps are of another size.
        """
        if not self._mean.size:
            shape = (len(self._counts), *later.mean.shape[1:])
            self._mean, self._m2 = np.empty(shape), np.empty(shape)
        rows = slice(some.start, some.stop)
        if self._counts[some.start]:
            before = MapMoments(self._counts[rows], self._mean[rows], self._m2[rows])
            later = before.merge(later)
        self._mean[rows], self._m2[rows] = later.mean, later.m2
        self._counts[rows] = later.count

    def moments(self) -> MapMoments:
        """The moments over the pairs that every intervention has had so far.

        Raises:
            InvalidInputError: There are none, or some interventions have had fewer than others.
        """
        had = np.unique(self._counts).tolist()
        if len(had) != 1 or not had[0]:
            raise InvalidInputError(
                f"the interventions have had {had} pairs; all need the same number, at least 1",
                "some",
            )
        return MapMoments(self._counts, self._mean, self._m2)


def _counts(pairs: int, interventions: int) -> npt.NDArray[np.int64]:
    """(E,), as many pairs for each intervention."""
    return np.full(interventions, pairs, dtype=np.int64)


def area_means(maps: npt.NDArray[np.float64], longest_side: int) -> npt.NDArray[np.float64]:
    """Averages maps over equal areas until no side is longer.

    Args:
        maps: Shape (E, H, W).
        longest_side: At least 1. Areas at the lower and right border may be smaller.

    Returns:
        Shape (E, h, w), h and w at most `longest_side`.
    """
    for axis in (1, 2):
        side = -(-maps.shape[axis] // longest_side)
        starts = np.arange(0, maps.shape[axis], side)
        sizes = np.diff([*starts, maps.shape[axis]])
        shape = [-1 if i == axis else 1 for i in range(3)]
        maps = np.add.reduceat(maps, starts, axis=axis) / sizes.reshape(shape)
    return maps
