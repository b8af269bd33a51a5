"""Preprocessing: the box filter, each map's own percentile, and maps that come out empty."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import uniform_filter

from graftscope.server.analysis import (
    InvalidInputError,
)
from graftscope.server.analysis._features import preprocess


def random_maps(channels: int = 5) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).random((channels, 9, 7))


@pytest.mark.parametrize("window", [1, 3, 5])
def test_rows_mark_what_exceeds_numpys_percentile_of_the_smoothed_map(window: int) -> None:
    maps = random_maps()
    rows = preprocess(maps, window=window, percentile=60.0).matrix
    for row, one_map in zip(rows, maps, strict=True):
        smooth = uniform_filter(one_map, window, mode="nearest").ravel()
        expected = smooth > np.percentile(smooth, 60.0)
        assert np.array_equal(row, expected)


def test_the_window_repeats_the_nearest_pixel_at_the_border() -> None:
    corner = np.zeros((1, 4, 4))
    corner[0, 0, 0] = 1.0
    # Means are 4/9 at the corner, 2/9 beside it, 1/9 diagonally, 0 elsewhere; 12 of 16 are 0.
    marked = preprocess(corner).matrix.reshape(4, 4)
    assert np.argwhere(marked).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_a_quarter_of_distinct_pixels_stands_above_the_default_percentile() -> None:
    ramp = np.arange(64.0).reshape(1, 8, 8)
    assert preprocess(ramp, window=1).matrix.sum() == 16


def test_each_map_has_its_own_threshold() -> None:
    maps = random_maps()
    scaled = maps * np.array([1, 10, 1e-3, 1e6, 7])[:, np.newaxis, np.newaxis]
    assert np.array_equal(preprocess(maps, window=1).matrix, preprocess(scaled, window=1).matrix)


def test_zeros_beside_a_bump_stay_below_the_threshold() -> None:
    maps = np.zeros((1, 12, 12))
    maps[0, 2:4, 2:4] = [[0.1, 0.7], [0.3, 0.9]]
    marked = preprocess(maps).matrix.reshape(12, 12)
    assert np.argwhere(marked).min() == 1
    assert np.argwhere(marked).max() == 4
    assert marked.sum() == 16


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-3, 123.456])
def test_a_flat_map_is_reported_as_empty(value: float) -> None:
    maps = random_maps()
    maps[3] = value
    binary = preprocess(maps)
    assert binary.empty.tolist() == [3]
    assert not binary.matrix[3].any()


def test_a_map_whose_maximum_fills_a_third_of_the_image_is_empty() -> None:
    plateau = np.zeros((1, 3, 6))
    plateau[0, 0] = 1.0
    assert preprocess(plateau, window=1).empty.tolist() == [0]


@pytest.mark.parametrize("window", [0, 2, -3])
def test_a_window_that_is_not_odd_and_positive_is_refused(window: int) -> None:
    with pytest.raises(InvalidInputError, match=f"window = {window} is not allowed; it is an odd"):
        preprocess(random_maps(), window=window)


@pytest.mark.parametrize("percentile", [0.0, 100.0, -5.0, float("nan")])
def test_a_percentile_out_of_range_is_refused(percentile: float) -> None:
    with pytest.raises(InvalidInputError, match="it is between 0 and 100, both excluded"):
        preprocess(random_maps(), percentile=percentile)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_maps_that_are_not_finite_are_refused_with_their_place(bad: float) -> None:
    maps = random_maps()
    maps[2, 1, 4] = bad
    with pytest.raises(
        InvalidInputError, match=r"maps: 1 of 315 values .* at \(2, 1, 4\)"
    ) as caught:
        preprocess(maps)
    assert caught.value.field == "maps"


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 4, 4), (0, 4, 4)])
def test_maps_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError, match=r"it needs \(C, H, W\) with nothing empty"):
        preprocess(np.ones(shape))
