"""Influence: the gallery of its maps (section 3.2, Fig. 2b), a region over them, and the individual
influence of every channel.

It must not know how influence is computed, nor how channels are found.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures._canvas import DPI, MAP_GAMMA, WIDTH, Box, Canvas, spread
from graftscope.client.figures._palette import INK, MAP_COLORS, MUTED, RULE, module_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT = 130
_GAP = 9
_COLUMNS = 10
_FEWEST = 4
_LABEL = 18
_BAND = 16
_SCALE = 58
_PANEL = 300.0
_APART = 36
_EDGE = 4
_TITLE = 30
_BAR = 56
_HEIGHT = 312
_PLOT = Box(62, 34, 952, 234)
_LEGEND = Box(215, 2, 700, 12)
_LABELLED = 72
_POINTS = 72 / DPI


def gallery_figure(
    maps: NDArray[np.floating],
    labels: NDArray[np.integer] | None,
    individual: NDArray[np.floating],
    channels: NDArray[np.integer],
    *,
    limit: int = 32,
    others: Mapping[int, Sequence[int]] | None = None,
) -> "Figure":
    """Draw the strongest channels' influence maps, module by module, each to its own maximum.

    Colours show where a channel acts, the number above its map how strongly: a layer's strongest
    channel often has ten times the influence of most, whose maps would be black on one scale.

    Args:
        maps: (C, H, W) mean absolute differences in image units.
        labels: (C,) module of each channel, -1 for none; None where no modules are known.
        individual: (C,) mean of each map over its pixels, in image units: the order within a
            module, and written above each map at the right.
        channels: (C,) index of each channel in its layer, written above its map at the left.
        limit: About so many maps in all; every module gets an equal share of them, but at least
            four. A module with fewer channels leaves its places empty.
        others: Modules that a channel may belong to instead of its own, by its place in the maps:
            they are named in a corner of its map, in the first one's colour.

    Returns:
        A matplotlib figure, 1,080 layout pixels wide: rows of ten maps for each module (many
        modules stand two abreast), framed in its colour.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    none = "In no module" if labels is not None else "Strongest"
    labels = np.full(len(maps), -1) if labels is None else labels
    share = max(_FEWEST, limit // len(set(labels.tolist())))
    groups = [(module, _strongest(labels, individual, module, share)) for module in _order(labels)]
    width = (WIDTH - _LEFT - (_COLUMNS - 1) * _GAP - 4) / _COLUMNS
    height = width * maps.shape[1] / maps.shape[2]
    places, bottom = _places([len(members) for _, members in groups], share, height)
    canvas = Canvas(WIDTH, bottom + _SCALE)
    for (module, members), (x, y) in zip(groups, places, strict=True):
        name = none if module < 0 else f"Module {module}"
        _heading(canvas, x, y, module, name, int(np.sum(labels == module)))
        for box, i in _grid(members, Box(x + _LEFT, y, width, height)):
            canvas.heat(maps[i], box, MAP_COLORS, float(maps[i].max()), MAP_GAMMA)
            canvas.frame(box, module_color(module))
            _rivals(canvas, box, (others or {}).get(i, ()))
            canvas.text(box.x, box.y - 5, str(channels[i]), size=12, bold=True, anchor="bottom")
            canvas.text(
                box.x + box.width,
                box.y - 5,
                f"{individual[i]:.2g}",
                size=11,
                color=MUTED,
                align="right",
                anchor="bottom",
            )
    label = "mean change of a pixel, as a share of the map's own maximum"
    canvas.color_bar(Box(_LEFT, bottom + 24, 240, 9), MAP_COLORS, 1.0, label, MAP_GAMMA)
    note = "above each map its channel, and the mean over all its pixels, in image units"
    canvas.text(_LEFT + 400, bottom + 28, note, size=11)
    return canvas.figure


def _order(labels: NDArray[np.integer]) -> list[int]:
    """The modules by number; channels in no module come last."""
    return sorted(set(labels.tolist()), key=lambda module: (module < 0, module))


def _strongest(
    labels: NDArray[np.integer], individual: NDArray[np.floating], module: int, share: int
) -> NDArray[np.intp]:
    order = np.argsort(-individual, kind="stable")
    members: NDArray[np.intp] = order[labels[order] == module][:share]
    return members


def _places(sizes: list[int], share: int, height: float) -> tuple[list[tuple[float, float]], float]:
    """The upper left corner of each module's maps, and where the last of them ends."""
    abreast = 2 if share <= _FEWEST and len(sizes) > 1 else 1
    places = []
    y = 0.0
    for start in range(0, len(sizes), abreast):
        band = sizes[start : start + abreast]
        places += [(i * WIDTH / 2, y) for i in range(len(band))]
        y += -(-max(band) // _COLUMNS) * (height + _LABEL + _GAP) + _BAND
    return places, y - _BAND


def _grid(members: NDArray[np.intp], first: Box) -> Iterator[tuple[Box, int]]:
    """The box of each map, under room for its channel's number."""
    for place, i in enumerate(members.tolist()):
        row, column = divmod(place, _COLUMNS)
        x = first.x + column * (first.width + _GAP)
        y = first.y + _LABEL + row * (first.height + _LABEL + _GAP)
        yield Box(x, y, first.width, first.height), i


def _rivals(canvas: Canvas, box: Box, modules: Sequence[int]) -> None:
    """Name the other modules in the map's lower left corner."""
    if not modules:
        return
    words = f"or {', '.join(map(str, modules))}"
    width = min(box.width, 10 + 6.2 * len(words))
    badge = Box(box.x, box.y + box.height - 18, width, 18)
    canvas.block(badge, module_color(modules[0]), over=True)
    canvas.block(Box(badge.x + 2, badge.y + 2, width - 4, 14), "white", over=True)
    canvas.text(*badge.center, words, size=11, bold=True, align="center")


def _heading(canvas: Canvas, x: float, y: float, module: int, name: str, size: int) -> None:
    canvas.block(Box(x, y + _LABEL, 5, 38), module_color(module))
    canvas.text(x + 14, y + _LABEL + 9, name, size=14, bold=True)
    canvas.text(x + 14, y + _LABEL + 29, f"{size} channel{'s' * (size != 1)}", size=12, color=MUTED)


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
    height, width = _PANEL * np.array(region.shape) / max(region.shape)
    canvas = Canvas(2 * (_PANEL + _EDGE) + _APART, _TITLE + height + _BAR)
    inside = region >= min(0.5, float(region.max()))
    panels = (
        (f"Mean of all {len(maps)} channels", maps.mean(axis=0)),
        (f"Sum of the {len(found)} that were found", maps[found].sum(axis=0)),
    )
    for place, (title, values) in enumerate(panels):
        left = _EDGE + place * (_PANEL + _APART)
        box = Box(left + (_PANEL - width) / 2, _TITLE, width, height)
        high = spread([values])
        canvas.text(left, 12, title, size=14, bold=True)
        canvas.heat(values, box, MAP_COLORS, high, MAP_GAMMA)
        canvas.outline(inside, box)
        bar = Box(left, box.y + height + 26, _PANEL, 8)
        canvas.color_bar(bar, MAP_COLORS, high, "Influence, image units", MAP_GAMMA)
    return canvas.figure


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
    canvas = Canvas(WIDTH, _HEIGHT)
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
    canvas.text(WIDTH, 8, "% of the image range", size=12, color=MUTED, align="right")
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
    modules = _order(labels)
    step = min(92.0, _LEGEND.width / len(modules))
    x = _LEGEND.x + (_LEGEND.width - step * len(modules)) / 2
    for module in modules:
        name = "None" if module < 0 else f"Module {module}" if step > 80 else str(module)
        canvas.block(Box(x, _LEGEND.y, 11, 11), module_color(module))
        canvas.text(x + 17, _LEGEND.y + 6, name, size=12)
        x += step
