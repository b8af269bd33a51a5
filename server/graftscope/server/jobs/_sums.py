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
        moments: of the maps over their observations, (E, H, W): pairs, or means over a shard's
            pairs where those are stratified.
        individual: of every observation's mean over pixels, (E, 1, 1).
        products: (E, E), sum over pairs of the products of effects; None where not wanted.
        looks: what a stopping rule has seen so far; None where it looks at no labels.
        pairs_each: pairs of an observation.
    """

    shards: int
    moments: MapMoments
    individual: MapMoments
    products: NDArray[np.float64] | None = None
    looks: Looks | None = None
    pairs_each: int = 1

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return self.moments.count * self.pairs_each
