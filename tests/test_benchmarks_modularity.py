"""What is measured of trainings that ask for modules: the pure pieces."""

import numpy as np
import pytest

from benchmarks.modular_faithful import Estimate, Faithful
from benchmarks.modular_runs import (
    Found,
    Run,
    group_labels,
    jackknife_error,
    mean,
    mean_cosine,
)
from benchmarks.modularity import of_modules, of_trainings


def test_maps_apart_have_no_cosine_and_equal_ones_have_one() -> None:
    apart = np.kron(np.eye(4).reshape(4, 2, 2), np.ones((8, 8))).astype(np.float64)

    assert mean_cosine(apart) == 0
    assert mean_cosine(np.stack([apart[0], 3 * apart[0]])) == pytest.approx(1)
    # Of the three pairs of the first two and both together, two have a cosine of √½.
    three = np.stack([apart[0], apart[1], apart[0] + apart[1]])
    assert mean_cosine(three) == pytest.approx(2 * np.sqrt(0.5) / 3)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=16)
    without = (values.sum() - values) / 15

    assert jackknife_error(without) == pytest.approx(values.std(ddof=1) / 4)


def test_labels_of_groups_are_those_of_the_training() -> None:
    assert group_labels(8, 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_mean_of_independent_estimates_has_a_smaller_error() -> None:
    assert mean([Estimate(1.0, 0.3), Estimate(3.0, 0.4)]) == Estimate(2.0, 0.25)


def test_tables_have_a_row_a_training_and_a_row_a_number_of_modules() -> None:
    one = Estimate(0.25, 0.01)
    runs = [
        Run(strength, 10, 0, "deconv1", one, [one] * 4, one, 42.0, one, [found(3), found(4)])
        for strength in (0.0, 0.1)
    ]

    trainings, modules = (told(runs).splitlines()[2:] for told in (of_trainings, of_modules))

    assert [row.split("|")[1].strip() for row in trainings] == ["0", "0.1"]
    cells = [[cell.strip() for cell in row.split("|")[1:3]] for row in modules]
    assert cells == [["0", "3"], ["0.1", "3"], ["0", "4"], ["0.1", "4"]]


def found(k: int) -> Found:
    one = Estimate(0.5, 0.02)
    each = [one] * k
    faithful = Faithful(each, each, each)
    return Found(k, one, 0.4, 0.1, [2] * k, each, one, each, [0.8] * k, one, faithful)
