"""Images as files: 8 bits a channel, the generator's own range mapped to 0 to 255.

It must not know messages' arrays or where images come from.
"""

import io
from collections.abc import Callable
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import check_here
from graftscope.server.errors import InvalidInput
from graftscope.server.rpc._versions import said
from graftscope.v1 import bundle_pb2, model_service_pb2

_CHANNELS = (1, 3, 4)
_WEBP_SIDE = 16_383
_AT_ONCE = 16


class Encoding(Enum):
    """A format of files that keeps every pixel."""

    PNG = "png"
    WEBP = "webp"


def parse_encoding(number: int, image: bundle_pb2.Image) -> Encoding | None:
    """The format that is asked for; None for arrays.

    Raises:
        Unsupported: a format of a later version.
        InvalidInput: such images cannot be stored in it.
    """
    word = said(model_service_pb2.ImageEncoding.DESCRIPTOR, number, "", "encoding")
    if not word:
        return None
    encoding = Encoding(word)
    _check_fits(encoding, image)
    return encoding


def encode_images(
    images: NDArray[np.float32], encoding: Encoding, image: bundle_pb2.Image
) -> list[bytes]:
    """A file for every image.

    Args:
        images: (B, c, H, W), in the generator's own range; what lies outside is clipped.
        encoding: the format.
        image: their shape and range.

    Raises:
        InvalidInput: a value is not finite, which no file can show.
        Cancelled: nobody waits for them any more.
    """
    # A few at a time: levels on the way to bytes take several times what the images do.
    parts = (images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE))
    return [_file(pixels, encoding) for part in parts for pixels in to_bytes(part, image)]


def _file(pixels: NDArray[np.uint8], encoding: Encoding) -> bytes:
    check_here()
    return _WRITERS[encoding](pixels)


def to_bytes(images: NDArray[np.float32], image: bundle_pb2.Image) -> NDArray[np.uint8]:
    """(B, c, H, W) in the generator's own range to the nearest of 256 levels, (B, H, W, c)."""
    if not np.isfinite(images).all():
        raise InvalidInput(
            "the images hold values that are not finite, which no file can show; ask for arrays, "
            "with no encoding",
            field="encoding",
        )
    levels = (images - np.float32(image.low)) * np.float32(255 / (image.high - image.low))
    nearest: NDArray[np.uint8] = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    return nearest.transpose(0, 2, 3, 1)


def _check_fits(encoding: Encoding, image: bundle_pb2.Image) -> None:
    if image.channels not in _CHANNELS:
        raise InvalidInput(
            f"images of {image.channels} channels cannot be encoded as {encoding.value}; 1, 3 or 4 "
            "channels can, others come as arrays",
            field="encoding",
        )
    side = max(image.height, image.width)
    if encoding is Encoding.WEBP and side > _WEBP_SIDE:
        raise InvalidInput(
            f"images of {side} pixels a side cannot be encoded as webp, which takes at most "
            f"{_WEBP_SIDE}; png can",
            field="encoding",
        )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    # The lowest level takes half the time of the default for a sixth more bytes.
    return _saved(pixels, "PNG", compress_level=1)


def _webp(pixels: NDArray[np.uint8]) -> bytes:
    # `exact` keeps colours where an image is transparent; lower methods are larger, and faster.
    return _saved(pixels, "WEBP", lossless=True, exact=True, method=0)


def _saved(pixels: NDArray[np.uint8], name: str, **options: object) -> bytes:
    # Only whoever asks for files waits for it.
    from PIL import Image

    picture = np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, name, **options)
    return file.getvalue()


_WRITERS: dict[Encoding, Callable[[NDArray[np.uint8]], bytes]] = {
    Encoding.PNG: _png,
    Encoding.WEBP: _webp,
}
