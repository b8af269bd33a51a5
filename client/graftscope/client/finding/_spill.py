"""How much of a change falls outside the region that it was meant for.

Arrays in, arrays out: it must not know files, servers or models.

Axis letters: B pairs, c colours, H, W pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import ByValue
from graftscope.client.errors import InputError
from graftscope.client.finding._regions import region_at

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Spill(ByValue):
    """The share of a change that falls outside a region.

    Args:
        share: Σ outside of ``|hybrid - original 1|`` over Σ of the whole picture, over all colours
            and all pairs, 0 to 1; NaN where nothing changed.
        stderr: Its standard error over pairs; NaN where fewer than two are known.
        of_pairs: (B,) the same share of every pair by itself; NaN where a pair did not change.
        area: The share of the picture that is outside: what the spill of a change is that is the
            same everywhere.
    """

    share: float
    stderr: float
    of_pairs: FloatArray
    area: float


def spill(
    original1: NDArray[np.floating], hybrid: NDArray[np.floating], region: NDArray[np.generic]
) -> Spill:
    """Measure how much of the change from original 1 to the hybrid falls outside a region.

    The share of all pairs together is a ratio of sums, not a mean of ratios, so pairs that change
    little count little. Its standard error is the delta method's, with pairs independent.

    Args:
        original1: (B, c, H, W) numbers.
        hybrid: (B, c, H, W), in the same units.
        region: (H, W) booleans, or how far each pixel of the image is inside, 0 to 1: a pixel that
            is inside by a quarter counts as outside by three quarters.

    Returns:
        The share in all and of every pair.

    Raises:
        InputError: If shapes do not fit or values are not finite, or the region has no inside or
            no outside.
    """
    if original1.ndim != 4 or original1.shape != hybrid.shape:
        raise InputError(
            f"original 1 of shape {original1.shape} and hybrids of shape {hybrid.shape}: both must"
            " be (B, c, H, W)"
        )
    size = hybrid.shape[2:]
    if np.shape(region) != size:
        raise InputError(
            f"a region of shape {np.shape(region)} is not of images of {size[0]} x {size[1]}"
            " pixels: make it as large as the image",
            field="region",
        )
    outside = 1.0 - region_at(region, *size)
    change = np.abs(hybrid.astype(np.float64) - original1).sum(axis=1)  # (B, H, W)
    if not np.isfinite(change).all():
        raise InputError("the change from original 1 to the hybrid is NaN or infinite somewhere")
    beyond, total = np.einsum("bhw,hw->b", change, outside), change.sum(axis=(1, 2))
    share, stderr = ratio_of_sums(beyond, total)
    with np.errstate(invalid="ignore"):
        of_pairs = beyond / total  # 0 / 0 is NaN: a pair that did not change
    return Spill(share, stderr, of_pairs, float(outside.mean()))


def ratio_of_sums(parts: FloatArray, totals: FloatArray) -> tuple[float, float]:
    """Estimate the ratio of two means of independent pairs, and its standard error.

    The error is the delta method's: sqrt(B / (B - 1) · Σ (part - ratio · total)²) / Σ total.

    Args:
        parts: (B,).
        totals: (B,), none negative.

    Returns:
        The ratio, NaN where all totals are 0, and its standard error, NaN also for a single pair.
    """
    count, whole = len(totals), float(totals.sum())
    if whole == 0.0:
        return np.nan, np.nan
    ratio = float(parts.sum()) / whole
    if count < 2:
        return ratio, np.nan
    squares = float(((parts - ratio * totals) ** 2).sum())
    return ratio, float(np.sqrt(squares * count / (count - 1))) / whole
