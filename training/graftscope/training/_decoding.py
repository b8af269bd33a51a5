"""Images decoded to the squares of pixels that a network sees, in worker processes where that pays.

Workers import this module, so it must not import torch.
"""

import io
import multiprocessing
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from graftscope.training.errors import DataError


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
    return decoded(
        encoded, lambda image: _square(in_eight_bits(image).convert("RGB"), size, crop_share)
    )


def decoded(
    encoded: EncodedImage, fit: Callable[[Image.Image], Image.Image]
) -> Pixels | UnreadableImage:
    """Open an image and fit it to a network.

    Args:
        encoded: What a source yields.
        fit: Gives the image another size and other colours; a ValueError says why it cannot.

    Returns:
        The pixels of what `fit` gave, or why there are none.
    """
    if isinstance(encoded, UnreadableImage):
        return encoded
    try:
        with warnings.catch_warnings():
            # Pillow only warns of an image large enough to be an attack on the memory.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with _open(encoded) as image:
                return np.asarray(fit(image))
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


def in_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit greys to 8 bits; Pillow's own conversion clips them at 255 instead.

    Raises:
        ValueError: If nobody can tell what its pixels' range is.
    """
    if image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floating-point numbers"
        raise ValueError(f"its pixels are {kind}, whose range is unknown; 8 or 16 bits are allowed")
    if not image.mode.startswith("I;16"):
        return image
    scaled = np.rint(np.asarray(image, np.float64) / _SIXTEEN_TO_EIGHT)
    return Image.fromarray(scaled.astype(np.uint8))


def _square(image: Image.Image, size: int, crop_share: float) -> Image.Image:
    if image.width != image.height:
        side = min(max(1, round(image.width * crop_share)), image.height)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BILINEAR)


# Starting workers costs about a second, in which one process decodes this many small images.
_WORTH_WORKERS = 4000
_CHUNK = 256

_Decoded: TypeAlias = Pixels | UnreadableImage


def decode_all(
    encoded: Iterator[EncodedImage], count: int, *, size: int, crop_share: float
) -> Iterator[_Decoded]:
    """Decode images in their order.

    Args:
        encoded: The images as a source yields them.
        count: How many there are; it decides whether workers are started.
        size: Height and width of the results in pixels.
        crop_share: See `decode_image`.

    Yields:
        Pixels (size, size, 3), or why there are none.

    Raises:
        DataError: If a worker process dies.
    """
    decode = partial(_decode_chunk, size=size, crop_share=crop_share)
    chunks = iter(lambda: list(islice(encoded, _CHUNK)), [])
    alone = count < _WORTH_WORKERS
    results = map(decode, chunks) if alone else _in_workers(decode, chunks)
    try:
        for chunk in results:
            yield from chunk
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process died while it decoded images; a script that trains must do so "
            "under `if __name__ == '__main__':`, because workers import it"
        ) from error


def _decode_chunk(chunk: list[EncodedImage], *, size: int, crop_share: float) -> list[_Decoded]:
    return [decode_image(encoded, size=size, crop_share=crop_share) for encoded in chunk]


def _in_workers(
    decode: "partial[list[_Decoded]]", chunks: Iterable[list[EncodedImage]]
) -> Iterator[list[_Decoded]]:
    workers = os.cpu_count() or 1
    # A forked child would inherit the locks of the parent's threads (torch's, gRPC's).
    context = multiprocessing.get_context("spawn")
    pending: deque[Future[list[_Decoded]]] = deque()
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for chunk in chunks:
            pending.append(pool.submit(decode, chunk))
            # A bound on what waits: the encoded images may be larger than the memory.
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
