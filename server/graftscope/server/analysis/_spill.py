"""Spill: the share of what a module changes that falls outside of its own template.

Axes: K modules, B pairs, H, W pixels of the image, h, w pixels of a template. This module must not
know how hybrids are made.
"""

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, finite_array, require_between


def template_regions(templates: npt.ArrayLike, percentile: float) -> npt.NDArray[np.bool_]:
    """Cuts each template at its own percentile, as maps are before they are grouped (section 3.3).

    Inside are the pixels above it, without smoothing. Where there are none, because the highest
    value fills more of the picture than the percentile leaves, inside are the pixels of that value.

    Args:
        templates: Shape (K, h, w), finite.
        percentile: Between 0 and 100, both excluded; interpolated linearly. With 75 at most a
            quarter of the picture is inside (unless the highest value fills more), so a module that
            changes more of it spills whatever it does.

    Returns:
        Shape (K, h, w); nothing is inside of a template that is the same everywhere.

    Raises:
        InvalidInputError: An argument is out of range.
    """
    values = finite_array("templates", templates, "KHW")
    if not 0 < percentile < 100:
        raise InvalidInputError(
            f"percentile = {percentile} is not allowed; it is between 0 and 100, both excluded",
            "percentile",
        )
    flat = values.reshape(len(values), -1)
    thresholds = np.percentile(flat, percentile, axis=1, keepdims=True, method="linear")
    highest, lowest = flat.max(axis=1, keepdims=True), flat.min(axis=1, keepdims=True)
    inside = (flat > thresholds) | ((flat == highest) & (lowest < highest))
    return np.asarray(inside.reshape(values.shape))


def image_regions(
    regions: npt.NDArray[np.bool_], height: int, width: int
) -> npt.NDArray[np.float64]:
    """Lays regions of templates over the image: (K, h, w) to (K, H, W), 0 to 1.

    A template averages areas of ceil(H / h) by ceil(W / w) pixels, those at the lower and right
    border maybe smaller; every pixel is as its area.

    Raises:
        InvalidInputError: The template has no such areas of the image.
    """
    rows, columns = (
        _area_of(size, coarse)
        for size, coarse in zip((height, width), regions.shape[1:], strict=True)
    )
    return regions[:, rows[:, np.newaxis], columns].astype(np.float64)


def _area_of(size: int, coarse: int) -> npt.NDArray[np.int64]:
    """The area that each pixel of a side is in, shape (size,)."""
    require_between("templates", coarse, 1, size)
    side = -(-size // coarse)
    if -(-size // side) != coarse:
        raise InvalidInputError(
            f"templates of {coarse} pixels do not belong to an image of {size}; areas of {side}"
            f" pixels give {-(-size // side)}",
            "templates",
        )
    return np.arange(size) // side


def outside_sums(
    change: npt.NDArray[np.float64], inside: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """How much each pair changes outside of a region, and everywhere.

    Args:
        change: Shape (B, H, W): |hybrid - original 1|, over colours.
        inside: Shape (H, W), 0 to 1.

    Returns:
        Shape (2, B): what `ratio_of_sums` divides.
    """
    outside = np.einsum("bhw,hw->b", change, 1.0 - inside)
    return np.stack([outside, change.sum(axis=(1, 2))])
