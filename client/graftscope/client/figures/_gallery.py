"""The gallery of influence maps (section 3.2, Fig. 2b). It must not know how they were computed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures._canvas import MAP_GAMMA, Box, Canvas, spread
from graftscope.client.figures._palette import MAP_COLORS, MUTED, module_color

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 1080
_LEFT = 130
_GAP = 9
_COLUMNS = 10
_FEWEST = 4
_LABEL = 18
_BAND = 16
_SCALE = 58


def gallery_figure(
    maps: NDArray[np.floating],
    labels: NDArray[np.integer],
    individual: NDArray[np.floating],
    channels: NDArray[np.integer],
    *,
    limit: int = 32,
) -> "Figure":
    """Draw the strongest channels' influence maps, module by module, on one colour scale.

    Args:
        maps: (C, H, W) mean absolute differences in image units.
        labels: (C,) module of each channel, -1 for none.
        individual: (C,) mean of each map over its pixels: the order within a module.
        channels: (C,) index of each channel in its layer, written above its map.
        limit: About so many maps in all; every module gets an equal share of them, but at least
            four. A module with fewer channels leaves its places empty.

    Returns:
        A matplotlib figure, 1,080 layout pixels wide: rows of ten maps for each module (many
        modules stand two abreast), framed in its colour.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    share = max(_FEWEST, limit // len(set(labels.tolist())))
    groups = [(module, _strongest(labels, individual, module, share)) for module in _order(labels)]
    width = (_WIDTH - _LEFT - (_COLUMNS - 1) * _GAP - 4) / _COLUMNS
    height = width * maps.shape[1] / maps.shape[2]
    places, bottom = _places([len(members) for _, members in groups], share, height)
    canvas = Canvas(_WIDTH, bottom + _SCALE)
    high = spread([maps[members] for _, members in groups])
    for (module, members), (x, y) in zip(groups, places, strict=True):
        _heading(canvas, x, y, module, int(np.sum(labels == module)))
        for box, i in _grid(members, Box(x + _LEFT, y, width, height)):
            canvas.heat(maps[i], box, MAP_COLORS, high, MAP_GAMMA)
            canvas.frame(box, module_color(module))
            canvas.text(box.x, box.y - 5, str(channels[i]), size=11, anchor="bottom")
    label = "mean change of a pixel when this one channel is grafted, in image units"
    scale = Box(_LEFT, bottom + 24, 440, 9)
    canvas.color_bar(scale, MAP_COLORS, high, label, MAP_GAMMA)
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
        places += [(i * _WIDTH / 2, y) for i in range(len(band))]
        y += -(-max(band) // _COLUMNS) * (height + _LABEL + _GAP) + _BAND
    return places, y - _BAND


def _grid(members: NDArray[np.intp], first: Box) -> Iterator[tuple[Box, int]]:
    """The box of each map, under room for its channel's number."""
    for place, i in enumerate(members.tolist()):
        row, column = divmod(place, _COLUMNS)
        x = first.x + column * (first.width + _GAP)
        y = first.y + _LABEL + row * (first.height + _LABEL + _GAP)
        yield Box(x, y, first.width, first.height), i


def _heading(canvas: Canvas, x: float, y: float, module: int, size: int) -> None:
    canvas.block(Box(x, y + _LABEL, 5, 38), module_color(module))
    name = "In no module" if module < 0 else f"Module {module}"
    canvas.text(x + 14, y + _LABEL + 9, name, size=14, bold=True)
    canvas.text(x + 14, y + _LABEL + 29, f"{size} channel{'s' * (size != 1)}", size=12, color=MUTED)
