"""Greedy orders of units whose effects are known."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.server.analysis import (
    InvalidInputError,
    first_sets,
    greedy_sets,
    random_orders,
    rank_greedily,
)

OWN = np.array([3.0, 1.0, 7.0, 0.5, 2.0])


class Measured:
    """Effects of sets by a formula of the set, in pairs that vary around it; counts the sets."""

    def __init__(self, formula: object, pairs: int = 4) -> None:
        self.formula = formula
        self.deviations = np.linspace(-0.1, 0.1, pairs)
        self.sets = 0

    def __call__(self, sets: NDArray[np.bool_]) -> NDArray[np.float64]:
        self.sets += len(sets)
        values = np.array([self.formula(each) for each in sets])  # type: ignore[operator]
        return np.asarray(values[:, None] * (1 + self.deviations))


def test_where_effects_add_up_the_order_is_that_of_the_effects() -> None:
    effect = Measured(lambda units: OWN[units].sum())
    ranking = rank_greedily(5, 5, effect)
    assert ranking.order.tolist() == [2, 0, 4, 1, 3]
    assert ranking.effects == pytest.approx(np.cumsum([7.0, 3.0, 2.0, 1.0, 0.5]))


def test_a_part_of_the_order_is_its_beginning_and_measures_as_many_sets_as_said() -> None:
    effect = Measured(lambda units: OWN[units].sum())
    assert rank_greedily(5, 3, effect).order.tolist() == [2, 0, 4]
    assert effect.sets == greedy_sets(5, 3) == 5 + 4 + 3


def test_of_equal_units_the_first_is_taken() -> None:
    effect = Measured(lambda units: float(units.sum() > 0))
    assert rank_greedily(4, 4, effect).order.tolist() == [0, 1, 2, 3]


def test_where_units_saturate_greedy_is_within_its_bound_of_the_best_set() -> None:
    # Units cover points; a set's effect is how many it covers, so a second cover adds nothing.
    covers = np.random.default_rng(5).random((8, 30)) < 0.3
    effect = Measured(lambda units: float(covers[units].any(axis=0).sum()))
    ranking = rank_greedily(8, 4, effect)
    for n in (1, 2, 3, 4):
        best = max(covers[list(units)].any(axis=0).sum() for units in combinations(range(8), n))
        assert (1 - 1 / np.e) * best <= ranking.effects[n - 1] <= best + 1e-9
    assert ranking.effects[0] == covers.sum(axis=1).max()


def test_units_that_act_only_together_are_completed_once_one_of_them_is_taken() -> None:
    def pairs_of_units(units: NDArray[np.bool_]) -> float:
        # 1 and 4 do much together and next to nothing alone; 0 does a little by itself.
        return float(10.0 * (units[1] & units[4]) + units[0] + 0.1 * units[1])

    ranking = rank_greedily(5, 3, Measured(pairs_of_units))
    best = max(
        (pairs_of_units(np.isin(np.arange(5), units)), units) for units in combinations(range(5), 2)
    )
    assert best == (10.1, (1, 4))
    assert ranking.order.tolist() == [0, 1, 4]
    assert ranking.effects == pytest.approx([1.0, 1.1, 11.1])


def test_first_sets_grow_by_one_unit_each() -> None:
    sets = first_sets(np.array([2, 0]), 4)
    assert sets.tolist() == [[False, False, True, False], [True, False, True, False]]
    several = first_sets(np.array([[2, 0], [3, 1]]), 4)
    assert several.shape == (2, 2, 4)
    assert np.array_equal(several[0], sets)


def test_random_orders_are_permutations_of_a_seed() -> None:
    orders = random_orders(6, 6, 50, seed=3)
    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(6), (50, 1)))
    assert np.array_equal(orders[:20, :2], random_orders(6, 2, 20, seed=3))
    assert not np.array_equal(orders, random_orders(6, 6, 50, seed=4))
    assert orders[0].tolist() == random_orders(6, 6, 1, seed=3)[0].tolist()


def test_random_orders_begin_with_every_unit_equally_often() -> None:
    counts = np.bincount(random_orders(5, 1, 2000, seed=0)[:, 0], minlength=5)
    assert np.abs(counts - 400).max() < 4 * np.sqrt(400 * 0.8)


@pytest.mark.parametrize("most", [0, 6])
def test_more_units_than_there_are_or_none_are_refused(most: int) -> None:
    with pytest.raises(InvalidInputError, match=f"most = {most} is not allowed; it is 1 to 5"):
        rank_greedily(5, most, Measured(np.sum))
    with pytest.raises(InvalidInputError, match=f"most = {most}"):
        random_orders(5, most, 1, seed=0)


def test_effects_that_are_no_numbers_or_of_other_sets_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="NaN or infinite"):
        rank_greedily(2, 1, lambda sets: np.full((len(sets), 3), np.nan))
    with pytest.raises(InvalidInputError, match=r"shape \(1, 3\); 2 sets need"):
        rank_greedily(2, 1, lambda sets: np.ones((1, 3)))
    with pytest.raises(InvalidInputError, match="repeats = 0"):
        random_orders(3, 1, 0, seed=0)
