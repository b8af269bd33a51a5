"""Images of the same pairs side by side: originals and hybrids, or hybrids of several strengths.

It must not know where they come from.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures._canvas import MAP_GAMMA, WIDTH, Box, Canvas
from graftscope.client.figures._palette import MAP_COLORS
from graftscope.client.pictures import to_pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP = 7
_HEAD = 24
_SCALE = 46
_WIDEST = 170.0


def pairs_figure(
    columns: Mapping[str, NDArray[np.floating]],
    image_range: tuple[float, float],
    *,
    changes: NDArray[np.floating] | None = None,
    limit: int = 6,
) -> "Figure":
    """Draw a pair a row: its images side by side, and where one of them differs.

    Args:
        columns: By its heading, each (B, c, H, W) in the generator's own range.
        image_range: (low, high) of the images.
        changes: (B, H, W) drawn at the right of each pair, in image units, each from 0 to its own
            highest; None for none.
        limit: At most so many pairs, the first ones.

    Returns:
        A matplotlib figure, at most 1,080 layout pixels wide.

    Raises:
        ValueError: If there is no image, or a shape is another one.
        ReportExtraError: If matplotlib is not installed.
    """
    shown = {name: to_pixels(images[:limit], image_range) for name, images in columns.items()}
    pairs = min(map(len, shown.values()), default=0)
    if not pairs:
        raise ValueError("there is no pair to draw")
    count = len(shown) + (changes is not None)
    width = min(_WIDEST, (WIDTH - (count - 1) * _GAP) / count)
    first = next(iter(shown.values()))
    height = width * first.shape[1] / first.shape[2]
    bottom = _HEAD + pairs * (height + _GAP)
    canvas = Canvas(max(330, count * (width + _GAP) - _GAP), bottom + _SCALE * (count > len(shown)))
    for column, (name, images) in enumerate(shown.items()):
        _head(canvas, column * (width + _GAP), name)
        for row, image in enumerate(images):
            y = _HEAD + row * (height + _GAP)
            canvas.picture(image, Box(column * (width + _GAP), y, width, height))
    if changes is not None:
        x = len(shown) * (width + _GAP)
        _head(canvas, x, "change")
        for row, values in enumerate(changes[:pairs]):
            box = Box(x, _HEAD + row * (height + _GAP), width, height)
            canvas.heat(values, box, MAP_COLORS, float(values.max()), MAP_GAMMA)
        label = "change of a pixel, as a share of the picture's highest"
        canvas.color_bar(Box(0, bottom + 18, 240, 9), MAP_COLORS, 1.0, label, MAP_GAMMA)
    return canvas.figure


def _head(canvas: Canvas, x: float, name: str) -> None:
    canvas.text(x, 11, name[:1].upper() + name[1:], size=13, bold=True)
