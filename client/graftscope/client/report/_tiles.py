"""The pictures that stand on the page one by one, each held by the page itself.

A sheet of many pictures would be too wide for a telephone and too white for a dark page; single
pictures are laid out by the browser, and each can be opened large. It must not know the page.
"""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftscope.client.figures import MAP_COLORS, MAP_GAMMA, TEMPLATE_COLORS, colored
from graftscope.client.pictures import to_pixels

LARGEST_SIDE = 512
"""Pixels of a tile's longer side at most: enough for a whole screen."""

_EXACT_SIDE = 128
_QUALITY = 92
_STOPS = 17


@dataclass(frozen=True)
class Tile:
    """One picture.

    Attributes:
        source: The picture itself, as the value of an ``img`` element's ``src``.
        width: Its pixels across.
        height: Its pixels down.
        alt: What it shows, for those who cannot see it.
        sharp: Whether its pixels stay squares where it is enlarged, as those of a map do.
    """

    source: str
    width: int
    height: int
    alt: str
    sharp: bool = False


def photo(image: NDArray[np.floating], image_range: tuple[float, float], alt: str) -> Tile:
    """Make a tile of one image of the generator, (c, H, W) in its own range."""
    return _tile(to_pixels(image[None], image_range)[0], alt)


def influence(values: NDArray[np.floating], alt: str, high: float | None = None) -> Tile:
    """Make a tile of a map of changes (H, W), from 0 to ``high``, or to its own maximum."""
    top = float(values.max()) if high is None else high
    return _tile(colored(values, MAP_COLORS, top, MAP_GAMMA), alt, sharp=True)


def template(values: NDArray[np.floating], alt: str) -> Tile:
    """Make a tile of a template (H, W), from 0 to its own maximum."""
    return _tile(colored(values, TEMPLATE_COLORS, float(values.max())), alt, sharp=True)


def scale_of_changes() -> str:
    """The colours of maps from 0 to their maximum, as a gradient of CSS."""
    ramp = colored(np.linspace(0.0, 1.0, _STOPS)[None], MAP_COLORS, 1.0, MAP_GAMMA)[0]
    return ", ".join(f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in ramp.tolist())


def _tile(pixels: NDArray[np.uint8], alt: str, *, sharp: bool = False) -> Tile:
    picture = Image.fromarray(pixels)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BOX)
    exact = max(picture.size) <= _EXACT_SIDE
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", lossless=exact, quality=_QUALITY, method=4)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Tile(f"data:image/webp;base64,{text}", *picture.size, alt, sharp)
