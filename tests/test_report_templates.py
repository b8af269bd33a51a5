"""Where a template lies, in words, and how much a module changes there."""

import numpy as np
import pytest

from graftscope.client.report import (
    describe_template,
    locate_template,
    region_change,
)
from graftscope.client.report._zones import EVERYWHERE, NOWHERE, zone_shares


def spot(rows: slice, columns: slice, size: int = 16) -> np.ndarray:
    template = np.zeros((size, size))
    template[rows, columns] = 1.0
    return template


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (
            spot(slice(4, 12), slice(4, 12)),
            "centre (25 % of the picture, 100 % of the template)",
        ),
        (
            spot(slice(None), slice(0, 4)),
            "left border (25 % of the picture, 100 % of the template)",
        ),
        (
            spot(slice(None), slice(0, 4)) + spot(slice(None), slice(12, 16)),
            "left and right border (50 % of the picture, 100 % of the template)",
        ),
        (
            spot(slice(12, 16), slice(None)),
            "bottom border (25 % of the picture, 100 % of the template)",
        ),
        (
            1.0 - spot(slice(4, 12), slice(4, 12)),
            "border all around (75 % of the picture, 100 % of the template)",
        ),
        (
            spot(slice(0, 4), slice(12, 16)),
            "upper right corner (6 % of the picture, 100 % of the template)",
        ),
        (
            spot(slice(4, 12), slice(4, 12)) + spot(slice(4, 12), slice(0, 16)) / 4,
            "centre (25 % of the picture, 83 % of the template)",
        ),
        (np.ones((16, 16)), EVERYWHERE),
        (np.zeros((16, 16)), NOWHERE),
    ],
)
def test_a_template_is_described_by_where_its_weight_lies(template: np.ndarray, words: str) -> None:
    assert describe_template(template) == words
    assert describe_template(7.5 * template) == words, "its scale does not matter"


def test_zones_divide_the_pixels_that_their_edges_cross() -> None:
    areas = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    for shape in ((1, 1), (3, 5), (7, 28), (64, 64)):
        np.testing.assert_allclose(zone_shares(np.ones(shape)), areas, atol=1e-12)


def test_the_centre_of_weight_is_counted_from_the_upper_left() -> None:
    place = locate_template(spot(slice(0, 2), slice(14, 16)))
    assert (place.across, place.down) == pytest.approx((15 / 16, 1 / 16))


@pytest.mark.parametrize(
    "template", [-np.ones((4, 4)), np.full((4, 4), np.nan), np.ones(4), np.ones((2, 4, 4))]
)
def test_what_is_no_template_is_refused(template: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a template is"):
        describe_template(template)


def test_change_is_told_inside_and_outside_the_template() -> None:
    template = np.zeros((1, 4, 4))
    template[0, 0] = 1.0
    change = region_change(np.where(template > 0, 0.5, 0.1), template)
    np.testing.assert_allclose(change, [[0.5, 0.1]])


def test_a_flat_template_has_no_inside() -> None:
    change = region_change(np.zeros((1, 4, 4)), np.ones((1, 4, 4)))
    assert np.isnan(change[0, 0])
    assert change[0, 1] == 0.0


def test_change_of_arrays_that_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="both must be"):
        region_change(np.ones((2, 4, 4)), np.ones((2, 8, 8)))
