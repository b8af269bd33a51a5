"""Mean and deviation of what is known: runs that did not settle are NaN and left out.

It must not know what is averaged.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def mean_of_known(values: Floats) -> NDArray[np.float64]:
    """Average over the last axis, (..., R) to (...); NaN where nothing is known."""
    known = np.isfinite(values)
    return _divided(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))


def deviation_of_known(values: Floats) -> NDArray[np.float64]:
    """Standard deviation of a sample over the last axis; NaN where fewer than two are known."""
    known = np.isfinite(values)
    squares = np.where(known, values - mean_of_known(values)[..., np.newaxis], 0.0) ** 2
    return np.sqrt(_divided(squares.sum(axis=-1), known.sum(axis=-1) - 1))


def _divided(total: Floats, count: NDArray[np.integer]) -> NDArray[np.float64]:
    # Nothing to average is NaN, not a division by zero.
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
