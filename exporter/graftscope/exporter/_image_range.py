"""Between which values an image's pixels lie: told by the graph, by the user, or by samples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter._interval import interval_of
from graftscope.exporter.errors import SourceError

_COMMON_RANGES: Final = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))
_NOT_UNIT: Final = 16.0
"""Where most pixels reach further, they are not meant for a range of width 1 or 2."""
_TOLERANCE: Final = 1e-5
"""As a share of the range's width: rounding is no leaving of the range."""


@dataclass(frozen=True)
class ImageRange:
    """Between which values pixels lie.

    Attributes:
        low: The least value.
        high: The largest.
        bounded: Whether no pixel may leave the range; else it is where most lie.
        notes: What was guessed, or how far samples leave the range; one line each.
    """

    low: float
    high: float
    bounded: bool
    notes: tuple[str, ...] = ()


def find_range(
    image: ir.Value,
    wanted: tuple[float, float] | None,
    sample: Callable[[], NDArray[np.float32]],
) -> ImageRange:
    """Tell between which values an image's pixels lie.

    Args:
        image: A graph's output.
        wanted: What the user says; None takes what the graph tells, or guesses.
        sample: Draws images (B, C, H, W); called where the graph does not tell.

    Raises:
        SourceError: If the wanted range is empty, or none of the common ranges fits the samples.
    """
    if wanted is not None and not wanted[0] < wanted[1]:
        raise SourceError(f"--range {wanted[0]:g},{wanted[1]:g} is empty: LOW must be below HIGH")
    told = interval_of(image)
    if told is not None and wanted in (None, told):
        return ImageRange(*told, bounded=True)
    if told is not None and wanted is not None and wanted[0] <= told[0] and told[1] <= wanted[1]:
        return ImageRange(*wanted, bounded=True)
    images = sample()
    if not np.isfinite(images).all():
        raise SourceError("the generator's images hold numbers that are not finite")
    if wanted is not None:
        return ImageRange(*wanted, bounded=False, notes=_left(wanted, images))
    low, high = _guess(images)
    guessed = (
        f"image range [{low:g}, {high:g}]: guessed from {len(images)} samples, which reach from "
        f"{images.min():.4g} to {images.max():.4g}; change it with --range LOW,HIGH"
    )
    return ImageRange(low, high, bounded=False, notes=(guessed, *_left((low, high), images)))


def _left(stated: tuple[float, float], images: NDArray[np.float32]) -> tuple[str, ...]:
    """Note by how much samples leave a range."""
    low, high = stated
    below, above = max(low - float(images.min()), 0.0), max(float(images.max()) - high, 0.0)
    if max(below, above) <= _TOLERANCE * (high - low):
        return ()
    return (
        f"images leave their range [{low:g}, {high:g}] by up to {max(below, above):.3g} "
        f"in {len(images)} samples",
    )


def _guess(images: NDArray[np.float32]) -> tuple[float, float]:
    """Take the common range that most pixels lie in, and that they fill."""
    low, high = (float(each) for each in np.percentile(images, (1, 99)))
    if high > _NOT_UNIT and low > -0.25 * high:
        chosen = _COMMON_RANGES[2]
    else:
        chosen = _COMMON_RANGES[0] if low < -0.05 else _COMMON_RANGES[1]
    width = chosen[1] - chosen[0]
    if max(chosen[0] - low, high - chosen[1]) > width:
        raise SourceError(
            f"the image's range cannot be guessed: most pixels of {len(images)} samples lie "
            f"between {low:.4g} and {high:.4g}; give it with --range LOW,HIGH"
        )
    return chosen
