"""Influence maps gathered batch by batch: equal to numpy over all pairs at once."""

from functools import reduce

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftscope.server.analysis import (
    InvalidInputError,
    MapMoments,
    RunningMoments,
)

# A few roundings of float64 for each of at most some dozen merges.
ROUNDING = 1e-12


def sample_maps(pairs: int, spread: float = 1.0) -> npt.NDArray[np.float64]:
    """Maps of each pair, (N, E, H, W)."""
    return 1.0 + spread * np.random.default_rng(pairs).random((pairs, 2, 3, 4))


def batch_moments(maps: npt.NDArray[np.float64]) -> MapMoments:
    deviations = maps - maps.mean(axis=0)
    return MapMoments.from_batch(len(maps), maps.sum(axis=0), (deviations**2).sum(axis=0))


def split_moments(maps: npt.NDArray[np.float64], cuts: list[int]) -> list[MapMoments]:
    return [batch_moments(part) for part in np.split(maps, sorted(cuts)) if len(part)]


@given(st.integers(2, 40), st.lists(st.integers(0, 40), max_size=6))
def test_merged_moments_equal_numpys_over_all_pairs_whatever_the_split(
    pairs: int, cuts: list[int]
) -> None:
    maps = sample_maps(pairs)
    merged = reduce(MapMoments.merge, split_moments(maps, cuts))
    assert (merged.count == pairs).all()
    np.testing.assert_allclose(merged.mean, maps.mean(axis=0), rtol=ROUNDING)
    np.testing.assert_allclose(merged.m2, maps.var(axis=0) * pairs, rtol=ROUNDING)
    expected = maps.std(axis=0, ddof=1) / np.sqrt(pairs)
    np.testing.assert_allclose(merged.stderr(), expected, rtol=ROUNDING)


def test_a_spread_far_below_the_mean_survives_merging() -> None:
    maps = sample_maps(64, spread=1e-6)
    merged = reduce(MapMoments.merge, split_moments(maps, list(range(8, 64, 8))))
    # The deviations themselves carry 1e-16 / 1e-6 of rounding.
    np.testing.assert_allclose(merged.m2, maps.var(axis=0) * 64, rtol=1e-8)


def test_merging_in_the_same_order_gives_the_same_bits() -> None:
    parts = split_moments(sample_maps(50), [7, 20, 33])
    first, second = reduce(MapMoments.merge, parts), reduce(MapMoments.merge, iter(parts))
    assert first.mean.tobytes() == second.mean.tobytes()
    assert first.m2.tobytes() == second.m2.tobytes()


def test_a_merged_prefix_continues_to_the_bits_of_one_merge() -> None:
    parts = split_moments(sample_maps(50), [7, 20, 33])
    resumed = reduce(MapMoments.merge, [reduce(MapMoments.merge, parts[:2]), *parts[2:]])
    assert resumed.mean.tobytes() == reduce(MapMoments.merge, parts).mean.tobytes()


def test_batches_in_float32_are_merged_in_float64() -> None:
    one = np.ones((1, 1, 1), dtype=np.float32)
    moments = MapMoments.from_batch(3, one, one)
    assert moments.mean.dtype == moments.m2.dtype == np.float64
    assert moments.mean.item() == 1 / 3


def test_one_pair_has_no_standard_error() -> None:
    assert np.isnan(batch_moments(sample_maps(1)).stderr()).all()
    assert np.isnan(MapMoments.from_pixel_means(np.ones((1, 4))).stderr()).all()


def test_moments_of_other_shapes_are_not_merged() -> None:
    one, other = np.ones((1, 2, 2)), np.ones((1, 2, 3))
    with pytest.raises(InvalidInputError, match=r"shape \(1, 2, 3\) cannot be merged into"):
        MapMoments.from_batch(1, one, one).merge(MapMoments.from_batch(1, other, other))


def test_a_batch_with_nan_is_refused_with_its_place() -> None:
    total = np.ones((2, 2, 2))
    total[1, 0, 1] = np.nan
    with pytest.raises(InvalidInputError, match=r"total: 1 of 8 values .* \(nan\) at \(1, 0, 1\)"):
        MapMoments.from_batch(4, total, np.ones((2, 2, 2)))


def test_malformed_batches_are_refused() -> None:
    one = np.ones((1, 2, 2))
    with pytest.raises(InvalidInputError, match="count = 0 is not allowed; it is at least 1"):
        MapMoments.from_batch(0, one, one)
    with pytest.raises(InvalidInputError, match=r"total has shape \(2, 2\); it needs \(E, H, W\)"):
        MapMoments.from_batch(1, one[0], one)
    with pytest.raises(InvalidInputError, match="m2 has shape"):
        MapMoments.from_batch(1, one, np.ones((1, 2, 3)))
    with pytest.raises(InvalidInputError, match=r"m2 has the value -1\.0"):
        MapMoments.from_batch(1, one, -one)


def test_pixel_means_give_the_mean_and_standard_error_over_pairs() -> None:
    influence = MapMoments.from_pixel_means(np.array([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]]))
    assert influence.mean.ravel().tolist() == [3.0, 5.0]
    # Deviations -2, -1, 3: variance 14 / 2, over three pairs.
    np.testing.assert_allclose(influence.stderr().ravel(), [np.sqrt(7 / 3), 0.0], rtol=ROUNDING)


def test_pixel_means_do_not_depend_on_the_arrays_layout() -> None:
    pixel_means = np.random.default_rng(0).random((1000, 3))
    c_order = MapMoments.from_pixel_means(pixel_means)
    f_order = MapMoments.from_pixel_means(np.asfortranarray(pixel_means))
    assert c_order.mean.tobytes() == f_order.mean.tobytes()


def test_pixels_that_move_together_widen_the_standard_error() -> None:
    brightness = np.random.default_rng(1).random((200, 1, 1, 1))
    maps = np.broadcast_to(brightness, (200, 1, 8, 8)).copy()
    influence = MapMoments.from_pixel_means(maps.mean(axis=(2, 3)))
    np.testing.assert_allclose(influence.stderr(), batch_moments(maps).stderr()[:, :1, :1])


def test_running_moments_have_the_bits_of_merged_ones() -> None:
    random = np.random.default_rng(2)
    batches = [
        MapMoments.from_batch(n, random.random((5, 4, 3)), random.random((5, 4, 3)))
        for n in (3, 1, 4)
    ]
    running = RunningMoments(5)
    for batch in batches:
        for some in (range(2), range(2, 5)):
            rows = slice(some.start, some.stop)
            running.merge(some, MapMoments(batch.count[rows], batch.mean[rows], batch.m2[rows]))
    whole, ours = reduce(MapMoments.merge, batches), running.moments()
    assert ours.count.tolist() == whole.count.tolist() == [8] * 5
    assert ours.mean.tobytes() == whole.mean.tobytes()
    assert ours.m2.tobytes() == whole.m2.tobytes()


def test_rows_that_get_no_more_pairs_keep_their_bits_and_their_count() -> None:
    maps = sample_maps(30)
    first, second = split_moments(maps, [20])
    rows = np.arange(1, len(first.mean), 2)
    later = MapMoments(second.count[rows], second.mean[rows], second.m2[rows])
    some, all_of_them = first.merge(later, rows), first.merge(second)
    stopped = np.setdiff1d(np.arange(len(first.mean)), rows)
    for kept, expected in ((stopped, first), (rows, all_of_them)):
        for name in ("count", "mean", "m2"):
            ours, theirs = (getattr(x, name)[kept] for x in (some, expected))
            assert ours.tobytes() == theirs.tobytes()
        assert some.stderr()[kept].tobytes() == expected.stderr()[kept].tobytes()


def test_running_moments_of_which_some_lag_behind_are_refused() -> None:
    running = RunningMoments(2)
    with pytest.raises(InvalidInputError, match=r"have had \[0\] pairs"):
        running.moments()
    running.merge(range(1), MapMoments.from_batch(3, np.ones((1, 2, 2)), np.ones((1, 2, 2))))
    with pytest.raises(InvalidInputError, match=r"have had \[0, 3\] pairs"):
        running.moments()


def test_batches_as_one_observation_each_have_the_error_of_their_means() -> None:
    maps = sample_maps(40)
    merged = reduce(MapMoments.merge, [x.as_one() for x in split_moments(maps, [10, 20, 30])])
    means = maps.reshape(4, 10, *maps.shape[1:]).mean(axis=1)
    assert (merged.count == 4).all()
    np.testing.assert_allclose(merged.mean, maps.mean(axis=0), rtol=ROUNDING)
    np.testing.assert_allclose(merged.stderr(), means.std(axis=0, ddof=1) / 2, rtol=ROUNDING)


def test_one_observation_has_no_error() -> None:
    (part,) = split_moments(sample_maps(8), [])
    assert np.isnan(part.as_one().stderr()).all()
