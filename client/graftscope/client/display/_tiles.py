"""Arrays to tiles: maps, templates and images as small PNGs whose pixels are shown as they are.

Axis letters: c colours, H, W pixels.
"""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftscope.client.display._cards import Tile
from graftscope.client.figures import MAP_COLORS, MAP_GAMMA, TEMPLATE_COLORS, module_color

_LARGEST = 96
"""Pixels of a tile's longer side; larger pictures are averaged over areas."""

_SHOWN = 88
"""Layout pixels that the shorter side of a tile has at least."""

_MOST_FACTOR = 32


def map_tile(
    values: NDArray[np.floating], caption: str, alt: str, module: int | None = None
) -> Tile:
    """Draw a map of amounts (H, W), coloured to its own maximum; the line above is its module's."""
    return _colored(values, MAP_COLORS, MAP_GAMMA, caption, alt, module)


def template_tile(values: NDArray[np.floating], module: int, caption: str, alt: str) -> Tile:
    """Draw a module's template (H, W), coloured to its own maximum."""
    return _colored(values, TEMPLATE_COLORS, 1.0, caption, alt, module)


def picture_tile(pixels: NDArray[np.uint8], caption: str, alt: str) -> Tile:
    """Draw an image, (H, W, 3) uint8."""
    from PIL import Image

    reduced = np.rint(_reduced(pixels)).astype(np.uint8)
    return _tile(Image.fromarray(reduced), caption, alt, "")


def _colored(
    values: NDArray[np.floating],
    colors: str,
    gamma: float,
    caption: str,
    alt: str,
    module: int | None,
) -> Tile:
    from PIL import Image

    from graftscope.client.pictures import color_steps, color_table

    reduced = _reduced(np.nan_to_num(values.astype(np.float64)))
    image = Image.fromarray(color_steps(reduced, float(reduced.max(initial=0.0)), gamma))
    image.putpalette(color_table(colors).tobytes())
    return _tile(image, caption, alt, "" if module is None else module_color(module))


def _tile(image: Any, caption: str, alt: str, color: str) -> Tile:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    width, height = image.size
    factor = min(_MOST_FACTOR, max(1, -(-_SHOWN // min(width, height))))
    png = base64.b64encode(buffer.getvalue()).decode()
    return Tile(png, width * factor, height * factor, caption, alt, color)


def _reduced(values: NDArray[Any]) -> NDArray[np.float64]:
    """Average over squares of a whole number of pixels, so that no side is too long."""
    factor = -(-max(values.shape[:2]) // _LARGEST)
    if factor <= 1:
        return values.astype(np.float64)
    height, width = (side // factor * factor for side in values.shape[:2])
    cut = values[:height, :width].astype(np.float64)
    squares = cut.reshape(height // factor, factor, width // factor, factor, *values.shape[2:])
    averaged: NDArray[np.float64] = squares.mean(axis=(1, 3))
    return averaged
