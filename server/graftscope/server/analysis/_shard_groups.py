"""Means of maps over groups of shards: what resampling needs, in a size that pairs do not change.

Shards arrive in order, 32 pairs each. Up to 16 every shard is a group; of more, the oldest
neighbours are joined two by two, so that there are always 16 groups whose sizes differ by a factor
of two at most (the last may still be growing). Which pairs a group holds depends on how many shards
a row has had and on nothing else: not on how they came, nor on the other rows. A row that got no
more shards keeps its groups as they are.

Means are float16, each row in a unit of its own, a power of two: 2 bytes a pixel and group, 32 at
most, twice what the mean and the spread in float64 take. Rounding changes a mean by 1 part in 4,096
at most where groups of shards differ by parts in a hundred. Products of effects are float32, since
what tells modules apart is a small part of them: 4 bytes a pair of rows and group.

Axes: G groups, E rows (maps of channels or of sets of them), h and w the map's size. This module
must not know what the maps are grouped into.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, finite_array
from graftscope.server.analysis._random_words import GROUP_PAIRS

MOST_GROUPS = 16
"""Of a row. As many means in float16 are twice as large as a mean and a spread in float64."""

# A row's largest value in its own unit: float16 ends at 2^16 and loses digits below 2^-14, so there
# are 2^8 above for shards to come, and 2^22 below for pixels that change less.
_PEAK_EXPONENT = 8
_LARGEST = 2.0**15

_NEW = -1


@dataclass(frozen=True, eq=False)
class ShardGroups:
    """Means of some rows' maps over their groups, the oldest first.

    Attributes:
        means: Shape (G, E, h, w), float16 or float32, in the row's unit; 0 where there are no
            pairs.
        pairs: Pairs in each group of each row, shape (G, E), int64. Rows that have had fewer shards
            have 0 in the last groups; a group of theirs may hold other pairs than that of another.
        units: What 1 stands for in each row, shape (E,), float64; 0 for a row that is all zero.
    """

    means: npt.NDArray[np.floating]
    pairs: npt.NDArray[np.int64]
    units: npt.NDArray[np.float64]

    @classmethod
    def none(
        cls,
        rows: int,
        map_shape: tuple[int, int],
        dtype: type[np.float16] | type[np.float32] = np.float16,
    ) -> "ShardGroups":
        """No shard yet, of so many maps of this height and width, kept as exactly as the type."""
        return cls(
            np.zeros((0, rows, *map_shape), dtype), np.zeros((0, rows), np.int64), np.zeros(rows)
        )

    @classmethod
    def none_of_products(cls, rows: int) -> "ShardGroups":
        """No shard yet, of the products of each of so many rows with all."""
        return cls.none(rows, (1, rows), np.float32)

    @classmethod
    def of_products(
        cls, means: npt.NDArray[np.float32], pairs: npt.NDArray[np.int64]
    ) -> "ShardGroups":
        """The inverse of `as_products`, with the pairs (G, E) of each group."""
        return cls(means[:, :, np.newaxis], pairs, np.ones(means.shape[1]))

    def as_products(self) -> npt.NDArray[np.float32]:
        """Mean products of each row with all, shape (G, E, E), in the image's units squared."""
        # Units are powers of two: nothing is rounded.
        whole: npt.NDArray[np.float32] = (self.means[:, :, 0] * self.units[:, np.newaxis]).astype(
            np.float32
        )
        return whole

    @property
    def shards(self) -> npt.NDArray[np.int64]:
        """How many shards each row has had, shape (E,): only its last may have had fewer pairs."""
        return np.asarray(-(-self.pairs.sum(axis=0) // GROUP_PAIRS), dtype=np.int64)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many groups each row has, shape (E,)."""
        return np.asarray(np.count_nonzero(self.pairs, axis=0), dtype=np.int64)

    def and_then(self, shard_means: npt.ArrayLike, pairs: npt.ArrayLike) -> "ShardGroups":
        """With the next shard.

        Args:
            shard_means: The shard's mean maps, shape (E, h, w), in the image's units.
            pairs: How many pairs each is a mean of, shape (E,) or one number for all: 0 to 32. Rows
                of 0 pairs stay as they are, whatever their means.

        Returns:
            New groups; the same shards give the same bits.

        Raises:
            InvalidInputError: A shape differs, a value is not finite, or the pairs are out of range
                or follow a shard that was not full.
        """
        means = finite_array("shard_means", shard_means, "Ehw")
        if means.shape != self.means.shape[1:]:
            raise InvalidInputError(
                f"shard_means has shape {means.shape}; the groups are of {self.means.shape[1:]}",
                "shard_means",
            )
        counts = self._checked(pairs)
        before = self._in_units_for(np.where(counts > 0, np.abs(means).max(axis=(1, 2)), 0.0))
        return before._with(means, counts)

    def of(self, rows: npt.NDArray[np.int64] | slice) -> "ShardGroups":
        """The groups of some rows."""
        pairs = self.pairs[:, rows]
        some = pairs.any(axis=1)
        return ShardGroups(self.means[some][:, rows], pairs[some], self.units[rows])

    def plus(self, maps: npt.NDArray[np.float64]) -> "ShardGroups":
        """With a map added to each row's every group, (E, h, w); rows that are all zero stay so."""
        known = self.units > 0
        units = np.where(known, self.units, 1.0)[:, np.newaxis, np.newaxis]
        added = np.where(known[:, np.newaxis, np.newaxis], maps / units, 0.0).astype(np.float32)
        means = np.zeros_like(self.means)
        for group, pairs in enumerate(self.pairs):
            means[group] = self.means[group] + added * (pairs > 0)[:, np.newaxis, np.newaxis]
        return replace(self, means=means)

    def squared(self, rows: npt.NDArray[np.int64] | slice) -> "ShardGroups":
        """The products of some rows with each other."""
        some = self.of(rows)
        return replace(some, means=some.means[..., rows])

    def _checked(self, pairs: npt.ArrayLike) -> npt.NDArray[np.int64]:
        counts = np.broadcast_to(np.asarray(pairs, dtype=np.int64), self.units.shape)
        outside = counts[(counts < 0) | (counts > GROUP_PAIRS)]
        if outside.size:
            raise InvalidInputError(
                f"pairs = {outside[0]} is not allowed; a shard has 0 to {GROUP_PAIRS}", "pairs"
            )
        if (self.pairs.sum(axis=0)[counts > 0] % GROUP_PAIRS).any():
            raise InvalidInputError(
                f"a shard of fewer than {GROUP_PAIRS} pairs is a row's last; more cannot follow",
                "pairs",
            )
        return counts

    def _in_units_for(self, peaks: npt.NDArray[np.float64]) -> "ShardGroups":
        """The same, with larger units in rows that have to hold more: exact but for tiny values."""
        grown = peaks > self.units * _LARGEST
        if not grown.any():
            return self
        units = self.units.copy()
        units[grown] = np.exp2(np.ceil(np.log2(peaks[grown])) - _PEAK_EXPONENT)
        means = self.means.copy()
        means[:, grown] *= (self.units[grown] / units[grown])[:, np.newaxis, np.newaxis]
        return replace(self, means=means, units=units)

    def _with(self, shard: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> "ShardGroups":
        """With a shard, in units that hold it."""
        after = self.shards + (counts > 0)
        size = max((len(group_starts(int(n))) for n in np.unique(after)), default=0)
        means = np.zeros((size, *shard.shape), self.means.dtype)
        pairs = np.zeros((size, len(counts)), np.int64)
        kept = np.flatnonzero(counts == 0)
        means[: len(self.means), kept] = self.means[:, kept]
        pairs[: len(self.means), kept] = self.pairs[:, kept]
        # Rows that have had equally many shards have the same groups.
        for shards in np.unique(after[counts > 0]):
            rows = np.flatnonzero((counts > 0) & (after == shards))
            units = np.where(self.units[rows] > 0, self.units[rows], 1.0)
            scaled = (shard[rows] / units[:, np.newaxis, np.newaxis]).astype(np.float32)
            for group, parts in enumerate(_parts(int(shards))):
                means[group, rows], pairs[group, rows] = self._joined(
                    rows, parts, scaled, counts[rows]
                )
        return ShardGroups(means, pairs, self.units)

    def _joined(
        self,
        rows: npt.NDArray[np.int64],
        parts: list[int],
        shard: npt.NDArray[np.float32],
        counts: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.int64]]:
        """Means and pairs of some rows over some of their groups; _NEW stands for the shard."""
        means = [shard if part == _NEW else self.means[part, rows] for part in parts]
        pairs = [counts if part == _NEW else self.pairs[part, rows] for part in parts]
        if len(parts) == 1:
            return means[0], pairs[0]
        total = np.sum(pairs, axis=0)
        shares = [(some / total).astype(np.float32)[:, np.newaxis, np.newaxis] for some in pairs]
        return sum(s * m for s, m in zip(shares, means, strict=True)), total


def _parts(shards: int) -> list[list[int]]:
    """Which groups of one shard fewer, and whether the new one, make up each group of so many."""
    before, now = group_starts(shards - 1), group_starts(shards)
    into = np.searchsorted(now, [*before, shards - 1], side="right") - 1
    which = [*range(len(before)), _NEW]
    return [
        [part for part, at in zip(which, into, strict=True) if at == group]
        for group in range(len(now))
    ]


def group_starts(shards: int) -> npt.NDArray[np.int64]:
    """The first shard of each group of so many shards.

    The first groups have twice as many shards as the others, the last as many as are left: as few
    doubled ones as keep all of them to MOST_GROUPS.
    """
    size = 1 << max(0, (shards // MOST_GROUPS).bit_length() - 1)
    doubled = max(0, -(-shards // size) - MOST_GROUPS)
    first = np.arange(doubled, dtype=np.int64) * 2 * size
    return np.concatenate([first, np.arange(2 * size * doubled, shards, size, dtype=np.int64)])
