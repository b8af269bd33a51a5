"""The samples of a generator, side by side. It must not know where they come from."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures._canvas import Box, Canvas
from graftscope.client.pictures import to_pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 1080
_GAP = 5


def samples_figure(
    images: NDArray[np.floating],
    image_range: tuple[float, float],
    *,
    columns: int = 12,
    limit: int = 36,
) -> "Figure":
    """Draw a grid of samples.

    Args:
        images: (N, c, H, W) in the generator's own range, c = 1, 3 or 4.
        image_range: (low, high) of the images.
        columns: Images a row; fewer when there are fewer.
        limit: At most so many are drawn, the first ones.

    Returns:
        A matplotlib figure, 1,080 layout pixels wide.

    Raises:
        ValueError: If there is no image, or the shape is another one.
        ReportExtraError: If matplotlib is not installed.
    """
    pixels = to_pixels(images[:limit], image_range)
    if not len(pixels):
        raise ValueError("there is no sample to draw")
    columns = min(columns, max(len(pixels), 6))
    width = (_WIDTH - (columns - 1) * _GAP) / columns
    height = width * pixels.shape[1] / pixels.shape[2]
    rows = -(-len(pixels) // columns)
    canvas = Canvas(_WIDTH, rows * (height + _GAP) - _GAP)
    for i, image in enumerate(pixels):
        row, column = divmod(i, columns)
        canvas.picture(image, Box(column * (width + _GAP), row * (height + _GAP), width, height))
    return canvas.figure
