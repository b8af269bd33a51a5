"""Facts about interaction and spill of modules: on images put together from known parts."""

import numpy as np
import pytest

from graftscope.server.analysis import (
    InvalidInputError,
    area_means,
    image_regions,
    interaction,
    module_pairs,
    outside_sums,
    ratio_of_sums,
    symmetric,
    template_regions,
)

RANDOM = np.random.default_rng(11)
PAIRS, COLOURS, SIDE = 5, 3, 8


def images() -> np.ndarray:
    """(B, c, H, W) float32, as a generator makes them."""
    return RANDOM.standard_normal((PAIRS, COLOURS, SIDE, SIDE)).astype(np.float32)


def test_modules_of_different_pixels_do_not_interact_to_the_last_bit() -> None:
    original1, one, other = images(), images(), images()
    one[..., 4:], other[..., :4] = original1[..., 4:], original1[..., :4]
    both = np.concatenate([one[..., :4], other[..., 4:]], axis=-1)
    found = interaction(original1, one, other, both)
    assert not found.total.any()
    assert not found.sums[0].any()
    assert (found.sums[1] > 0).all()


def test_effects_that_add_up_interact_no_more_than_they_are_rounded() -> None:
    original1, first, second = images(), images(), images()
    both = original1 + first + second
    found = interaction(original1, original1 + first, original1 + second, both)
    assert ratio_of_sums(*found.sums)[0] < 1e-6


def test_an_interaction_is_what_a_loop_over_pixels_finds() -> None:
    original1, one, other, both = (images() for _ in range(4))
    found = interaction(original1, one, other, both)
    total = np.zeros((SIDE, SIDE))
    parts, effects = np.zeros(PAIRS), np.zeros(PAIRS)
    for pair, colour, row, column in np.ndindex(original1.shape):
        at = pair, colour, row, column
        o, i, j, ij = (float(x[at]) for x in (original1, one, other, both))
        total[row, column] += abs(ij - i - j + o) / COLOURS
        parts[pair] += abs(ij - i - j + o)
        effects[pair] += abs(ij - o)
    np.testing.assert_allclose(found.total, total)
    np.testing.assert_allclose(found.sums, [parts, effects])


def test_every_two_modules_have_their_place_in_the_matrix() -> None:
    assert module_pairs(3) == [(0, 1), (0, 2), (1, 2)]
    matrix = symmetric(np.array([1.0, 2.0, 3.0]), 3, alone=np.nan)
    np.testing.assert_array_equal(matrix, [[np.nan, 1, 2], [1, np.nan, 3], [2, 3, np.nan]])
    assert symmetric(np.zeros((0, 4, 4)), 1, alone=0.0).shape == (1, 1, 4, 4)


def test_a_ratio_of_sums_has_the_spread_of_repeats_for_an_error() -> None:
    totals = RANDOM.exponential(1.0, (2000, 50))
    parts = totals * RANDOM.beta(2, 5, (2000, 50))
    ratio, stderr = ratio_of_sums(parts, totals)
    assert stderr.mean() == pytest.approx(ratio.std(), rel=0.1)
    assert ratio.mean() == pytest.approx(2 / 7, rel=0.01)


def test_a_ratio_of_nothing_and_the_error_of_one_pair_are_not_known() -> None:
    ratio, stderr = ratio_of_sums(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 0.0]] * 2))
    assert np.isnan(ratio[0])
    assert np.isnan(stderr).all()
    ratio, stderr = ratio_of_sums(np.array([1.0]), np.array([2.0]))
    assert float(ratio) == 0.5
    assert np.isnan(stderr)


def test_a_template_is_cut_at_its_own_percentile() -> None:
    template = np.arange(16.0).reshape(1, 4, 4)
    inside = template_regions(template, 75)
    np.testing.assert_array_equal(inside[0], template[0] >= 12)
    assert template_regions(template, 50).sum() == 8


def test_a_template_whose_highest_value_fills_half_the_picture_is_that_half() -> None:
    template = np.zeros((2, 4, 8))
    template[0, :, :4] = 3.0
    inside = template_regions(template, 75)
    np.testing.assert_array_equal(inside[0], template[0] > 0)
    assert not inside[1].any()


def test_regions_of_templates_lie_over_the_areas_that_maps_average() -> None:
    for height, width, longest in ((8, 8, 4), (9, 14, 5), (6, 6, 6)):
        image = RANDOM.random((1, height, width))
        maps = area_means(image, longest)
        region = np.zeros(maps.shape, bool)
        region[0, 1, 2] = True
        inside = image_regions(region, height, width)[0]
        assert (image[0] * inside).sum() / inside.sum() == pytest.approx(maps[0, 1, 2])
    with pytest.raises(InvalidInputError, match="templates of 5 pixels do not belong"):
        image_regions(np.zeros((1, 5, 5), bool), 8, 8)


def test_a_change_that_is_the_same_everywhere_spills_as_much_as_lies_outside() -> None:
    inside = RANDOM.random((SIDE, SIDE))
    sums = outside_sums(np.full((PAIRS, SIDE, SIDE), 0.3), inside)
    share, stderr = ratio_of_sums(*sums)
    assert share == pytest.approx(1 - inside.mean())
    assert stderr == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("percentile", [0.0, 100.0, np.nan])
def test_a_percentile_that_cuts_nothing_is_refused(percentile: float) -> None:
    with pytest.raises(InvalidInputError, match="percentile"):
        template_regions(np.ones((1, 2, 2)), percentile)
