"""Images of a generator side by side: samples, and the hybrids of every module beside their
originals (section 3.1, Fig. 3).

It must not know where they come from.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures._canvas import MAP_GAMMA, WIDTH, Box, Canvas
from graftscope.client.figures._palette import (
    MAP_COLORS,
    MUTED,
    module_color,
)
from graftscope.client.pictures import to_pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SAMPLE_GAP = 5
_LABEL = 132
_GAP = 7
_BREAK = 18
_SCALE = 52


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
    width = (WIDTH - (columns - 1) * _SAMPLE_GAP) / columns
    height = width * pixels.shape[1] / pixels.shape[2]
    rows = -(-len(pixels) // columns)
    canvas = Canvas(WIDTH, rows * (height + _SAMPLE_GAP) - _SAMPLE_GAP)
    for i, image in enumerate(pixels):
        row, column = divmod(i, columns)
        x, y = column * (width + _SAMPLE_GAP), row * (height + _SAMPLE_GAP)
        canvas.picture(image, Box(x, y, width, height))
    return canvas.figure


def hybrids_figure(
    original1: NDArray[np.floating],
    original2: NDArray[np.floating],
    hybrids: NDArray[np.floating],
    templates: NDArray[np.floating],
    changes: NDArray[np.floating],
    labels: NDArray[np.integer],
    image_range: tuple[float, float],
    *,
    limit: int = 8,
) -> "Figure":
    """Draw one pair a column: original 1, original 2, then the hybrid of each module.

    Args:
        original1: (B, c, H, W) in the generator's own range.
        original2: (B, c, H, W).
        hybrids: (K, B, c, H, W): original 1 with module k taken from original 2.
        templates: (K, Hm, Wm), drawn at the left of each module's row.
        changes: (K, Hm, Wm) mean change by each module, drawn at the right of its row, from 0 to
            its own highest, so that a weak module can be read beside a strong one.
        labels: (C,) module of each channel, for the number grafted.
        image_range: (low, high) of the images.
        limit: At most so many pairs, the first ones.

    Returns:
        A matplotlib figure, 1,080 layout pixels wide.

    Raises:
        ValueError: If the images have another shape.
        ReportExtraError: If matplotlib is not installed.
    """
    first, second = original1[:limit], original2[:limit]
    grafted = hybrids[:, :limit]
    columns = max(len(first), 6) + 2  # a template before the pairs, a change map after them
    width = (WIDTH - _LABEL - 2 * _BREAK - (columns - 3) * _GAP - 6) / columns
    height = width * first.shape[2] / first.shape[3]
    rows = 2 + len(hybrids)
    canvas = Canvas(WIDTH, rows * (height + _GAP) + _BREAK + _SCALE)
    sheet = _Sheet(canvas, width, height, len(first))
    sheet.pairs(0, to_pixels(first, image_range), "Original 1", "the sample that is changed")
    sheet.pairs(1, to_pixels(second, image_range), "Original 2", "the sample it takes from")
    sheet.headings()
    for module, images in enumerate(grafted):
        taken = f"{int(np.sum(labels == module))} of {len(labels)} channels\nfrom original 2"
        sheet.pairs(2 + module, to_pixels(images, image_range), f"Hybrid {module}", taken)
        sheet.template(module, templates[module])
        sheet.change(module, changes[module])
    sheet.scale()
    return canvas.figure


class _Sheet:
    """Where each row and column of the grid lies."""

    def __init__(self, canvas: Canvas, width: float, height: float, pairs: int) -> None:
        self._canvas = canvas
        self._width = width
        self._height = height
        self._first = _LABEL + width + _BREAK
        self._last = self._first + pairs * (width + _GAP) - _GAP + _BREAK

    def _top(self, row: int) -> float:
        return row * (self._height + _GAP) + (_BREAK if row > 1 else 0)

    def _box(self, x: float, row: int) -> Box:
        return Box(x, self._top(row), self._width, self._height)

    def headings(self) -> None:
        """Name the two columns that are no samples, just above the modules' rows."""
        y = self._top(2) - 8
        for x, words in ((_LABEL, "template"), (self._last, "mean change")):
            middle = x + self._width / 2
            self._canvas.text(
                middle, y, words, size=12, color=MUTED, align="center", anchor="bottom"
            )

    def pairs(self, row: int, images: NDArray[np.uint8], name: str, note: str) -> None:
        """Draw a row of samples with its name and a note at the left."""
        left, middle = 0 if row < 2 else 14, self._top(row) + self._height / 2
        self._canvas.text(left, middle - 4, name, size=14, bold=True, anchor="bottom")
        self._canvas.text(left, middle + 2, note, size=11, color=MUTED, anchor="top")
        for column, image in enumerate(images):
            self._canvas.picture(image, self._box(self._first, row).beside(column, _GAP))

    def template(self, module: int, template: NDArray[np.floating]) -> None:
        """Draw a module's template, and its colour at the far left."""
        box = self._box(_LABEL, 2 + module)
        self._canvas.template(template, box, module)
        self._canvas.block(Box(0, box.y, 5, box.height), module_color(module))

    def change(self, module: int, change: NDArray[np.floating]) -> None:
        """Draw where a module changes the picture."""
        box = self._box(self._last, 2 + module)
        self._canvas.heat(change, box, MAP_COLORS, float(change.max()), MAP_GAMMA)

    def scale(self) -> None:
        """Draw the changes' colour scale at the left, where a narrow screen shows it too."""
        box = Box(_LABEL, self._canvas.height - 26, 240, 9)
        label = "mean change of a pixel, as a share of the row's highest"
        self._canvas.color_bar(box, MAP_COLORS, 1.0, label, MAP_GAMMA)
