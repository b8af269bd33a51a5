"""The kinds of image files that are read: those that Pillow decodes by itself.

It opens others by running what is installed, such as Ghostscript for PostScript; a file that
somebody drops onto a page must start no program.
"""

from collections.abc import Sequence
from functools import cache
from os import PathLike
from typing import IO

from PIL import Image

_WANTED = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")


@cache
def formats() -> Sequence[str]:
    """Those of the wanted formats that this Pillow was built with."""
    Image.init()
    return tuple(name for name in _WANTED if name in Image.OPEN)


def opened(source: str | PathLike[str] | IO[bytes]) -> Image.Image:
    """Open an image file.

    Args:
        source: A path, or a file.

    Returns:
        Its first picture, not yet decoded.

    Raises:
        PIL.UnidentifiedImageError: If it is of none of the formats.
        OSError: If it cannot be read.
    """
    return Image.open(source, formats=list(formats()))
