"""Individual influence of every channel with error bars (section 3.2).

It must not know how influences are computed.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures._canvas import DPI, Box, Canvas
from graftscope.client.figures._palette import INK, MUTED, RULE, module_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 1080
_HEIGHT = 312
_PLOT = Box(62, 34, 952, 234)
_LEGEND = Box(215, 2, 700, 12)
_LABELLED = 72
_POINTS = 72 / DPI


def individual_figure(
    individual: NDArray[np.floating],
    stderr: NDArray[np.floating],
    labels: NDArray[np.integer],
    channels: NDArray[np.integer],
    image_range: tuple[float, float],
) -> "Figure":
    """Draw each channel's individual influence, strongest first, coloured by module.

    Args:
        individual: (C,) mean absolute difference over pixels, in image units.
        stderr: (C,) its standard error; NaN (one pair alone) draws no bar of error.
        labels: (C,) module of each channel, -1 for none.
        channels: (C,) index of each channel in its layer.
        image_range: (low, high) of the images, for the scale in percent at the right.

    Returns:
        A matplotlib figure, 1,080 layout pixels wide.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    order = np.argsort(-individual, kind="stable")
    canvas = Canvas(_WIDTH, _HEIGHT)
    axes = canvas.axes(_PLOT)
    places = np.arange(len(order))
    colors = [module_color(int(label)) for label in labels[order]]
    axes.bar(places, individual[order], width=0.74, color=colors, zorder=2)
    known = np.isfinite(stderr[order])
    axes.errorbar(
        places[known],
        individual[order][known],
        yerr=stderr[order][known],
        fmt="none",
        ecolor=INK,
        elinewidth=1.0,
        capsize=1.8 if len(order) <= _LABELLED else 0,
        zorder=3,
    )
    axes.set_xlim(-0.8, max(len(order), 8) - 0.2)
    axes.set_ylim(bottom=0)
    _dress(axes, channels[order], image_range)
    _legend(canvas, labels)
    canvas.text(0, 8, "Individual influence, image units", size=12, color=MUTED)
    canvas.text(_WIDTH, 8, "% of the image range", size=12, color=MUTED, align="right")
    caption = "channel, strongest first" if len(order) <= _LABELLED else "channels, strongest first"
    canvas.text(_PLOT.center[0], _HEIGHT - 10, caption, size=12, color=MUTED, align="center")
    return canvas.figure


def _dress(axes: "Axes", channels: NDArray[np.integer], image_range: tuple[float, float]) -> None:
    """Channel names below, image units at the left, percent at the right, thin lines across."""
    axes.set_facecolor("none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis="y", color=RULE, linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    if len(channels) <= _LABELLED:
        size = 10.5 if len(channels) <= 48 else 9.5
        names = [str(channel) for channel in channels]
        axes.set_xticks(np.arange(len(channels)), names, fontsize=size * _POINTS)
    else:
        axes.set_xticks([])
    axes.tick_params(axis="x", length=0, pad=4, labelcolor=INK)
    axes.tick_params(axis="y", length=0, labelsize=11 * _POINTS, labelcolor=INK)
    percent = 100 / (image_range[1] - image_range[0])
    right = axes.twinx()
    right.set_ylim(0, axes.get_ylim()[1] * percent)
    right.spines[["top", "right", "left", "bottom"]].set_visible(False)
    right.tick_params(axis="y", length=0, labelsize=11 * _POINTS, labelcolor=INK)


def _legend(canvas: Canvas, labels: NDArray[np.integer]) -> None:
    """Between the names of both axes; the word "Module" only where there is room for it."""
    modules = sorted(set(labels.tolist()), key=lambda module: (module < 0, module))
    step = min(92.0, _LEGEND.width / len(modules))
    x = _LEGEND.x + (_LEGEND.width - step * len(modules)) / 2
    for module in modules:
        name = "None" if module < 0 else f"Module {module}" if step > 80 else str(module)
        canvas.block(Box(x, _LEGEND.y, 11, 11), module_color(module))
        canvas.text(x + 17, _LEGEND.y + 6, name, size=12)
        x += step
