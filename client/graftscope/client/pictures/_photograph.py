"""One photograph from the bytes of its file, and what it lost on its way to a generator's size."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftscope.client.errors import InputError
from graftscope.client.models import ImageFormat
from graftscope.client.pictures._formats import opened
from graftscope.client.pictures._reading import UNREADABLE, colour_mode, decoded, reason

MOST_PIXELS = 100_000_000
"""Of a photograph: 300 MB while it is read."""

_TRANSPARENT = 4
"""Colours of a generator that draws transparency."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph of a generator's size.

    Args:
        pixels: (H, W, c) uint8.
        notes: What is not in them that was in the file, each in a sentence.
    """

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...]


def fit_photograph(data: bytes, size: ImageFormat) -> Photograph:
    """Read an image from the bytes of its file, to the pixels that `read_images` gives.

    Args:
        data: Of an image file.
        size: Of the generator's images.

    Returns:
        Its centre, in the generator's size.

    Raises:
        InputError: If it is not a readable image, or has more than `MOST_PIXELS`.
    """
    mode = colour_mode(size)
    try:
        with opened(BytesIO(data)) as image:
            _require_size(image)
            notes = tuple(_notes(image, size))
        return Photograph(decoded(data, size, mode), notes)
    except UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"it is not a readable image: {reason(error)}", field="image") from error


def _require_size(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise InputError(
            f"it has {image.width} x {image.height} pixels; at most {MOST_PIXELS // 1_000_000}"
            " million are read: make it smaller first",
            field="image",
        )


def _notes(image: Image.Image, size: ImageFormat) -> list[str]:
    """What is lost, in the order in which it is."""
    found = []
    if getattr(image, "n_frames", 1) > 1:
        found.append("It is an animation, of which the first picture is taken.")
    if image.has_transparency_data and size.channels < _TRANSPARENT:
        found.append(
            "Its transparency is left out: those parts show the colours that the file keeps there."
        )
    if image.mode == "CMYK":
        found.append("Its colours are meant for print (CMYK), so here they are about right only.")
    if image.mode.startswith("I;16"):
        found.append("Its 16 bits a pixel became 8.")
    if size.channels == 1 and image.mode not in ("1", "L", "LA") and image.mode[:1] != "I":
        found.append("The model draws grey pictures, so its colours became grey.")
    if image.width * size.height != image.height * size.width:
        found.append("It was cut to its middle.")
    return found
