"""Photographs as an input's values, for networks that take images.

They are stored as bytes, a quarter of what floats take; the manifest says which numbers they mean.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graftscope.exporter._input_choices import InputChoice
from graftscope.exporter._known_input import KnownInput
from graftscope.exporter.errors import SourceError
from graftscope.training import Photographs, open_photographs

_COLOURS: Final = (1, 3, 4)
_MOST_BYTES: Final = 2**30
"""Of one input's images: 87,000 of 64 x 64 pixels, 1,365 of 512 x 512."""
_BATCH: Final = 256
_SHOWN: Final = 3


@dataclass(frozen=True, eq=False)
class ReadPhotographs:
    """What was read.

    Attributes:
        pixels: (count, ...) uint8, of the input's shape.
        notes: What could not be read; one line, or none.
    """

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...]


def read_photographs(known: KnownInput, choice: InputChoice) -> ReadPhotographs:
    """Read images from a folder or zip, cut and resized to an input's shape.

    Args:
        known: The input: (C, H, W), or (H, W, C) where that alone can be an image.
        choice: Where they lie, and which numbers black and white are.

    Raises:
        SourceError: If the input is no image or cannot hold these numbers, or they are too many.
        TrainingError: If there is nothing to be read.
    """
    axis = _colour_axis(known)
    low, high = choice.numbers
    if known.dtype.kind not in "fu" or (known.dtype.kind == "u" and not 0 <= low < high <= 255):
        raise SourceError(f"{known} cannot hold images from {low:g} to {high:g}")
    extents = list(known.shape)
    channels = extents.pop(axis)
    photographs = open_photographs(
        str(choice.path), channels=channels, height=extents[0], width=extents[1]
    )
    most = _MOST_BYTES // int(np.prod(known.shape))
    if len(photographs) > most:
        raise SourceError(
            f"{known}: {choice.path} holds {len(photographs)} images; at most {most} of this size "
            "are stored in a bundle, so name a folder or zip with fewer"
        )
    pixels = np.concatenate(list(photographs.batches(_BATCH)))
    moved = np.ascontiguousarray(np.moveaxis(pixels, -1, 1 + axis))  # (B, H, W, C) to the input's
    return ReadPhotographs(moved, _left_out(known, photographs))


def _colour_axis(known: KnownInput) -> int:
    """Return which axis behind the batch holds the colours."""
    if len(known.shape) == 3:
        for axis in (0, 2):
            if known.shape[axis] in _COLOURS:
                return axis
    raise SourceError(
        f"{known} cannot be images: those are (B, C, H, W) or (B, H, W, C) with C = 1, 3 or 4"
    )


def _left_out(known: KnownInput, photographs: Photographs) -> tuple[str, ...]:
    skipped = photographs.skipped
    if not skipped:
        return ()
    named = "; ".join(f"{each.name}: {each.reason}" for each in skipped[:_SHOWN])
    more = f"; and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
    return (
        f"input {known.name!r}: skipped {len(skipped)} of {len(photographs)} images: {named}{more}",
    )
