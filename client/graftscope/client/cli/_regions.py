"""Regions of the image on the command line: how they are named, and checked."""

import re
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import typer
from numpy.typing import NDArray

from graftscope.client.errors import InputError
from graftscope.client.finding import rectangle_region, region_at
from graftscope.client.models import ImageFormat

Rectangle: TypeAlias = tuple[int, int, int, int]
"""Top, left, height and width, in pixels of the image."""

Area: TypeAlias = Rectangle | NDArray[np.float64]
"""A rectangle, or (H, W) from 0 outside to 1 inside."""

REGION = "MASK.png|TOP,LEFT,HEIGHT,WIDTH"
WHERE = (
    "a picture of the image's shape, white inside and black outside; or a rectangle in pixels of "
    "the image, counted from its upper left corner."
)

_RECTANGLE = re.compile(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*")


def region_option(what: str, panel: str | None = None) -> Any:
    """Make the option `--region`: a picture or a rectangle, as `parse_area` reads it.

    Args:
        what: How its help begins.
        panel: Where help lists it.
    """
    return typer.Option("--region", metavar=REGION, help=f"{what}{WHERE}", rich_help_panel=panel)


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
    # Pillow takes a while to import.
    from graftscope.client.pictures import read_mask

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


def image_region(area: Area, image: ImageFormat) -> NDArray[np.float64]:
    """Make the region of a model's images, before any are made.

    Raises:
        InputError: If it is not of images of that size, or has no inside or no outside.
    """
    size = image.height, image.width
    region = region_of(area, size)
    if region.shape != size:
        raise InputError(
            f"a region of {region.shape[0]} x {region.shape[1]} pixels is not of the model's"
            f" images of {size[0]} x {size[1]}: make it as large as the image",
            field="region",
        )
    return region_at(region, *size)
