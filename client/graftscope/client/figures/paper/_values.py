"""Types that several of the paper's figures take. It must not know how anything is drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import deviation_of_known, mean_of_known

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
    return Estimate(mean_of_known(values), deviation_of_known(values))
