"""How much more influence maps show inside a region of the image than outside of it.

Arrays in, arrays out: it must not know files, pictures, servers or models.

Axis letters: C channels, K modules, H, W pixels of the image, h, w pixels of its maps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    finite,
    whole_number,
)
from graftscope.client.errors import InputError

CERTAIN_ERRORS = 2.0
"""Inside has to exceed outside by so many standard errors."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Contrast:
    """Influence inside a region and outside of it, of C maps.

    Args:
        inside: (C,) mean of each map over the region, in the image's own units.
        outside: (C,) mean over the rest of the image.
        score: (C,) inside / outside: 1 where the region is like the rest, infinite where there is
            nothing outside, NaN where there is nothing at all.
        certain: (C,) whether inside exceeds outside by more than two standard errors; where
            those are not known, whether it exceeds it.
        inside_stderr: (C,) standard error of `inside`, at most: how pixels move together is not
            known, so the worst case is assumed. NaN where the maps have none.
        outside_stderr: (C,) that of `outside`, likewise.
        area: The share of the image that is inside, above 0 and below 1.
    """

    inside: FloatArray
    outside: FloatArray
    score: FloatArray
    certain: NDArray[np.bool_]
    inside_stderr: FloatArray
    outside_stderr: FloatArray
    area: float

    @property
    def spill(self) -> FloatArray:
        """(C,) share of each map that is outside: of the change, where a map is of one swap.

        It is what `spill` measures of hybrids with that channel alone. NaN where there is nothing.
        """
        within, beyond = self.area * self.inside, (1.0 - self.area) * self.outside
        with np.errstate(invalid="ignore"):
            return beyond / (within + beyond)

    @property
    def spill_stderr(self) -> FloatArray:
        """(C,) standard error of `spill`, at most: as if inside rose where outside fell."""
        within, beyond = self.area * self.inside, (1.0 - self.area) * self.outside
        within_stderr = self.area * self.inside_stderr
        beyond_stderr = (1.0 - self.area) * self.outside_stderr
        with np.errstate(invalid="ignore"):
            return (within * beyond_stderr + beyond * within_stderr) / (within + beyond) ** 2

    def ranked(self) -> NDArray[np.int64]:
        """(C,) indices, the highest score first, equal ones by inside; those of nothing last."""
        score = np.where(np.isnan(self.score), -1.0, self.score)
        return np.lexsort((-self.inside, -score)).astype(np.int64)


def rectangle_region(
    top: int, left: int, height: int, width: int, *, image_height: int, image_width: int
) -> FloatArray:
    """Make the region that is a rectangle of the image.

    Args:
        top: Rows above it, in pixels of the image.
        left: Columns left of it.
        height: Its rows, at least 1.
        width: Its columns, at least 1.
        image_height: H.
        image_width: W.

    Returns:
        (H, W): 1 inside, 0 outside.

    Raises:
        InputError: If it is not within the image.
    """
    for name, value, low in (
        ("image_height", image_height, 1),
        ("image_width", image_width, 1),
        ("top", top, 0),
        ("left", left, 0),
        ("height", height, 1),
        ("width", width, 1),
    ):
        whole_number(name, value, low=low)
    if top + height > image_height or left + width > image_width:
        raise InputError(
            f"the rectangle {top},{left},{height},{width} reaches beyond the image of"
            f" {image_height} x {image_width} pixels",
            field="region",
        )
    region = np.zeros((image_height, image_width))
    region[top : top + height, left : left + width] = 1.0
    return region


def region_at(region: NDArray[np.generic], height: int, width: int) -> FloatArray:
    """Average a region over the areas of a map's pixels.

    Args:
        region: (H, W) booleans, or how far each pixel of the image is inside, 0 to 1.
        height: h.
        width: w.

    Returns:
        (h, w): how much of each pixel of the map is inside, 0 to 1.

    Raises:
        InputError: If it is not (H, W) of 0 to 1, or has no inside or no outside.
    """
    given = np.asarray(region)
    if given.ndim != 2 or given.size == 0 or given.dtype.kind not in "biuf":
        raise InputError(
            f"a region of shape {given.shape} and type {given.dtype}: it must be (H, W) numbers"
            " from 0 to 1",
            field="region",
        )
    values = finite("region", given).astype(np.float64)
    if values.min() < 0.0 or values.max() > 1.0:
        raise InputError(
            f"a region of values from {values.min():g} to {values.max():g}: they must be from 0"
            " (outside) to 1 (inside)",
            field="region",
        )
    weights = areas(height, values.shape[0]) @ values @ areas(width, values.shape[1]).T
    if not 0.0 < weights.sum() < weights.size:
        lacks = "has no inside" if weights.sum() == 0.0 else "is the whole image"
        raise InputError(f"the region {lacks}: there is nothing to compare", field="region")
    return np.clip(weights, 0.0, 1.0)


def check_size(region: NDArray[np.generic], height: int, width: int) -> None:
    """Refuse a region that is of another image than maps of (h, w) pixels.

    A map averages areas of whole pixels, so many a side that none of its own is longer than what
    was asked for: of which images it can be, its size tells.

    Raises:
        InputError: If it is.
    """
    given = np.shape(region)
    if len(given) != 2:
        return  # `region_at` says what a region is.
    limits = np.arange(1, max(*given, 1) + 1)
    rows, columns = (-(-size // -(-size // limits)) for size in given)
    if not ((rows == height) & (columns == width)).any():
        raise InputError(
            f"a region of {given[0]} x {given[1]} pixels is not of the image, whose maps are"
            f" {height} x {width}: make it as large as the image",
            field="region",
        )


def areas(count: int, size: int) -> FloatArray:
    """(count, size): the share of each of `size` pixels in each of `count` equal stretches."""
    edges = np.linspace(0.0, size, count + 1)
    pixels = np.arange(size)
    upper = np.minimum(edges[1:, None], pixels + 1.0)
    lower = np.maximum(edges[:-1, None], pixels)
    shares: FloatArray = np.maximum(upper - lower, 0.0) * (count / size)
    return shares


def contrast(maps: FloatArray, stderr: FloatArray | None, weights: FloatArray) -> Contrast:
    """Compare maps inside a region and outside of it.

    How pixels move together is not known, so the worst case is assumed: the standard error of a
    mean over pixels is the mean of theirs, and that of a difference is the sum of both. A channel
    that is certain by this rule would be so by any other.

    Args:
        maps: (C, h, w).
        stderr: (C, h, w) their standard errors; None where they are not known.
        weights: (h, w) how much of each pixel is inside.

    Returns:
        Inside, outside, score, certainty and errors of every map.
    """
    inside, outside, area = _means(maps, weights), _means(maps, 1.0 - weights), weights.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        score = inside / outside  # 0 / 0 is NaN, which is what there is to say
    if stderr is None:
        unknown = np.full(len(maps), np.nan)
        return Contrast(inside, outside, score, inside > outside, unknown, unknown, float(area))
    errors = _means(stderr, weights), _means(stderr, 1.0 - weights)
    certain = inside - outside > CERTAIN_ERRORS * (errors[0] + errors[1])
    return Contrast(inside, outside, score, certain, *errors, float(area))


def _means(maps: FloatArray, weights: FloatArray) -> FloatArray:
    """(C,) means over pixels, weighted."""
    means: FloatArray = np.einsum("chw,hw->c", maps, weights) / weights.sum()
    return means


def sums_by_module(values: FloatArray, labels: NDArray[np.int64]) -> FloatArray:
    """Add up the maps of each module's channels.

    Args:
        values: (C, h, w).
        labels: (C,) module of each channel, -1 for none.

    Returns:
        (K, h, w); zero for a module without channels.
    """
    members = labels == np.arange(labels.max() + 1)[:, None]  # (K, C)
    sums: FloatArray = np.einsum("kc,chw->khw", members.astype(np.float64), values)
    return sums
