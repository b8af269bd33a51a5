"""Facts about spill: the share of a change that falls outside a region, and its standard error."""

import numpy as np
import pytest

from graftscope.client import find_channels, rectangle_region, spill
from graftscope.client.errors import InputError

LEFT = rectangle_region(0, 0, 4, 2, image_height=4, image_width=8)


def changed(*pairs: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Black originals (B, 2, 4, 8), and hybrids of one change in the left quarter and another."""
    hybrid = np.array([[[[inside] * 2 + [outside] * 6] * 4] * 2 for inside, outside in pairs])
    return np.zeros_like(hybrid), hybrid


def test_a_change_inside_does_not_spill_and_one_outside_does() -> None:
    assert spill(*changed((0.5, 0.0)), LEFT).share == 0.0
    assert spill(*changed((0.0, -0.5)), LEFT).share == 1.0


def test_a_change_that_is_the_same_everywhere_spills_as_much_as_lies_outside() -> None:
    found = spill(*changed((0.3, 0.3), (-2.0, -2.0)), LEFT)
    assert found.share == pytest.approx(0.75)
    assert found.area == 0.75
    assert found.stderr == pytest.approx(0.0, abs=1e-15)


def test_all_pairs_together_are_a_ratio_of_sums() -> None:
    found = spill(*changed((3.0, 0.0), (1.0, 1.0)), LEFT)
    np.testing.assert_allclose(found.of_pairs, [0.0, 0.75])
    assert found.share == pytest.approx(6 / (6 + 6 + 2))


def test_a_pair_that_does_not_change_has_no_share_and_leaves_that_of_the_others() -> None:
    found = spill(*changed((1.0, 1.0), (0.0, 0.0)), LEFT)
    assert found.share == pytest.approx(0.75)
    np.testing.assert_allclose(found.of_pairs, [0.75, np.nan])
    nothing = spill(*changed((0.0, 0.0), (0.0, 0.0)), LEFT)
    assert np.isnan(nothing.share)
    assert np.isnan(nothing.stderr)
    assert nothing.area == 0.75


def test_a_pixel_that_is_partly_inside_counts_in_part_on_both_sides() -> None:
    grey = np.full((4, 8), 0.5)
    assert spill(*changed((1.0, 7.0)), grey).share == pytest.approx(0.5)


def test_one_pair_has_no_standard_error() -> None:
    assert np.isnan(spill(*changed((1.0, 1.0)), LEFT).stderr)


def test_the_standard_error_is_the_spread_of_repeats() -> None:
    random = np.random.default_rng(4)
    repeats, pairs = 600, 60
    inside = random.exponential(1.0, (repeats, pairs))
    outside = 0.1 * inside + random.exponential(0.2, (repeats, pairs))
    found = [
        spill(*changed(*zip(*each, strict=True)), LEFT)
        for each in zip(inside, outside, strict=True)
    ]
    spread = np.std([each.share for each in found])
    # Of 600 repeats, the spread is known to about 3 %.
    assert np.mean([each.stderr for each in found]) == pytest.approx(spread, rel=0.1)


def test_the_spill_of_maps_is_that_of_the_hybrids_they_are_of() -> None:
    random = np.random.default_rng(5)
    original1, hybrids = random.random((9, 3, 4, 8)), random.random((2, 9, 3, 4, 8))
    maps = np.abs(hybrids - original1).mean(axis=(1, 2))
    found = find_channels(maps, LEFT)
    each = [spill(original1, hybrid, LEFT).share for hybrid in hybrids]
    np.testing.assert_allclose(found.contrast.spill, each)


def test_the_error_of_the_spill_of_maps_is_as_if_inside_rose_where_outside_fell() -> None:
    maps = changed((3.0, 1.0))[1][:, 0]
    found = find_channels(maps, LEFT, stderr=0.01 * np.ones_like(maps)).contrast
    assert found.spill == pytest.approx([0.5])
    worst = 0.75 * 1.01 / (0.75 * 1.01 + 0.25 * 2.99) - 0.5
    assert found.spill_stderr == pytest.approx([worst], rel=0.01)


@pytest.mark.parametrize(
    ("original1", "hybrid", "region", "said"),
    [
        (np.zeros((2, 3, 4, 8)), np.zeros((2, 3, 4, 7)), LEFT, "both must be"),
        (np.zeros((3, 4, 8)), np.zeros((3, 4, 8)), LEFT, "both must be"),
        (np.zeros((2, 3, 4, 8)), np.zeros((2, 3, 4, 8)), LEFT[:2], "not of images of 4 x 8"),
        (np.zeros((2, 3, 4, 8)), np.zeros((2, 3, 4, 8)), np.ones((4, 8)), "is the whole image"),
        (np.zeros((2, 3, 4, 8)), np.full((2, 3, 4, 8), np.nan), LEFT, "NaN or infinite"),
    ],
)
def test_what_has_no_spill_is_refused(
    original1: np.ndarray, hybrid: np.ndarray, region: np.ndarray, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        spill(original1, hybrid, region)
