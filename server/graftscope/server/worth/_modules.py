"""The modules of a layer, as their labels tell them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_MODULE = -1


@dataclass(frozen=True, eq=False)
class Modules:
    """Which channels belong together.

    Attributes:
        labels: (C,) the module of each channel, -1 for none.
    """

    labels: NDArray[np.int64]

    @property
    def indices(self) -> tuple[int, ...]:
        """The modules that have channels, ascending."""
        return tuple(np.unique(self.labels[self.labels != NO_MODULE]).tolist())

    def __len__(self) -> int:
        """K, how many modules have channels."""
        return len(self.indices)

    @property
    def sets(self) -> NDArray[np.bool_]:
        """(K, C) the channels of each module."""
        return np.stack([self.labels == index for index in self.indices])
