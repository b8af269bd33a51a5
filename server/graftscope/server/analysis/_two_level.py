"""The two-level estimator: many cheap observations, corrected by a few that are exact as well.

Of n observations there are cheap maps C, of m of those the exact ones F too; D = F - C. Then

    mean over n of C + mean over m of D

has the expectation of F, whatever is wrong with C. The m are among the n, so that the two means are
not independent: each of the m observations of D meets its own C alone, with a weight of 1 / m and
1 / n, and

    variance = var(C) / n + 2 cov(C, D) / n + var(D) / m.

An observation of D may be the mean of several pairs; `cheap_each` tells of how many observations of
C. Their covariance is that of one with its own mean then: one pair's divided by their number. Where
pairs are not independent of each other, an observation of either is a group of them: `as_one`.

Axes: E interventions, H and W the map's size. This module must not know what ran, where.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, finite_array
from graftscope.server.analysis._moments import MapMoments


class Estimate(Protocol):
    """What is known of maps: of one level (`MapMoments`) or of two (`TwoLevels`)."""

    @property
    def count(self) -> npt.NDArray[np.int64]:
        """Number of observations of each map, shape (E,)."""

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """Shape (E, H, W)."""

    def stderr(self) -> npt.NDArray[np.float64]:
        """The mean's standard error, shape (E, H, W); NaN where it is not known."""


@dataclass(frozen=True, eq=False)
class Differences:
    """Mean and spread of exact minus cheap maps, and how they go with the cheap ones.

    Attributes:
        moments: Of the differences, over their observations, shape (E, H, W).
        cheap: Mean of the cheap maps over the same observations, shape (E, H, W).
        cross: Sum over observations of the product of both deviations, shape (E, H, W).
        cheap_each: Of how many of `TwoLevels.cheap`'s observations each of these is the mean.
    """

    moments: MapMoments
    cheap: npt.NDArray[np.float64]
    cross: npt.NDArray[np.float64]
    cheap_each: int = 1

    @classmethod
    def of_one(cls, cheap: npt.ArrayLike, exact: npt.ArrayLike, cheap_each: int = 1) -> Self:
        """One observation.

        Args:
            cheap: Mean maps over the observation's pairs, shape (E, H, W).
            exact: The exact ones of the same pairs, of the same shape.
            cheap_each: As the attribute.

        Raises:
            InvalidInputError: Shapes differ, or a value is not finite.
        """
        before, after = finite_array("cheap", cheap, "EHW"), finite_array("exact", exact, "EHW")
        if before.shape != after.shape:
            raise InvalidInputError(
                f"exact has shape {after.shape}; cheap has {before.shape}, they must be equal",
                "exact",
            )
        nothing = np.zeros_like(before)
        moments = MapMoments.from_batch(1, after - before, nothing)
        return cls(moments, before, nothing, cheap_each)

    def merge(
        self, later: "Differences", rows: npt.NDArray[np.int64] | None = None
    ) -> "Differences":
        """Those of both, by Chan's rule; the spread of products like that of squares.

        Args:
            later: Of the observations that follow.
            rows: Which of the interventions those are, each once; all by default. The others keep
                what they have.

        Raises:
            InvalidInputError: The shapes differ.
        """
        moments = self.moments.merge(later.moments, rows)
        cheap, cross = self.cheap.copy(), self.cross.copy()
        # One map at a time, as there.
        for j, i in enumerate(range(len(cheap)) if rows is None else rows.tolist()):
            before, added = int(self.moments.count[i]), int(later.moments.count[j])
            delta = later.cheap[j] - self.cheap[i]
            moved = later.moments.mean[j] - self.moments.mean[i]
            cheap[i] += delta * (added / (before + added))
            cross[i] += later.cross[j] + delta * moved * (before * added / (before + added))
        return Differences(moments, cheap, cross, self.cheap_each)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """All of it under names, for a file."""
        return {
            "count": self.moments.count,
            "mean": self.moments.mean,
            "m2": self.moments.m2,
            "cheap": self.cheap,
            "cross": self.cross,
            "cheap_each": np.array(self.cheap_each),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`."""
        names = ("mean", "m2", "cheap", "cross")
        mean, m2, cheap, cross = (np.asarray(arrays[name], dtype=np.float64) for name in names)
        count = np.asarray(arrays["count"], dtype=np.int64)
        return cls(MapMoments(count, mean, m2), cheap, cross, int(arrays["cheap_each"].item()))

    def as_one(self, cheap: npt.NDArray[np.float64]) -> "Differences":
        """The mean as a single observation: of pairs that are not independent of each other.

        Args:
            cheap: The cheap mean over all pairs of that observation, shape (E, H, W), whether
                they are among these or not.
        """
        return Differences(self.moments.as_one(), cheap, np.zeros_like(self.cross))

    def covariance(self) -> npt.NDArray[np.float64]:
        """Of an observation's difference with its cheap map, (E, H, W); NaN for one observation."""
        count = self.moments.count.reshape(-1, 1, 1)
        found = self.cross / np.maximum(count - 1, 1)
        found[self.moments.count == 1] = math.nan
        return found


@dataclass(frozen=True, eq=False)
class Correction:
    """Differences of maps and of individual influences, over the same observations.

    Attributes:
        maps: Of mean maps, shape (E, H, W).
        individual: Of their means over pixels, shape (E, 1, 1).
        pairs_of: On how many pairs each map was computed exactly, shape (E,), int64.
    """

    maps: Differences
    individual: Differences
    pairs_of: npt.NDArray[np.int64]

    def merge(self, later: "Correction", rows: npt.NDArray[np.int64] | None = None) -> "Correction":
        """Those of both. As `Differences.merge`."""
        pairs_of = self.pairs_of.copy()
        pairs_of[slice(None) if rows is None else rows] += later.pairs_of
        return Correction(
            self.maps.merge(later.maps, rows),
            self.individual.merge(later.individual, rows),
            pairs_of,
        )

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """All of it under names, for a file."""
        found: dict[str, npt.NDArray[np.generic]] = {"pairs_of": self.pairs_of}
        for part, differences in (("maps", self.maps), ("individual", self.individual)):
            found |= {f"{part}_{name}": array for name, array in differences.arrays().items()}
        return found

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`."""

        def part(name: str) -> Differences:
            own = {key.removeprefix(f"{name}_"): array for key, array in arrays.items()}
            return Differences.of_arrays(own)

        pairs_of = np.asarray(arrays["pairs_of"], dtype=np.int64)
        return cls(part("maps"), part("individual"), pairs_of)

    def as_one(self, maps: MapMoments, individual: MapMoments) -> "Correction":
        """As `Differences.as_one`, beside the cheap moments of all that observation's pairs."""
        return Correction(
            self.maps.as_one(maps.mean), self.individual.as_one(individual.mean), self.pairs_of
        )


@dataclass(frozen=True, eq=False)
class TwoLevels:
    """Cheap maps with their correction; an `Estimate` of the exact ones.

    Attributes:
        cheap: Over all observations, shape (E, H, W).
        differences: Over some of them.
    """

    cheap: MapMoments
    differences: Differences

    @property
    def count(self) -> npt.NDArray[np.int64]:
        """Number of cheap observations of each map, shape (E,)."""
        return self.cheap.count

    @cached_property
    def mean(self) -> npt.NDArray[np.float64]:
        """The corrected maps, shape (E, H, W)."""
        return self.cheap.mean + self.differences.moments.mean

    def stderr(self) -> npt.NDArray[np.float64]:
        """The corrected maps' standard error; NaN with one observation, cheap or exact.

        The covariance is known from fewer observations than var(C), and may outweigh it by chance
        where almost everything that varies is the difference; a variance is 0 at least.
        """
        count = self.cheap.count.reshape(-1, 1, 1)
        together = self.differences.cheap_each * self.differences.covariance() / count
        apart = np.square(self.cheap.stderr()) + np.square(self.differences.moments.stderr())
        return np.sqrt(np.maximum(apart + 2 * together, 0.0))


def best_share(cheap_cost: float, exact_cost: float, ratio: float) -> float:
    """The share of observations to be made exact as well, for the least variance at a given cost.

    At a share r, variance times cost is (cheap_cost + r exact_cost) (1 - ratio + ratio / r) var(F);
    its least is at r = sqrt(cheap_cost / exact_cost ratio / (1 - ratio)).

    Args:
        cheap_cost: Of a cheap observation, above 0.
        exact_cost: Of an exact one, in the same unit.
        ratio: var(D) / var(F).

    Returns:
        From 0 to 1; 1 where differences vary as much as the exact maps themselves.
    """
    if ratio >= 1:
        return 1.0
    return min(1.0, math.sqrt(cheap_cost / exact_cost * ratio / (1 - ratio)))


def relative_cost(share: float, cheap_cost: float, exact_cost: float, ratio: float) -> float:
    """What both levels cost at a share, as a share of what exact ones alone do at equal variance.

    Args:
        share: Of observations that are made exact as well, above 0.
        cheap_cost: As `best_share`, and so are the others.
        exact_cost: Likewise.
        ratio: Likewise.
    """
    return (cheap_cost / exact_cost + share) * (1 - ratio + ratio / share)
