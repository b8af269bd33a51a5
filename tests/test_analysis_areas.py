"""Maps are averaged over areas of one size, the last of which may be smaller."""

import numpy as np
import pytest

from graftscope.server.analysis import area_means

MAPS = np.random.default_rng(0).random((3, 12, 8))


def test_maps_that_are_small_enough_stay_as_they_are() -> None:
    np.testing.assert_array_equal(area_means(MAPS, 12), MAPS)


@pytest.mark.parametrize(("longest", "shape"), [(6, (6, 4, 2, 2)), (4, (4, 4, 3, 2))])
def test_areas_are_averaged(longest: int, shape: tuple[int, int, int, int]) -> None:
    rows, columns, high, wide = shape
    expected = MAPS.reshape(3, rows, high, columns, wide).mean(axis=(2, 4))
    np.testing.assert_allclose(area_means(MAPS, longest), expected, rtol=1e-12)


def test_the_last_area_holds_what_is_left() -> None:
    # Twelve rows in areas of three; eight columns as three, three and two.
    found = area_means(MAPS[:, :, :], 5)
    assert found.shape == (3, 4, 4)
    found = area_means(np.arange(7.0).reshape(1, 1, 7), 3)
    np.testing.assert_array_equal(found, [[[1.0, 4.0, 6.0]]])
