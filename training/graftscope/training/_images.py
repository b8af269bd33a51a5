"""One image from its encoded form to the square of pixels that a network sees.

Worker processes import this module, so it must not import torch.
"""

import io
import warnings
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError


@dataclass(frozen=True)
class UnreadableImage:
    """Stands in the place of an image that could not be read, with the reason."""

    reason: str


EncodedImage: TypeAlias = bytes | NDArray[np.uint8] | UnreadableImage
"""A file's bytes, pixels (H, W, 3), or the reason why there are none."""

Pixels: TypeAlias = NDArray[np.uint8]
"""Pixels (H, W, 3)."""

# 65535 / 255, which takes white to white.
_SIXTEEN_TO_EIGHT = 257


def decode_image(
    encoded: EncodedImage, *, size: int, crop_share: float
) -> Pixels | UnreadableImage:
    """Decode, crop and resize one image.

    A square image is taken whole. From any other a centred square is cut, whose side is
    `crop_share` of its width (or its height, if that is less).

    Args:
        encoded: What a source yields.
        size: Height and width of the result in pixels.
        crop_share: Side of the centred square as a share of the width, in (0, 1].

    Returns:
        Pixels (size, size, 3), or why there are none.
    """
    if isinstance(encoded, UnreadableImage):
        return encoded
    try:
        with warnings.catch_warnings():
            # Pillow only warns of an image large enough to be an attack on the memory.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with _open(encoded) as image:
                return np.asarray(_square(_to_rgb(image), size, crop_share))
    except UnidentifiedImageError:
        return UnreadableImage("not an image of a known format")
    # Pillow's readers raise all of these for damaged files.
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as error:
        return UnreadableImage(str(error) or type(error).__name__)


def _open(encoded: bytes | NDArray[np.uint8]) -> Image.Image:
    if isinstance(encoded, bytes):
        return Image.open(io.BytesIO(encoded))
    return Image.fromarray(np.ascontiguousarray(encoded))


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert to 8-bit RGB; Pillow alone would clip 16-bit greys at 255 instead of scaling."""
    if image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floating-point numbers"
        raise ValueError(f"its pixels are {kind}, whose range is unknown; 8 or 16 bits are allowed")
    if image.mode.startswith("I;16"):
        scaled = np.rint(np.asarray(image, np.float64) / _SIXTEEN_TO_EIGHT)
        image = Image.fromarray(scaled.astype(np.uint8))
    return image.convert("RGB")


def _square(image: Image.Image, size: int, crop_share: float) -> Image.Image:
    if image.width != image.height:
        side = min(max(1, round(image.width * crop_share)), image.height)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BILINEAR)
