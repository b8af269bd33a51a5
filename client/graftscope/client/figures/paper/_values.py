"""Types that several of the paper's figures take. It must not know how anything is drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Estimate:
    """Numbers, each with its error.

    Args:
        value: Of any shape; NaN where there is none, and nothing is drawn.
        error: Of the same shape: half the length of the error bar; NaN draws no bar.
    """

    value: Floats
    error: Floats


def over_repeats(values: Floats) -> Estimate:
    """Mean and standard deviation over the last axis, without what is NaN.

    Args:
        values: (..., R); a run that did not settle is NaN.

    Returns:
        (...) the mean, NaN where every repeat is, and the deviation (of a sample: R - 1), NaN
        where fewer than two are left.
    """
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    mean = _divided(np.where(known, values, 0.0).sum(axis=-1), count)
    squares = np.where(known, values - mean[..., np.newaxis], 0.0) ** 2
    return Estimate(mean, np.sqrt(_divided(squares.sum(axis=-1), count - 1)))


def _divided(total: Floats, count: Integers) -> NDArray[np.float64]:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
