"""Facts about verdicts of classifiers on hybrids: intervals, shares, attributes, entropy."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import binom

from graftscope.server.analysis import (
    InvalidInputError,
    are_probabilities,
    by_attribute,
    by_class_pair,
    class_verdicts,
    entropies,
    has_attributes,
    sign_verdicts,
    wilson_interval,
)

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("count", "trials", "low", "high"),
    [
        # Table I, method 3, of Newcombe, Statistics in Medicine 17, 1998.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_those_of_the_textbooks(
    count: int, trials: int, low: float, high: float
) -> None:
    np.testing.assert_allclose(wilson_interval(count / trials, trials), (low, high), atol=5e-5)


def test_the_share_is_at_z_standard_errors_of_each_end() -> None:
    shares, trials = np.array([0.0, 0.1, 0.5, 1.0]), np.array([5, 10, 400, 7])
    for end in wilson_interval(shares, trials, z=1.5):
        expected = (1.5**2) * end * (1 - end) / trials
        np.testing.assert_allclose((shares - end) ** 2, expected, atol=1e-12)


def test_a_probability_is_in_its_interval_in_about_95_of_100_experiments() -> None:
    trials, counts = 200, np.arange(201)
    low, high = wilson_interval(counts / trials, trials)
    for chance in (0.02, 0.3, 0.5, 0.9):
        inside = (low <= chance) & (chance <= high)
        covered = binom.pmf(counts[inside], trials, chance).sum()
        assert 0.92 < covered < 0.99


def test_of_no_trials_nothing_is_known() -> None:
    low, high = wilson_interval([np.nan, 0.5], [0, 0])
    assert (low.tolist(), high.tolist()) == ([0.0, 0.0], [1.0, 1.0])
    with pytest.raises(InvalidInputError, match="from 0 to 1"):
        wilson_interval(1.5, 10)
    with pytest.raises(InvalidInputError, match="at least 0"):
        wilson_interval(0.5, -1)


def test_verdicts_of_classes_are_those_of_a_slow_count() -> None:
    first, second, hybrids = (RANDOM.integers(0, 4, size) for size in (90, 90, (3, 90)))
    found, rows = class_verdicts(first, second, hybrids), by_class_pair(first, second, hybrids)
    differ = [n for n in range(90) if first[n] != second[n]]
    assert (found.differ, found.same) == (len(differ), 90 - len(differ))
    assert (found.differ_pairs, found.same_pairs) == (found.differ, found.same)
    told: Counter[tuple[int, ...]] = Counter()
    for which, made in enumerate(hybrids):
        stays = sum(made[n] == first[n] for n in differ)
        becomes = sum(made[n] == second[n] for n in differ)
        kept = sum(made[n] == first[n] for n in range(90) if n not in differ)
        assert found.stays[which] == stays / found.differ
        assert found.becomes[which] == becomes / found.differ
        assert found.neither[which] == pytest.approx(1 - (stays + becomes) / found.differ)
        assert found.same_stays[which] == kept / found.same
        for n in range(90):
            place = (which, int(first[n]), int(second[n]))
            told[(*place, 0)] += 1
            if made[n] == first[n]:
                told[(*place, 1)] += 1
            elif made[n] == second[n]:
                told[(*place, 2)] += 1
            else:
                told[(*place, 3)] += 1
    assert len(rows.set) == 3 * len({(a, b) for a, b in zip(first, second, strict=True)})
    for row in range(len(rows.set)):
        place = (int(rows.set[row]), int(rows.class1[row]), int(rows.class2[row]))
        columns = (rows.count, rows.stays, rows.becomes, rows.neither)
        assert [int(x[row]) for x in columns] == [told[(*place, at)] for at in range(4)]


def test_verdicts_of_attributes_are_those_of_a_slow_count() -> None:
    first, second, hybrids = (RANDOM.random(size) < 0.4 for size in ((50, 3), (50, 3), (2, 50, 3)))
    found, each = sign_verdicts(first, second, hybrids), by_attribute(first, second, hybrids)
    trials = [(n, a) for n in range(50) for a in range(3)]
    differ = [at for at in trials if first[at] != second[at]]
    assert (found.differ, found.same) == (len(differ), 150 - len(differ))
    assert found.differ_pairs == len({n for n, _ in differ})
    for which, made in enumerate(hybrids):
        stays = sum(made[at] == first[at] for at in differ)
        assert found.stays[which] == stays / len(differ)
        assert found.becomes[which] == pytest.approx(1 - stays / len(differ))
        assert found.neither[which] == 0
        for attribute in range(3):
            own = [(n, a) for n, a in differ if a == attribute]
            assert each.differ[attribute] == len(own)
            assert each.stays[which, attribute] == sum(made[at] == first[at] for at in own)
            same = [(n, attribute) for n in range(50) if (n, attribute) not in own]
            assert each.same[attribute] == len(same)
            assert each.same_stays[which, attribute] == sum(made[at] == first[at] for at in same)


def test_where_all_originals_are_of_one_class_only_staying_is_told() -> None:
    found = class_verdicts([1, 1], [1, 1], [[1, 1], [1, 0]])
    assert (found.differ, found.same) == (0, 2)
    assert np.isnan(found.stays).all()
    assert found.same_stays.tolist() == [1.0, 0.5]
    rows = by_class_pair([1, 1], [1, 1], [[1, 1], [1, 0]])
    assert rows.becomes.tolist() == [0, 0]
    assert rows.neither.tolist() == [0, 1]


def test_entropies_are_0_where_sure_and_the_logarithm_where_nothing_is_known() -> None:
    logits = np.array([[0.0, 0.0, 0.0, 0.0], [800.0, 0.0, 0.0, 0.0], [1.0, 2.0, 0.5, 0.0]])
    found = entropies(logits, exclusive=True, probabilities=False)
    weights = np.exp(logits[2]) / np.exp(logits[2]).sum()
    np.testing.assert_allclose(found, [np.log(4), 0.0, -(weights * np.log(weights)).sum()])
    shares = np.array([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], weights])
    np.testing.assert_allclose(entropies(shares, exclusive=True, probabilities=True), found)
    attributes = np.array([[0.0, 800.0], [-800.0, 800.0]])
    np.testing.assert_allclose(
        entropies(attributes, exclusive=False, probabilities=False), [np.log(2) / 2, 0.0]
    )
    np.testing.assert_allclose(
        entropies([[0.5, 1.0]], exclusive=False, probabilities=True), [np.log(2) / 2]
    )


def test_scores_are_probabilities_where_they_sum_to_1() -> None:
    shares = np.array([[0.2, 0.8], [1.0, 0.0]], np.float32)
    assert are_probabilities(shares, exclusive=True)
    assert not are_probabilities(shares * 0.9, exclusive=True)
    assert are_probabilities(shares * 0.9, exclusive=False)
    assert not are_probabilities([[-1.0, 2.0]], exclusive=False)
    assert has_attributes([[0.6, 0.4]], probabilities=True).tolist() == [[True, False]]
    assert has_attributes([[0.6, -0.4]], probabilities=False).tolist() == [[True, False]]


def test_shapes_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="do not go together"):
        class_verdicts([0, 1], [0], [[0, 1]])
    with pytest.raises(InvalidInputError, match="do not go together"):
        sign_verdicts([[True]], [[True]], [[True]])
