"""How one hybrid is made (section 3.1, Fig. 2a), drawn with real samples of the model.

It must not know how hybrids are computed.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures._canvas import WIDTH, Box, Canvas, spread
from graftscope.client.figures._palette import INK, MAP_COLORS, MUTED, NO_MODULE, module_color
from graftscope.client.pictures import to_pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TOP = 66
_SIDE = 132
_LARGE = 190
_SECOND = _TOP + _SIDE + 46
_HEIGHT = _SECOND + _SIDE + 24
_MIDDLE = (_TOP + _SECOND + _SIDE) / 2
_CELLS = 202
_MIXED = 440
_HYBRID = 636
_CHANGE = 890


def graft_figure(
    original1: NDArray[np.floating],
    original2: NDArray[np.floating],
    hybrid: NDArray[np.floating],
    labels: NDArray[np.integer],
    module: int,
    image_range: tuple[float, float],
) -> "Figure":
    """Explain one hybrid in four steps, from left to right.

    Args:
        original1: (c, H, W) in the generator's own range.
        original2: (c, H, W).
        hybrid: (c, H, W): original 1 with the module's channels from original 2.
        labels: (C,) module of each channel; one small square is drawn for each.
        module: The module that is grafted.
        image_range: (low, high) of the images.

    Returns:
        A matplotlib figure, 1,080 layout pixels wide.

    Raises:
        ValueError: If the images have another shape.
        ReportExtraError: If matplotlib is not installed.
    """
    images = to_pixels(np.stack([original1, original2, hybrid]), image_range)
    change = np.abs(hybrid - original1).mean(axis=0, dtype=np.float64)  # (H, W)
    color = module_color(module)
    canvas = Canvas(WIDTH, _HEIGHT)
    _steps(canvas, int(np.sum(labels == module)), module)
    _originals(canvas, images, labels, module)
    _cells(
        canvas, Box(_MIXED, _MIDDLE - _SIDE / 2, _SIDE, _SIDE), labels == module, NO_MODULE, color
    )
    shape = _fitted(images.shape[2], images.shape[1])
    hybrid_box = Box(_HYBRID, _MIDDLE - shape[1] / 2, *shape)
    change_box = Box(_CHANGE, _MIDDLE - shape[1] / 2, *shape)
    canvas.picture(images[2], hybrid_box)
    canvas.heat(change, change_box, MAP_COLORS, spread([change]))
    _arrow(canvas, _MIXED + _SIDE + 14, hybrid_box.x - 14)
    _arrow(canvas, hybrid_box.x + shape[0] + 14, change_box.x - 14)
    return canvas.figure


def _steps(canvas: Canvas, taken: int, module: int) -> None:
    """The heading of each step."""
    grafted = f"module {module}: {taken} channel{'s' * (taken != 1)}"
    steps = (
        (0, "1  Run both", "two samples, as far as one layer"),
        (_MIXED, "2  Graft", f"{grafted}\nfrom original 2"),
        (_HYBRID, "3  Finish the run", "the hybrid image"),
        (_CHANGE, "4  Compare", "|hybrid \N{MINUS SIGN} original 1|"),
    )
    for x, name, note in steps:
        canvas.text(x, 14, name, size=16, bold=True, anchor="baseline")
        canvas.text(x, 21, note, size=13, color=MUTED, anchor="top")


def _originals(
    canvas: Canvas, images: NDArray[np.uint8], labels: NDArray[np.integer], module: int
) -> None:
    """Both samples, each with its own values of the layer's channels."""
    chosen = labels == module
    width, height = _fitted(images.shape[2], images.shape[1], _SIDE)
    for i, (y, color) in enumerate(((_TOP, NO_MODULE), (_SECOND, module_color(module)))):
        middle = y + _SIDE / 2
        canvas.picture(images[i], Box(0, middle - height / 2, width, height))
        canvas.text(0, y + _SIDE + 4, f"Original {i + 1}", size=13, bold=True, anchor="top")
        cells = Box(_CELLS, y, _SIDE, _SIDE)
        pale = _pale(color)
        _cells(canvas, cells, chosen if i else ~chosen, pale, color)
        canvas.arrow((width + 14, middle), (cells.x - 14, middle), INK)
        canvas.text(
            cells.x,
            y + _SIDE + 4,
            f"its {len(labels)} channels",
            size=13,
            color=MUTED,
            anchor="top",
        )
        canvas.arrow(
            (cells.x + _SIDE + 14, middle), (_MIXED - 14, _MIDDLE + (30 if i else -30)), INK
        )


def _cells(canvas: Canvas, box: Box, chosen: NDArray[np.bool_], plain: str, color: str) -> None:
    """One square a channel, those chosen in ``color``."""
    side = int(np.ceil(np.sqrt(len(chosen))))
    step = box.width / side
    gap = min(3.0, step / 5)
    for i, taken in enumerate(chosen.tolist()):
        row, column = divmod(i, side)
        cell = Box(box.x + column * step, box.y + row * step, step - gap, step - gap)
        canvas.block(cell, color if taken else plain)


def _arrow(canvas: Canvas, start: float, end: float) -> None:
    canvas.arrow((start, _MIDDLE), (end, _MIDDLE), INK)


def _fitted(width: int, height: int, side: float = _LARGE) -> tuple[float, float]:
    """The size that fits a square of ``side`` and keeps the image's proportions."""
    scale = side / max(width, height)
    return width * scale, height * scale


def _pale(color: str) -> str:
    """The colour, thinned with white."""
    channels = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - channel) * 0.25):02x}" for channel in channels)
