"""Matching: groupings that differ in their modules' numbers alone agree entirely."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftscope.server.analysis import (
    InvalidInputError,
    agreement,
    match_labels,
)
from graftscope.server.analysis._matching import template_cosines

LABELS = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=30)


@given(st.permutations(range(4)), st.lists(st.integers(-1, 3), min_size=1, max_size=30))
def test_permuted_labels_are_matched_back(permutation: list[int], labels: list[int]) -> None:
    a = np.array([*labels, 0, 1, 2, 3])
    b = np.where(a == -1, -1, np.array(permutation)[a])
    match = match_labels(a, b, 4)
    assert np.array_equal(match[permutation], np.arange(4))
    assert agreement(a, b) == 1.0


@given(LABELS)
def test_matching_reaches_the_best_agreement_of_all_permutations(
    pairs: list[tuple[int, int]],
) -> None:
    a, b = np.array(pairs).T
    counted = (a != -1) | (b != -1)
    if not counted.any():
        assert np.isnan(agreement(a, b))
        return
    best = max(
        np.mean((a == np.where(b == -1, -1, np.array(p)[b]))[counted])
        for p in itertools.permutations(range(4))
    )
    assert agreement(a, b) == pytest.approx(best)


@given(LABELS)
def test_agreement_does_not_depend_on_which_grouping_comes_first(
    pairs: list[tuple[int, int]],
) -> None:
    a, b = np.array(pairs).T
    assert agreement(a, b) == pytest.approx(agreement(b, a), nan_ok=True)


def test_channels_in_no_module_in_both_are_left_out_and_in_one_disagree() -> None:
    assert agreement([0, 1, -1, -1], [1, 0, -1, -1]) == 1.0
    assert agreement([0, 1, -1, 1], [1, 0, 1, 0]) == 0.75


def test_a_match_is_a_permutation_even_where_modules_are_empty() -> None:
    assert sorted(match_labels([0, 0, 2], [1, 1, 1], 4).tolist()) == [0, 1, 2, 3]


def test_labels_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="labels_b has 2 channels; labels_a has 3"):
        match_labels([0, 1, 0], [0, 1], 2)


@pytest.mark.parametrize("label", [-2, 2])
def test_a_label_out_of_range_is_refused(label: int) -> None:
    with pytest.raises(
        InvalidInputError, match=f"labels_a has the label {label}; allowed: -1 to 1"
    ):
        match_labels([0, label], [0, 1], 2)


def test_labels_that_are_not_integers_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"labels_a .* it needs \(C,\) integers"):
        agreement([0.5, 1.0], [0, 1])


def test_cosines_are_one_for_scaled_templates_and_zero_for_disjoint_or_vanished_ones() -> None:
    a = np.zeros((3, 2, 2))
    a[0, 0, 0] = a[1, 0, 1] = a[2, 1, 1] = 2.0
    b = np.zeros((3, 2, 2))
    b[0, 0, 0] = 5.0
    b[1, 1, 0] = 1.0
    assert template_cosines(a, b).tolist() == [1.0, 0.0, 0.0]


def test_templates_of_other_shapes_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"templates_b has shape \(2, 3, 3\)"):
        template_cosines(np.ones((3, 3, 3)), np.ones((2, 3, 3)))
