"""What the first shards of an influence job amount to.

It must not know what computes the shards, or where sums are kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import MapMoments


@dataclass(frozen=True, eq=False)
class Looks:
    """Labels of modules as they were after some of the shards, the oldest first.

    Attributes:
        pairs: (L,) int64, how many pairs had been added up.
        labels: (L, E) int64, the module of each map; -1 for none.
    """

    pairs: NDArray[np.int64]
    labels: NDArray[np.int64]

    def and_then(self, pairs: int, labels: NDArray[np.int64]) -> "Looks":
        """The same and one more."""
        return Looks(np.append(self.pairs, pairs), np.vstack([self.labels, labels]))

    @classmethod
    def none(cls, sets: int) -> "Looks":
        """No look yet, at so many maps."""
        return cls(np.zeros(0, np.int64), np.zeros((0, sets), np.int64))


@dataclass(frozen=True, eq=False)
class Sums:
    """What the first shards amount to.

    Attributes:
        shards: how many there are.
        moments: of the maps over their pairs, (E, H, W).
        individual: of every pair's own mean over pixels, (E, 1, 1).
        products: (E, E), sum over pairs of the products of effects; None where not wanted.
        looks: what a stopping rule has seen so far; None where it looks at no labels.
    """

    shards: int
    moments: MapMoments
    individual: MapMoments
    products: NDArray[np.float64] | None = None
    looks: Looks | None = None

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return self.moments.count
