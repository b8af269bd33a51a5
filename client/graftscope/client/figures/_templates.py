"""Cluster templates, cluster sizes, and the same over several seeds (section 3.3).

It must not know the clustering: it draws what it is given.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftscope.client.figures._canvas import WIDTH, Box, Canvas, colored
from graftscope.client.figures._palette import MUTED, RULE, TEMPLATE_COLORS, module_color, paler

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LARGE = 218.0
_GAP = 22
_SMALL = 48.0
_SMALL_GAP = 6


def templates_figure(
    templates: NDArray[np.floating],
    labels: NDArray[np.integer],
    sure: NDArray[np.bool_] | None = None,
) -> "Figure":
    """Draw the templates in one row, each above a bar of its cluster's size.

    Args:
        templates: (K, H, W) weights; each has a colour scale of its own, from 0 to its maximum.
        labels: (C,) module of each channel, -1 for none.
        sure: (C,) whether that is sure: the rest of a cluster is drawn pale. None draws all alike.

    Returns:
        A matplotlib figure, as wide as K templates need (at most 1,080 layout pixels).

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    count = len(templates)
    width = min(_LARGE, (WIDTH - 6 - (count - 1) * _GAP) / count)
    height = width * templates.shape[1] / templates.shape[2]
    canvas = Canvas(max(240, count * (width + _GAP) - _GAP + 6), 26 + height + 46)
    for module, template in enumerate(templates):
        box = Box(3 + module * (width + _GAP), 26, width, height)
        canvas.text(box.x, 9, f"Module {module}", size=14, bold=True)
        canvas.template(template, box, module, 3)
        _size_bar(canvas, box, module, labels, sure)
    return canvas.figure


def template_png(template: NDArray[np.floating], min_side: int = 128) -> bytes:
    """Draw one template alone, without frame or words.

    Args:
        template: (H, W) weights, coloured from 0 to their maximum.
        min_side: The template is enlarged by the smallest integer factor that makes its shorter
            side this many pixels.

    Returns:
        The bytes of a PNG file.
    """
    pixels = colored(template, TEMPLATE_COLORS, float(template.max()))
    factor = max(1, -(-min_side // min(template.shape)))
    enlarged = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(enlarged).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _size_bar(
    canvas: Canvas,
    box: Box,
    module: int,
    labels: NDArray[np.integer],
    sure: NDArray[np.bool_] | None,
) -> None:
    members = labels == module
    size = int(members.sum())
    solid = size if sure is None else int((members & sure).sum())
    y = box.y + box.height + 12
    canvas.block(Box(box.x, y, box.width, 9), RULE)
    canvas.block(Box(box.x, y, box.width * size / len(labels), 9), paler(module_color(module)))
    canvas.block(Box(box.x, y, box.width * solid / len(labels), 9), module_color(module))
    words = f"{size} of {len(labels)} channels" if box.width > 110 else f"{size} of {len(labels)}"
    if sure is not None and box.width > 150:
        words += f", {solid} sure"
    canvas.text(box.x, y + 22, words, size=12, color=MUTED)


def seeds_figure(
    templates: NDArray[np.floating],
    agreement: NDArray[np.floating],
    seeds: Sequence[int],
) -> "Figure":
    """Draw the templates of several seeds of one clustering, one row a seed.

    Args:
        templates: (S, K, H, W), the modules of every seed matched to those of the first.
        agreement: (S,) share of the channels that keep the first seed's module, 0 to 1.
        seeds: (S,) the seeds.

    Returns:
        A matplotlib figure, at most 1,080 layout pixels wide.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    count = templates.shape[1]
    left, right = 64, 56
    width = min(_SMALL, (WIDTH - left - right) / count - _SMALL_GAP)
    height = width * templates.shape[2] / templates.shape[3]
    step = height + _SMALL_GAP
    canvas = Canvas(left + count * (width + _SMALL_GAP) + right, 26 + len(templates) * step)
    for module in range(count):
        x = left + module * (width + _SMALL_GAP)
        canvas.block(Box(x, 19, width, 3), module_color(module))
        canvas.text(x + width / 2, 8, str(module), size=12, bold=True, align="center")
    canvas.text(canvas.width, 8, "same", size=11, color=MUTED, align="right")
    for row, seed in enumerate(seeds):
        middle = 26 + row * step + height / 2
        canvas.text(0, middle, f"seed {seed}", size=12)
        canvas.text(canvas.width, middle, f"{agreement[row]:.0%}", size=12, align="right")
        for module, template in enumerate(templates[row]):
            box = Box(left + module * (width + _SMALL_GAP), 26 + row * step, width, height)
            canvas.template(template, box)
    return canvas.figure
