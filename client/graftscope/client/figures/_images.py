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
    limit: int = 6,
) -> "Figure":
    """Draw one pair a column: original 1, original 2, then each module's hybrid and its change.

    Args:
        original1: (B, c, H, W) in the generator's own range.
        original2: (B, c, H, W).
        hybrids: (K, B, c, H, W): original 1 with module k taken from original 2.
        templates: (K, Hm, Wm), drawn at the left of each module's hybrids.
        changes: (K, Hm, Wm) mean change by each module, drawn at the left of its pairs' changes.
            Every change is drawn from 0 to its own highest, so that a weak one can be read beside
            a strong one; the number beside it is its mean, in per cent of the image range.
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
    sheet = _Sheet(first.shape, len(hybrids))
    sheet.pairs(0, to_pixels(first, image_range), "Original 1", "the sample that is changed")
    sheet.pairs(1, to_pixels(second, image_range), "Original 2", "the sample it takes from")
    for module, images in enumerate(hybrids[:, :limit]):
        count = int(np.sum(labels == module))
        taken = f"{count} of {len(labels)} channels\nfrom original 2"
        row = 2 + 2 * module
        sheet.pairs(row, to_pixels(images, image_range), f"Hybrid {module}", taken)
        sheet.template(row, module, templates[module])
        different = np.abs(images - first).mean(axis=1, dtype=np.float64)  # (B, H, W)
        sheet.changes(row + 1, changes[module], different, image_range)
        sheet.mark(row, module)
    sheet.scale()
    return sheet.canvas.figure


class _Sheet:
    """Where each row and column of the grid lies."""

    def __init__(self, shape: tuple[int, ...], modules: int) -> None:
        pairs = max(shape[0], 4)
        self._width = (WIDTH - _LABEL - _BREAK - (pairs - 1) * _GAP - 3) / (pairs + 1)
        self._height = self._width * shape[2] / shape[3]
        self._first = _LABEL + self._width + _BREAK
        self.canvas = Canvas(WIDTH, self._top(2 + 2 * modules) + _SCALE)

    def _top(self, row: int) -> float:
        """Each row below the last, those of a module together, under a note for the template."""
        blocks = max(0, row) // 2
        return row * self._height + (row - blocks) * _GAP + blocks * _BREAK

    def _box(self, x: float, row: int) -> Box:
        return Box(x, self._top(row), self._width, self._height)

    def mark(self, row: int, module: int) -> None:
        """Draw the module's colour at the far left of both its rows."""
        top, bottom = self._top(row), self._top(row + 1) + self._height
        self.canvas.block(Box(0, top, 5, bottom - top), module_color(module))

    def pairs(self, row: int, images: NDArray[np.uint8], name: str, note: str) -> None:
        """Draw a row of samples with its name and a note at the left."""
        self._name(row, name, note)
        for column, image in enumerate(images):
            self.canvas.picture(image, self._box(self._first, row).beside(column, _GAP))

    def template(self, row: int, module: int, template: NDArray[np.floating]) -> None:
        """Draw a module's template at the left of its hybrids."""
        self.canvas.template(template, self._box(_LABEL, row), module)

    def changes(
        self,
        row: int,
        mean: NDArray[np.floating],
        pairs: NDArray[np.floating],
        image_range: tuple[float, float],
    ) -> None:
        """Draw where a module changes the picture: in the mean, then pair by pair."""
        share = 100 / (image_range[1] - image_range[0])
        self._name(
            row, "Change", f"|hybrid \N{MINUS SIGN} original 1|\nmean {mean.mean() * share:.1f} %"
        )
        boxes = [self._box(self._first, row).beside(i, _GAP) for i in range(len(pairs))]
        for box, values in zip([self._box(_LABEL, row), *boxes], [mean, *pairs], strict=True):
            self.canvas.heat(values, box, MAP_COLORS, float(values.max()), MAP_GAMMA)

    def _name(self, row: int, name: str, note: str) -> None:
        left, middle = 0 if row < 2 else 14, self._top(row) + self._height / 2
        self.canvas.text(left, middle - 4, name, size=14, bold=True, anchor="bottom")
        self.canvas.text(left, middle + 2, note, size=11, color=MUTED, anchor="top")

    def scale(self) -> None:
        """Draw the changes' colour scale, and say what stands at the left of the pairs."""
        box = Box(_LABEL, self.canvas.height - 26, 240, 9)
        label = "change of a pixel, as a share of the picture's highest"
        self.canvas.color_bar(box, MAP_COLORS, 1.0, label, MAP_GAMMA)
        note = (
            "at the left of the pairs: the module's template, and its mean change over many pairs"
        )
        self.canvas.text(_LABEL + 400, box.y + 4, note, size=11)
