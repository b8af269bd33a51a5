"""Shares of an effect, their errors and the area between curves, of effects that are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.server.analysis import (
    InvalidInputError,
    Reached,
    area_between,
    reach_curve,
)

# An error of 400 repeats is known to 1 / sqrt(2 x 400) = 3.5 %; three of its errors, and the delta
# method's own at 60 pairs.
ERROR_OF_ERROR = 0.12
REPEATS = 400


def reached(pairs: int, seed: int, units: int = 4) -> Reached:
    """Pairs in which the units give 0.4, 0.2, 0.1 of what all do, and noise."""
    random = np.random.default_rng(seed)
    whole = random.gamma(4.0, size=pairs)
    parts = np.cumsum([0.4, 0.2, 0.1])[:, None] * whole + 0.3 * random.normal(size=(3, pairs))
    return Reached(parts, whole, units)


def constant(shares: list[float], units: int, pairs: int = 5) -> Reached:
    """The same shares in every pair, whose wholes differ."""
    whole = np.arange(1.0, pairs + 1)
    return Reached(np.array(shares)[:, None] * whole, whole, units)


def test_shares_that_are_the_same_in_all_pairs_have_no_error() -> None:
    curve = reach_curve(constant([0.5, 0.75, 1.0], 3))
    assert curve.share == pytest.approx([0.5, 0.75, 1.0])
    assert curve.stderr == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)


def test_a_share_is_a_ratio_of_sums_so_that_pairs_with_little_to_reach_count_little() -> None:
    effects, whole = np.array([[0.0, 90.0]]), np.array([1.0, 99.0])
    assert reach_curve(Reached(effects, whole, 2)).share == pytest.approx([0.9])


def test_the_error_of_a_share_is_the_spread_of_repeats() -> None:
    curves = [reach_curve(reached(60, seed)) for seed in range(REPEATS)]
    spread = np.std([x.share for x in curves], axis=0, ddof=1)
    told = np.sqrt(np.mean([x.stderr**2 for x in curves], axis=0))
    np.testing.assert_allclose(told, spread, rtol=ERROR_OF_ERROR)
    assert np.mean([x.share for x in curves], axis=0) == pytest.approx([0.4, 0.6, 0.7], abs=0.01)


def test_the_error_of_a_share_is_that_of_leaving_out_one_pair_after_another() -> None:
    given = reached(200, 0)
    kept = [np.arange(200) != i for i in range(200)]
    left_out = [given.effects[0, x].sum() / given.whole[x].sum() for x in kept]
    jackknife = np.sqrt(199 / 200 * np.square(left_out - np.mean(left_out)).sum())
    assert reach_curve(given).stderr[0] == pytest.approx(jackknife, rel=0.01)


def test_the_error_of_an_area_is_the_spread_of_repeats() -> None:
    def areas(seed: int) -> tuple[float, float, float, float]:
        one = reached(60, seed)
        other = Reached(0.5 * one.effects[:2] + 0.1 * one.whole, one.whole, 8)
        found = area_between(one, other)
        return found.by_count, found.by_count_stderr, found.by_share, found.by_share_stderr

    found = np.array([areas(seed) for seed in range(REPEATS // 4)])
    for value, error in ((0, 1), (2, 3)):
        spread = found[:, value].std(ddof=1)
        told = np.sqrt(np.square(found[:, error]).mean())
        assert told == pytest.approx(spread, rel=2 * ERROR_OF_ERROR)


def test_a_mean_of_several_orders_has_their_spread_in_its_error() -> None:
    whole = np.ones(10)
    orders = np.array([0.2, 0.4, 0.6, 0.8])[:, None, None] * whole  # (4, 1, 10)
    curve = reach_curve(Reached(orders, whole, 2))
    assert curve.share == pytest.approx([0.5])
    assert curve.stderr == pytest.approx([np.std([0.2, 0.4, 0.6, 0.8], ddof=1) / 2])


def test_the_area_at_equal_numbers_is_the_mean_difference_of_the_shares() -> None:
    area = area_between(constant([0.5, 0.7, 0.9], 4), constant([0.1, 0.2], 8))
    assert area.by_count == pytest.approx((0.4 + 0.5) / 2)
    assert area.by_count_stderr == pytest.approx(0.0, abs=1e-12)


def test_the_area_at_equal_shares_is_the_integral_of_straight_lines() -> None:
    above, below = [0.5, 0.7, 0.9], [0.1, 0.2]
    area = area_between(constant(above, 4), constant(below, 8))  # both go as far as 1/4
    places = np.linspace(0, 0.25, 100_001)
    heights = np.interp(places, np.arange(4) / 4, [0, *above]) - np.interp(
        places, np.arange(3) / 8, [0, *below]
    )
    assert area.by_share == pytest.approx(heights.mean(), abs=1e-5)


def test_units_that_reach_evenly_are_equal_by_share_however_many_there_are() -> None:
    few, many = constant([1 / 4, 2 / 4], 4), constant([1 / 16, 2 / 16, 3 / 16, 4 / 16], 16)
    area = area_between(few, many)
    assert area.by_share == pytest.approx(0.0, abs=1e-12)
    assert area.by_count == pytest.approx((3 / 16 + 6 / 16) / 2)


def test_a_curve_beside_itself_has_no_area_and_no_error() -> None:
    area = area_between(reached(30, 1), reached(30, 1))
    assert (area.by_count, area.by_count_stderr, area.by_share, area.by_share_stderr) == (0,) * 4


def test_the_other_way_round_an_area_changes_its_sign() -> None:
    one, other = reached(30, 1), constant([0.3, 0.6], 5, 30)
    there, back = area_between(one, other), area_between(other, one)
    assert (there.by_count, there.by_share) == pytest.approx((-back.by_count, -back.by_share))
    assert there.by_count_stderr == pytest.approx(back.by_count_stderr)


def test_where_nothing_is_reachable_shares_are_no_numbers() -> None:
    nothing = Reached(np.zeros((2, 3)), np.zeros(3), 2)
    curve = reach_curve(nothing)
    assert np.isnan(curve.share).all()
    assert np.isnan(curve.stderr).all()
    assert np.isnan(area_between(nothing, constant([0.5], 2, 3)).by_count)


def test_one_pair_has_a_share_and_no_error() -> None:
    curve = reach_curve(Reached(np.array([[1.0]]), np.array([4.0]), 2))
    assert curve.share == pytest.approx([0.25])
    assert np.isnan(curve.stderr).all()


def fails(effects: NDArray[np.float64], whole: NDArray[np.float64], units: int, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        Reached(effects, whole, units)


def test_what_does_not_fit_is_refused() -> None:
    fails(np.ones((2, 3)), np.ones(4), 2, "effects are of 3 pairs and whole of 4")
    fails(np.ones((2, 3)), np.ones(3), 1, "units = 1 is not allowed; effects are of the first 2")
    fails(np.full((2, 3), np.nan), np.ones(3), 2, "effects: 6 of 6 values are NaN")
    with pytest.raises(InvalidInputError, match="of 5 and 6 pairs"):
        area_between(constant([0.5], 2, 5), constant([0.5], 2, 6))
