"""Means over groups of shards: of a row's ordered shards alone, in a size that does not grow."""

import numpy as np
import numpy.typing as npt
import pytest

from graftscope.server.analysis import GROUP_PAIRS, MOST_GROUPS, InvalidInputError, ShardGroups
from graftscope.server.analysis._shard_groups import group_starts

# A rounding of float16 is 2^-11 of a value at most, a mean of means adds up a few.
ROUNDING = 2.0**-9

ROWS, SHAPE = 3, (4, 5)


def shard_maps(shards: int, rows: int = ROWS) -> npt.NDArray[np.float64]:
    """(n, E, h, w), rows of very different sizes."""
    sizes = 10.0 ** np.arange(-4, 2 * rows - 4, 2)[:, np.newaxis, np.newaxis]
    return sizes * np.random.default_rng(shards).random((shards, rows, *SHAPE))


def gathered(maps: npt.NDArray[np.float64], pairs: npt.ArrayLike = GROUP_PAIRS) -> ShardGroups:
    groups = ShardGroups.none(maps.shape[1], SHAPE)
    for shard in maps:
        groups = groups.and_then(shard, pairs)
    return groups


def plain_means(groups: ShardGroups) -> npt.NDArray[np.float64]:
    return groups.means.astype(np.float64) * groups.units[:, np.newaxis, np.newaxis]


@pytest.mark.parametrize("shards", [1, 2, 15, 16, 17, 31, 32, 33, 100])
def test_groups_are_the_means_of_their_shards(shards: int) -> None:
    maps = shard_maps(shards)
    groups = gathered(maps)
    parts = np.split(maps, group_starts(shards)[1:])
    np.testing.assert_allclose(
        plain_means(groups), [part.mean(axis=0) for part in parts], rtol=ROUNDING
    )
    expected = np.array([GROUP_PAIRS * len(part) for part in parts])
    assert (groups.pairs == expected[:, np.newaxis]).all()
    assert groups.shards.tolist() == [shards] * ROWS


def test_from_the_sixteenth_shard_on_there_are_sixteen_groups_of_similar_size() -> None:
    for shards in range(2, 1000):
        starts = group_starts(shards)
        sizes = np.diff([*starts, shards])
        assert len(starts) == min(shards, MOST_GROUPS)
        assert sizes[:-1].max() <= 2 * sizes[:-1].min()
        assert sizes[-1] <= sizes[:-1].max()
        # Groups are only ever joined, never cut.
        assert set(starts) <= {*group_starts(shards - 1).tolist(), shards - 1}


def test_the_size_does_not_grow_with_the_pairs() -> None:
    groups = gathered(shard_maps(70))
    assert groups.means.nbytes == 32 * ROWS * SHAPE[0] * SHAPE[1]
    assert groups.pairs.shape == (MOST_GROUPS, ROWS)


def test_rows_that_stop_keep_their_groups_and_the_others_are_what_they_are_alone() -> None:
    maps = shard_maps(50)
    lasting = np.array([7, 50, 20])
    groups = ShardGroups.none(ROWS, SHAPE)
    for i, shard in enumerate(maps):
        groups = groups.and_then(shard, np.where(i < lasting, GROUP_PAIRS, 0))
    for row, shards in enumerate(lasting):
        alone = gathered(maps[:shards, row : row + 1])
        size = len(alone.means)
        assert groups.means[:size, row].tobytes() == alone.means[:, 0].tobytes()
        assert groups.pairs[:size, row].tolist() == alone.pairs[:, 0].tolist()
        assert not groups.means[size:, row].any()
        assert not groups.pairs[size:, row].any()
        assert groups.of(np.array([row])).means.tobytes() == alone.means.tobytes()
    assert groups.counts.tolist() == [7, 16, 16]


def test_going_on_from_stored_groups_gives_the_bits_of_one_run() -> None:
    maps = shard_maps(40)
    half = gathered(maps[:23])
    stored = ShardGroups(half.means.copy(), half.pairs.copy(), half.units.copy())
    for shard in maps[23:]:
        stored = stored.and_then(shard, GROUP_PAIRS)
    once = gathered(maps)
    assert stored.means.tobytes() == once.means.tobytes()
    assert stored.pairs.tobytes() == once.pairs.tobytes()


def test_a_last_shard_of_fewer_pairs_counts_for_as_many_and_nothing_follows_it() -> None:
    maps = shard_maps(17)
    groups = gathered(maps[:16]).and_then(maps[16], 8)
    assert groups.pairs[:, 0].tolist() == [64, *[32] * 14, 8]
    assert groups.shards.tolist() == [17] * ROWS
    with pytest.raises(InvalidInputError, match="fewer than 32 pairs is a row's last"):
        groups.and_then(maps[0], GROUP_PAIRS)


def test_a_row_that_begins_with_nothing_or_grows_a_thousandfold_keeps_its_digits() -> None:
    maps = np.ones((3, 2, *SHAPE))
    maps[0, 0] = 0.0
    maps[:2, 1] = 3e-5
    groups = gathered(maps)
    np.testing.assert_allclose(plain_means(groups), maps, rtol=ROUNDING)


def test_thousands_of_shards_do_not_wear_digits_away() -> None:
    random = np.random.default_rng(5)
    maps = 1.0 + 0.3 * random.standard_normal((1000, 1, *SHAPE))
    groups = gathered(maps)
    parts = np.split(maps, group_starts(1000)[1:])
    errors = plain_means(groups) - [part.mean(axis=0) for part in parts]
    spread = 0.3 / np.sqrt(groups.pairs.mean() / GROUP_PAIRS)
    assert np.sqrt(np.square(errors).mean()) < 0.1 * spread


def test_malformed_shards_are_refused() -> None:
    groups = ShardGroups.none(ROWS, SHAPE)
    one = np.ones((ROWS, *SHAPE))
    with pytest.raises(InvalidInputError, match="pairs = 33 is not allowed; a shard has 0 to 32"):
        groups.and_then(one, 33)
    with pytest.raises(InvalidInputError, match=r"shard_means has shape \(2, 4, 5\)"):
        groups.and_then(one[:2], 32)
    one[1, 2, 3] = np.nan
    with pytest.raises(InvalidInputError, match=r"shard_means: 1 of 60 values"):
        groups.and_then(one, 32)
