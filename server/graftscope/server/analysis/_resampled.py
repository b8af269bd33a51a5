"""Maps as other pairs would give them, from means over groups of shards.

Groups are mixed anew: one is left out, or all are moved. Smoothing is linear, so each group's mean
is smoothed once, and mixtures are cut at the percentile. Where modules are known, a quarter of the
pixels says how scores change, in a quarter of the time. Modules that are found anew need them all:
from fewer pixels NMF finds its way to other modules, whatever the pairs (0.6 of the labels, once).

Axes: G groups, C channels, h and w the map's size, P pixels that are kept. This module must not
know methods or modules.
"""

import math

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._features import BinaryMaps, Features
from graftscope.server.analysis._shard_groups import ShardGroups

_PIXELS = 2048
"""Rows and columns are left out alike as long as half as many pixels are left."""


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
        self._side = max(1, math.isqrt(2 * height * width // _PIXELS))
        # Group by group, since padded copies take as much again.
        self._maps = np.stack([_smooth(some.astype(np.float32), window) for some in groups.means])
        self._products = products
        self._percentile = percentile
        self.shares = groups.pairs / groups.pairs.sum(axis=0)
        """Of each group in its channel's pairs, shape (G, C)."""

    def together(self) -> Features:
        """All groups as they are, in some pixels."""
        return self._mixed(self.shares, self._side)

    def without(self, group: int) -> Features:
        """All but one, in the same pixels."""
        left = self.shares.copy()
        left[group] = 0
        totals = left.sum(axis=0)
        # A channel that has one group alone keeps it.
        mixed = np.where(totals > 0, left / np.where(totals > 0, totals, 1), self.shares)
        return self._mixed(mixed, self._side)

    def moved(self, signs: npt.NDArray[np.float64], scale: float) -> Features:
        """Each group's difference from the mean added so many times, or subtracted; in all pixels.

        With as many signs of either kind this moves means by `scale` standard errors, squared and
        averaged over signs.

        Args:
            signs: 1 or -1, shape (G,).
            scale: Above 0.
        """
        drift = (self.shares * signs[:, np.newaxis]).sum(axis=0)
        return self._mixed(self.shares * (1 + scale * (signs[:, np.newaxis] - drift)), 1)

    def whole(self) -> Features:
        """All groups as they are, in all pixels."""
        return self._mixed(self.shares, 1)

    def _mixed(self, shares: npt.NDArray[np.float64], side: int) -> Features:
        """Features of mixtures, in every so many rows and columns."""
        groups = self._maps[..., ::side, ::side]
        maps = np.einsum("gc,gchw->chw", shares.astype(np.float32), groups)
        values = maps.reshape(len(maps), -1)
        matrix = values > _thresholds(values, self._percentile)[:, np.newaxis]
        empty = np.flatnonzero(~matrix.any(axis=1)).astype(np.int64)
        map_shape = (groups.shape[2], groups.shape[3])
        return Features(BinaryMaps(matrix, empty, map_shape), self._mixed_products(shares))

    def _mixed_products(self, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        if self._products is None:
            return None
        groups = self._products
        mixed = np.zeros((len(groups.units), groups.means.shape[-1]))
        for some, share in zip(groups.means, shares, strict=True):
            mixed += some[:, 0] * (share * groups.units)[:, np.newaxis]
        # Rows are rounded in units of their own.
        return (mixed + mixed.T) / 2


def _thresholds(values: npt.NDArray[np.float32], percentile: float) -> npt.NDArray[np.float32]:
    """Each row's percentile, interpolated linearly; a quarter of the time that numpy's takes."""
    place = percentile / 100 * (values.shape[1] - 1)
    low = int(place)
    parted = np.partition(values, low, axis=1)
    below = parted[:, low]
    above = parted[:, low + 1 :].min(axis=1, initial=np.inf)
    step = np.where(np.isfinite(above), above - below, 0)
    return np.asarray(below + step * np.float32(place - low), np.float32)


def _smooth(maps: npt.NDArray[np.float32], window: int) -> npt.NDArray[np.float32]:
    """The sum over window x window pixels, nearest at the border; equal sums where all is equal."""
    _, height, width = maps.shape
    reach = window // 2
    padded = np.pad(maps, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    down = np.zeros((len(maps), height, width + 2 * reach), np.float32)
    for row in range(window):
        down += padded[:, row : row + height]
    smooth = np.zeros(maps.shape, np.float32)
    for column in range(window):
        smooth += down[..., column : column + width]
    return smooth
