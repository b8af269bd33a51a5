"""What analyses need of a network that looks at images. It must not know how one is opened."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Looks(Protocol):
    """Turns images into vectors."""

    @property
    def name(self) -> str:
        """What results call it."""

    @property
    def features(self) -> int:
        """Length of the vectors, F."""

    def __call__(
        self, images: NDArray[np.float32], low: float, high: float, /
    ) -> NDArray[np.float32]:
        """Images (B, c, H, W) in the range `low` to `high` to features (B, F)."""
