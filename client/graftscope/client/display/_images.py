"""The images of a result as pixels, and the range that was taken for them.

Axis letters: N images, c colours, H, W pixels.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client.values import HybridFiles, HybridResult, SampleFiles, Samples, Strip

_EIGHT_BITS = (0.0, 255.0)


@dataclass(frozen=True, eq=False)
class Pictured:
    """Images in rows of one length, and how they are to be shown.

    Args:
        rows: Each (N, c, H, W), by its name: what stands below one another is of one pair.
        image_range: (low, high) of their values.
        note: What is to be said of the range; empty where the result says it.
    """

    rows: dict[str, NDArray[np.floating]]
    image_range: tuple[float, float]
    note: str = ""


def pictured(
    value: Samples | SampleFiles | HybridResult | HybridFiles | Strip, most: int
) -> Pictured:
    """Take the first images of a result, in the order in which one looks at them."""
    match value:
        case Samples():
            return ranged({"sample": value.images[:most]}, value.image_range)
        case SampleFiles():
            return Pictured({"sample": opened(value.images[:most])}, _EIGHT_BITS)
        case HybridResult():
            return ranged(_of_hybrids(value, most), value.image_range)
        case HybridFiles():
            files = (value.original1, value.original2, value.hybrid)
            return Pictured(_named([opened(each[:most]) for each in files]), _EIGHT_BITS)
        case Strip():
            donor = {"original 2": value.original2[:most]} if value.takes_original2 else {}
            strengths = {
                f"strength {strength:g}": images[:most]
                for strength, images in zip(value.strengths, value.images, strict=True)
            }
            return ranged({**strengths, **donor}, value.image_range)


def _of_hybrids(value: HybridResult, most: int) -> dict[str, NDArray[np.floating]]:
    three = (value.original1[:most], value.original2[:most], value.hybrid[:most])
    if value.photograph1 is None or value.edited is None:
        return _named(three)
    photographs = {"photograph": value.photograph1[:most], "edited": value.edited[:most]}
    return {**_named(three), **photographs}


def _named(three: Sequence[NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
    return dict(zip(("original 1", "original 2", "hybrid"), three, strict=True))


def ranged(rows: dict[str, NDArray[np.floating]], image_range: Sequence[float]) -> Pictured:
    """Rows of images; where no range is known, it is their own lowest and highest values."""
    if len(image_range) == 2:
        return Pictured(rows, (image_range[0], image_range[1]))
    low = min(float(np.nanmin(each)) for each in rows.values())
    high = max(float(np.nanmax(each)) for each in rows.values())
    note = (
        f"The result does not say the images' range: black is {low:.3g}, their lowest value, and "
        f"white {high:.3g}, their highest."
    )
    return Pictured(rows, (low, high if high > low else low + 1.0), note)


def opened(files: Sequence[bytes]) -> NDArray[np.floating]:
    """(N, c, H, W) 0 to 255: the pixels of image files."""
    from PIL import Image

    images = []
    for file in files:
        with Image.open(io.BytesIO(file)) as image:
            pixels = np.asarray(image.convert("RGB"), np.float64)
        images.append(np.moveaxis(pixels, -1, 0))
    return np.stack(images)
