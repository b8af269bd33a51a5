"""Which region of the image a verb looks at: a painted mask, or a rectangle."""

import re
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client._regions import rectangle_region
from graftscope.client._sources import Source
from graftscope.client.errors import InputError

Rectangle: TypeAlias = tuple[int, int, int, int]
"""Top, left, height and width, in pixels of the image."""

Area: TypeAlias = Rectangle | NDArray[np.float64]
"""A rectangle, or (H, W) from 0 outside to 1 inside."""

_RECTANGLE = re.compile(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*")


def parse_area(text: str) -> Area:
    """Read what `--region` says.

    Raises:
        NotFoundError: If there is no such picture.
        InputError: If it is neither a picture nor a rectangle.
    """
    if found := _RECTANGLE.fullmatch(text):
        top, left, height, width = map(int, found.groups())
        return top, left, height, width
    if not Path(text).suffix:
        raise InputError(
            f"--region {text!r} is neither a picture nor a rectangle TOP,LEFT,HEIGHT,WIDTH like"
            " 0,16,32,32"
        )
    # Pillow is for the few verbs that read pictures.
    from graftscope.client._masks import read_mask

    return read_mask(text)


def region_of(area: Area, image: tuple[int, int]) -> NDArray[np.float64]:
    """Make the region of an image of (H, W) pixels; a mask is one already.

    Raises:
        InputError: If the rectangle is not within the image.
    """
    if not isinstance(area, tuple):
        return area
    top, left, height, width = area
    return rectangle_region(top, left, height, width, image_height=image[0], image_width=image[1])


def image_size(client: Client, source: Source) -> tuple[int, int]:
    """Ask a server for the size (H, W) of the images that stored maps are of.

    Raises:
        InputError: If it does not have the model, or has another version of it.
    """
    for model in client.models():
        if (model.name, model.digest) == (source.model, source.model_digest):
            return model.image.height, model.image.width
    raise InputError(
        f"a rectangle is in pixels of the image, but this server does not have {source}: name its"
        " bundle with --bundle, or give a mask"
    )
