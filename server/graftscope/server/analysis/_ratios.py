"""Ratios of means over independent pairs, with standard errors.

Axes: B pairs. This module must not know what is divided.
"""

import numpy as np
import numpy.typing as npt


def ratio_of_sums(
    parts: npt.NDArray[np.float64], totals: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Divides sums over pairs, so that pairs with a small total count little.

    The standard error is the delta method's:
    sqrt(B / (B - 1) · Σ (part - ratio · total)²) / Σ total.

    Args:
        parts: Shape (..., B).
        totals: Shape (..., B), none negative.

    Returns:
        The ratio and its standard error, each (...). Both are NaN where all totals are 0; the error
        is for a single pair too.
    """
    count = parts.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = parts.sum(axis=-1) / totals.sum(axis=-1)
        squares = ((parts - ratio[..., np.newaxis] * totals) ** 2).sum(axis=-1)
        stderr = np.sqrt(squares * count / np.float64(count - 1)) / totals.sum(axis=-1)
    return ratio, np.where(np.isfinite(stderr), stderr, np.nan)
