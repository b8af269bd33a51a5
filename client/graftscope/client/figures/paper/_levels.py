"""What the same number of modules gives at each level, coarse to fine.

It must not know how modules are found or hybrids made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import MUTED, TEMPLATE_COLORS, module_color
from graftscope.client.figures.paper._marks import Floats, Integers
from graftscope.client.figures.paper._page import BLOCK, DOUBLE, GAP, SINGLE, SMALL, Page
from graftscope.client.pictures import to_pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT = 80.0
_HEAD = 15.0
_BETWEEN = 20.0
_COUNT = 11.0
_NARROW = 3


@dataclass(frozen=True, eq=False)
class LevelModules:
    """The modules of one level.

    Args:
        level: Of the layer.
        total: How many channels the layer has.
        channels: (K,) how many each module has.
        templates: (K, H, W) not negative.
        hybrids: (K, c, h, w) original 1 with module k from original 2.
    """

    level: str
    total: int
    channels: Integers
    templates: Floats
    hybrids: Floats


@dataclass(frozen=True, eq=False)
class Levels:
    """Input of `levels`.

    Args:
        levels: One a row, the coarsest first; all with the same K, 2 or more.
        original1: (c, h, w) of the one pair that all hybrids are of, in the generator's range.
        original2: (c, h, w).
        image_range: (low, high) of the images.
    """

    levels: Sequence[LevelModules]
    original1: Floats
    original2: Floats
    image_range: tuple[float, float]


def levels(found: Levels) -> "Figure":
    """Draw templates and a hybrid of each module, a row a level.

    Args:
        found: Modules and hybrids of each level, all of one pair.

    Returns:
        A figure of one column's width (of two for K above 3). a: templates, each a share of its
        maximum, with the number of channels; b: hybrids of the pair above.

    Raises:
        ValueError: If the images have another shape.
        ReportExtraError: If matplotlib is not installed.
    """
    count = len(found.levels[0].templates)
    width = SINGLE if count <= _NARROW else DOUBLE
    side = (width - _LEFT - BLOCK - 2 * (count - 1) * GAP - 4) / (2 * count)
    cell = Box(_LEFT + 2, 0, side, side * found.original1.shape[1] / found.original1.shape[2])
    second = cell.x + count * (side + GAP) - GAP + BLOCK
    first_row = _HEAD + cell.height + _BETWEEN + 10
    step = cell.height + _COUNT + GAP
    page = Page(width, first_row + len(found.levels) * step + 2)
    _originals(page, found, cell._replace(x=second, y=_HEAD))
    page.letter(_LEFT, first_row - 7, "a", "Templates (channels)")
    page.letter(second, first_row - 7, "b", "Hybrids")
    page.write(0, 10, "Share of the template's maximum", points=SMALL, anchor="baseline")
    page.scale(Box(6, 18, 90, 6), TEMPLATE_COLORS, 1.0)
    for row, level in enumerate(found.levels):
        y = first_row + row * step
        _name(page, level, y + cell.height / 2)
        _templates(page, level, cell._replace(y=y))
        _hybrids(page, level, found.image_range, cell._replace(x=second, y=y))
    return page.figure


def _originals(page: Page, found: Levels, first: Box) -> None:
    pair = to_pixels(np.stack([found.original1, found.original2]), found.image_range)
    for i, pixels in enumerate(pair):
        box = _column(first, i)
        page.picture(pixels, box)
        page.write(box.center[0], 10, str(i + 1), align="center", anchor="baseline")
    page.write(first.x - 6, first.center[1], "Originals", align="right")


def _name(page: Page, level: LevelModules, middle: float) -> None:
    page.write(0, middle - 2, level.level, bold=True, anchor="bottom")
    page.write(0, middle + 2, f"{level.total} channels", points=SMALL, color=MUTED, anchor="top")


def _templates(page: Page, level: LevelModules, first: Box) -> None:
    for module, template in enumerate(level.templates):
        box = _column(first, module)
        page.frame(box, module_color(module), 1.6)
        page.heat(template, box, TEMPLATE_COLORS, float(template.max()))
        page.write(
            box.center[0],
            box.y + box.height + 7,
            str(level.channels[module]),
            points=SMALL,
            color=MUTED,
            align="center",
        )


def _hybrids(page: Page, level: LevelModules, image_range: tuple[float, float], first: Box) -> None:
    for module, pixels in enumerate(to_pixels(level.hybrids, image_range)):
        box = _column(first, module)
        page.frame(box, module_color(module), 1.6)
        page.picture(pixels, box)


def _column(first: Box, column: int) -> Box:
    return first._replace(x=first.x + column * (first.width + GAP))
