"""Lines through modules of known influence have the known slopes."""

import math

import numpy as np
import pytest

from graftscope.server.analysis import (
    InvalidInputError,
    magnitude_lines,
)
from graftscope.server.analysis._magnitude import POOLED

LAYERS = ("coarse", "fine")
LAYER = np.array([0, 0, 0, 1, 1, 1, 1])
CHANNELS = np.array([10, 20, 30, 4, 8, 12, 16])
SHARE = CHANNELS / np.array([60, 60, 60, 40, 40, 40, 40])


def test_influence_that_is_proportional_to_the_share_lies_on_one_line() -> None:
    lines = magnitude_lines(LAYERS, LAYER, CHANNELS, SHARE, 0.5 * SHARE)
    assert [line.layer for line in lines.by_share] == ["coarse", "fine", POOLED]
    assert [line.rows for line in lines.by_share] == [3, 4, 7]
    for line in lines.by_share:
        assert line.slope == pytest.approx(0.5)
        assert line.intercept == pytest.approx(0.0, abs=1e-12)
        assert line.r2 == pytest.approx(1.0)
        assert line.residual == pytest.approx(0.0, abs=1e-12)


def test_the_number_of_channels_explains_each_layer_and_not_both_together() -> None:
    lines = magnitude_lines(LAYERS, LAYER, CHANNELS, SHARE, 0.5 * SHARE)
    coarse, fine, pooled = lines.by_channels
    assert coarse.slope == pytest.approx(0.5 / 60)
    assert fine.slope == pytest.approx(0.5 / 40)
    assert coarse.r2 == pytest.approx(1.0)
    assert fine.r2 == pytest.approx(1.0)
    assert pooled.r2 < 0.99


def test_errors_are_those_of_least_squares() -> None:
    influence = 0.5 * SHARE + np.array([0.1, -0.1, 0.0, 0.05, 0.0, -0.05, 0.1])
    pooled = magnitude_lines(LAYERS, LAYER, CHANNELS, SHARE, influence).by_share[-1]
    design = np.stack([SHARE, np.ones(7)], axis=1)
    solution, squares, *_ = np.linalg.lstsq(design, influence, rcond=None)
    variance = squares[0] / (7 - 2)
    covariance = variance * np.linalg.inv(design.T @ design)
    assert [pooled.slope, pooled.intercept] == pytest.approx(solution.tolist())
    assert pooled.residual == pytest.approx(math.sqrt(variance))
    assert pooled.slope_stderr == pytest.approx(math.sqrt(covariance[0, 0]))
    assert pooled.r2 == pytest.approx(np.corrcoef(SHARE, influence)[0, 1] ** 2)


@pytest.mark.parametrize("channels", [[5], [5, 6], [5, 5, 5]])
def test_too_few_or_equal_modules_have_no_line(channels: list[int]) -> None:
    share = np.array(channels) / 10
    lines = magnitude_lines(["a"], [0] * len(share), channels, share, share)
    for line in (*lines.by_share, *lines.by_channels):
        numbers = (line.slope, line.intercept, line.r2, line.slope_stderr, line.residual)
        assert all(math.isnan(number) for number in numbers)
        assert line.rows == len(channels)


def test_influence_that_does_not_vary_has_a_flat_line_that_explains_nothing() -> None:
    line = magnitude_lines(["a"], [0, 0, 0], [1, 2, 3], [0.1, 0.2, 0.3], [2.0, 2.0, 2.0]).by_share[
        0
    ]
    assert (line.slope, line.intercept, line.residual) == (0.0, 2.0, 0.0)
    assert math.isnan(line.r2)


def test_columns_of_different_length_or_without_a_number_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"different lengths: \[6, 7\]"):
        magnitude_lines(LAYERS, LAYER, CHANNELS, SHARE, SHARE[:6])
    with pytest.raises(InvalidInputError, match="individual: 7 of"):
        magnitude_lines(LAYERS, LAYER, CHANNELS, SHARE, SHARE * np.nan)
