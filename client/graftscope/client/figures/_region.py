"""A region of the image over influence maps: over their mean, and over those that were found.

It must not know how channels are found.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures._canvas import MAP_GAMMA, Box, Canvas, spread
from graftscope.client.figures._palette import MAP_COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDE = 300.0
_GAP = 36
_EDGE = 4
_TOP = 30
_BAR = 56


def region_figure(
    maps: NDArray[np.floating], found: NDArray[np.integer], region: NDArray[np.floating]
) -> "Figure":
    """Draw a region's outline over the mean of all maps and over the sum of the found ones.

    Args:
        maps: (C, H, W) influence maps, in image units.
        found: Indices of the channels that were found, at least one.
        region: (H, W) how much of each pixel is inside, 0 to 1. The outline is drawn around the
            pixels of which at least half is inside, or as much as of any pixel.

    Returns:
        A matplotlib figure, 644 layout pixels wide.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    height, width = _SIDE * np.array(region.shape) / max(region.shape)
    canvas = Canvas(2 * (_SIDE + _EDGE) + _GAP, _TOP + height + _BAR)
    inside = region >= min(0.5, float(region.max()))
    panels = (
        (f"Mean of all {len(maps)} channels", maps.mean(axis=0)),
        (f"Sum of the {len(found)} that were found", maps[found].sum(axis=0)),
    )
    for place, (title, values) in enumerate(panels):
        left = _EDGE + place * (_SIDE + _GAP)
        box = Box(left + (_SIDE - width) / 2, _TOP, width, height)
        high = spread([values])
        canvas.text(left, 12, title, size=14, bold=True)
        canvas.heat(values, box, MAP_COLORS, high, MAP_GAMMA)
        canvas.outline(inside, box)
        bar = Box(left, box.y + height + 26, _SIDE, 8)
        canvas.color_bar(bar, MAP_COLORS, high, "Influence, image units", MAP_GAMMA)
    return canvas.figure
