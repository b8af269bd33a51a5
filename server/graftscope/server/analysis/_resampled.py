"""Maps as other pairs would give them, from means over groups of shards.

Groups are mixed anew: one is left out, or all are moved. Smoothing is linear, so each group's mean
is smoothed once, and mixtures are cut at the percentile. Smooth maps say the same in every second
pixel, which saves most of the time; the mixtures of a channel are alike in what that leaves out.

Axes: G groups, C channels, h and w the map's size, P pixels that are kept. This module must not
know methods or modules.
"""

import math

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._features import BinaryMaps, Features
from graftscope.server.analysis._shard_groups import ShardGroups

MOST_PIXELS = 2048
"""Pixels are left out, rows and columns alike, as long as half as many are left."""


class Resampled:
    """Some channels' groups, ready to be mixed.

    Args:
        groups: Of C channels.
        products: Of the products of each with all C, as rows of height 1, or None.
        window: Side of the box filter, in pixels, as in `preprocess`.
        percentile: As in `preprocess`.
    """

    def __init__(
        self, groups: ShardGroups, products: ShardGroups | None, window: int, percentile: float
    ) -> None:
        _, _, height, width = groups.means.shape
        side = max(1, math.isqrt(2 * height * width // MOST_PIXELS))
        smooth = _smooth(groups.means.astype(np.float32), window)[..., ::side, ::side]
        self._shape = smooth.shape[2:]
        self._maps = smooth.reshape(*smooth.shape[:2], -1)  # (G, C, P)
        self._products = products
        self._percentile = percentile
        self.shares = groups.pairs / groups.pairs.sum(axis=0)
        """Of each group in its channel's pairs, shape (G, C)."""

    def together(self) -> Features:
        """All groups, as they are."""
        return self._mixed(self.shares)

    def without(self, group: int) -> Features:
        """All but one."""
        left = self.shares.copy()
        left[group] = 0
        totals = left.sum(axis=0)
        # A channel that has one group alone keeps it.
        return self._mixed(
            np.where(totals > 0, left / np.where(totals > 0, totals, 1), self.shares)
        )

    def moved(self, signs: npt.NDArray[np.float64]) -> Features:
        """Each group's difference from the mean added once more, or subtracted.

        With as many signs of either kind this moves means by what other pairs would, squared and
        averaged over signs.

        Args:
            signs: 1 or -1, shape (G,).
        """
        drift = (self.shares * signs[:, np.newaxis]).sum(axis=0)
        return self._mixed(self.shares * (1 + signs[:, np.newaxis] - drift))

    def _mixed(self, shares: npt.NDArray[np.float64]) -> Features:
        maps = np.zeros(self._maps.shape[1:], np.float32)  # (C, P)
        for some, share in zip(self._maps, shares, strict=True):
            maps += some * share[:, np.newaxis].astype(np.float32)
        thresholds = np.percentile(maps, self._percentile, axis=1, keepdims=True)
        matrix = maps > thresholds
        empty = np.flatnonzero(~matrix.any(axis=1)).astype(np.int64)
        height, width = self._shape
        return Features(BinaryMaps(matrix, empty, (height, width)), self._mixed_products(shares))

    def _mixed_products(self, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        if self._products is None:
            return None
        groups = self._products
        mixed = np.zeros((len(groups.units), groups.means.shape[-1]))
        for some, share in zip(groups.means, shares, strict=True):
            mixed += some[:, 0] * (share * groups.units)[:, np.newaxis]
        # Rows are rounded in units of their own.
        return (mixed + mixed.T) / 2


def _smooth(maps: npt.NDArray[np.float32], window: int) -> npt.NDArray[np.float32]:
    """The sum over window x window pixels, nearest at the border; equal sums where all is equal."""
    height, width = maps.shape[2:]
    reach = window // 2
    padded = np.pad(maps, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
    down = np.zeros((*maps.shape[:2], height, width + 2 * reach), np.float32)
    for row in range(window):
        down += padded[:, :, row : row + height]
    smooth = np.zeros(maps.shape, np.float32)
    for column in range(window):
        smooth += down[..., column : column + width]
    return smooth
