"""Maps averaged over areas, so that what is kept of them is small.

This module must not know what the maps show.
"""

import numpy as np
import numpy.typing as npt


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
