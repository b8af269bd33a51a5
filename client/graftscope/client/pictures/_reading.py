"""Real images from files, made to the generator's size; and regions painted in a picture."""

import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from graftscope.client.arrays import file_name
from graftscope.client.errors import InputError, NotFoundError
from graftscope.client.models import ImageFormat
from graftscope.client.pictures._formats import opened

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
"""Endings of the files that are taken for images."""

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_SIXTEEN_TO_EIGHT = 257
"""65535 / 255, which takes white to white."""

_LARGEST_BYTES = 128 * 2**20
"""Of a picture's file in a zip file."""

_BRIGHTNESS = (0.299, 0.587, 0.114)
"""Shares of red, green and blue (ITU-R BT.601)."""

UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    Image.DecompressionBombError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,
)
"""What Pillow and zipfile raise for damaged files; RuntimeError is an encrypted member's."""


@dataclass(frozen=True, eq=False)
class ReadImages:
    """Images that were read, and what could not be.

    Args:
        images: (N, H, W, c) uint8.
        skipped: The files that are no readable images, each with the reason.
    """

    images: NDArray[np.uint8]
    skipped: tuple[str, ...]


def read_images(
    path: Path, size: ImageFormat, chosen: Callable[[str], bool] = lambda name: True
) -> ReadImages:
    """Read an image, or every image of a folder or zip in the order of their names.

    An image that is not square loses what lies outside its centred square; no other crop is made.

    Args:
        path: An image, a folder that is searched with all below it, or a zip.
        size: Of the generator's images.
        chosen: Tells by an image's name in the folder or zip whether it is wanted.

    Returns:
        The images and the names of those that were skipped.

    Raises:
        NotFoundError: If there is nothing at the path.
        InputError: If there is no readable image in it, or it is a damaged zip.
    """
    mode = colour_mode(size)
    images: list[NDArray[np.uint8]] = []
    skipped: list[str] = []
    wanted = ((name, read) for name, read in _files(path) if chosen(name))
    for name, read in wanted:
        try:
            images.append(decoded(read(), size, mode))
        except UNREADABLE as error:
            skipped.append(f"{name}: {reason(error)}")
    if not images:
        found = f"; {skipped[0]}" if skipped else ""
        raise InputError(
            f"{path} holds no readable image among its {len(skipped)} files ending in"
            f" {', '.join(sorted(SUFFIXES))}{found}"
        )
    return ReadImages(np.stack(images), tuple(skipped))


def image_names(path: Path) -> list[str]:
    """Name every image of a folder or zip, as `read_images` names them, in its order."""
    return [name for name, _ in _files(path)]


def colour_mode(size: ImageFormat) -> str:
    """Name Pillow's mode of a generator's colours."""
    if size.channels not in _MODES:
        raise InputError(
            f"the model's images have {size.channels} colours; pictures have 1, 3 or 4"
        )
    return _MODES[size.channels]


def _files(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Name every image, and say how to read it: one that fails must not end the others."""
    if os.path.isdir(path):
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        for file in found:
            yield str(file.relative_to(path)), file.read_bytes
    elif os.path.isfile(path) and zipfile.is_zipfile(path):
        # One picture is in memory at a time, so that their sum does not matter.
        with _archive(path) as archive:
            names = [name for name in archive.namelist() if Path(name).suffix.lower() in SUFFIXES]
            for name in sorted(names):
                yield name, partial(_member, archive, name)
    elif os.path.isfile(path):
        yield path.name, path.read_bytes
    else:
        raise NotFoundError(f"there is no image, folder or zip of images at {path}")


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a readable zip file: {error}") from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > _LARGEST_BYTES:
        raise ValueError(f"it inflates to {info.file_size:,} bytes; at most {_LARGEST_BYTES:,}")
    # Of the others a few bytes may inflate to gigabytes at once.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is neither stored nor deflated in the zip file")
    return archive.read(name)


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read one image as it is.

    Args:
        path: An image.

    Returns:
        (H, W, c) uint8: grey, RGB or RGBA.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If it is not a readable image.
    """
    if not os.path.isfile(path):
        raise NotFoundError(f"there is no file {path}")
    try:
        with opened(path) as image:
            pixels = np.asarray(_plain(ImageOps.exif_transpose(image)), np.uint8)
    except UNREADABLE as error:
        raise InputError(f"{path} is not a readable image: {reason(error)}") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def fit_picture(pixels: NDArray[np.uint8], size: ImageFormat) -> NDArray[np.uint8]:
    """Cut an image to its centre and resize it to a generator's size, as `read_images` does.

    Args:
        pixels: (H, W, c) uint8 with 1, 3 or 4 colours.
        size: Of the generator's images.

    Returns:
        (H, W, c) uint8 of that size.
    """
    single = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    return _fitted(Image.fromarray(single), size, colour_mode(size))


def _plain(image: Image.Image) -> Image.Image:
    """Make an image grey, RGB or RGBA, whichever holds what it shows."""
    if image.has_transparency_data:
        return image.convert("RGBA")
    grey = image.mode in ("1", "L") or image.mode.startswith("I;16")
    return _in_eight_bits(image).convert("L" if grey else "RGB")


def decoded(data: bytes, size: ImageFormat, mode: str) -> NDArray[np.uint8]:
    """Read an image from its file's bytes, cut and resized to a generator's size: (H, W, c)."""
    with opened(BytesIO(data)) as image:
        return _fitted(_in_eight_bits(ImageOps.exif_transpose(image)), size, mode)


def _fitted(image: Image.Image, size: ImageFormat, mode: str) -> NDArray[np.uint8]:
    fitted = ImageOps.fit(image.convert(mode), (size.width, size.height), Image.Resampling.LANCZOS)
    return np.asarray(fitted, np.uint8).reshape(size.height, size.width, size.channels)


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit greys to 8 bits; Pillow's own conversion clips them at 255 instead."""
    if image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floating-point numbers"
        raise ValueError(f"its pixels are {kind}, whose range is unknown; 8 or 16 bits are allowed")
    if not image.mode.startswith("I;16"):
        return image
    scaled = np.rint(np.asarray(image, np.float64) / _SIXTEEN_TO_EIGHT)
    return Image.fromarray(scaled.astype(np.uint8))


def reason(error: Exception) -> str:
    """Say why an image cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    return " ".join(str(error).split()) or type(error).__name__


def read_mask(path: str | Path) -> NDArray[np.float64]:
    """Read a painted region.

    Args:
        path: A picture; of its colours the brightness counts. What is transparent is black.

    Returns:
        (H, W) from 0 for black to 1 for white.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If it is not a readable picture.
    """
    pixels = read_picture(file_name(path)).astype(np.float64) / 255.0  # (H, W, 1 | 3 | 4)
    if pixels.shape[-1] == 1:
        return pixels[..., 0]
    opacity = pixels[..., 3] if pixels.shape[-1] == 4 else 1.0
    painted: NDArray[np.float64] = pixels[..., :3] @ np.array(_BRIGHTNESS) * opacity
    return np.clip(painted, 0.0, 1.0)
