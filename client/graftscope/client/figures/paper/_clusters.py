"""Modules: templates, exemplary maps and hybrids of one level (Figs. 3 left, 6, 7 and 8), and what
the same number of modules gives at every level.

It must not know how modules are found or hybrids made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import (
    MAP_COLORS,
    TEMPLATE_COLORS,
    module_color,
)
from graftscope.client.figures.paper._marks import Floats, Integers
from graftscope.client.figures.paper._page import BLOCK, DOUBLE, FRAME, GAP, SINGLE, SMALL, Page
from graftscope.client.pictures import to_pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT = 70.0
_HEAD = 15.0
_BETWEEN = 22.0
_FEWEST = 6
_NARROWEST = 3
_SIZES = 80.0
_BENEATH = 20.0
_COUNT = 11.0
_NARROW = 3


@dataclass(frozen=True, eq=False)
class ClusterModule:
    """One module of a clustering.

    Args:
        channels: How many channels it has.
        template: (H, W) its template, not negative.
        examples: (m, H, W) influence maps of its channels, the purest first; m may differ between
            modules, and be 0.
        hybrids: (P, c, h, w) original 1 with this module from original 2.
    """

    channels: int
    template: Floats
    examples: Floats
    hybrids: Floats


@dataclass(frozen=True, eq=False)
class Clusters:
    """Input of `clusters`.

    Args:
        modules: K of them; the maps of all are (H, W).
        total: How many channels the layer has.
        original1: (P, c, h, w) what is changed, in the generator's range.
        original2: (P, c, h, w) what it takes from.
        image_range: (low, high) of the images.
    """

    modules: Sequence[ClusterModule]
    total: int
    original1: Floats
    original2: Floats
    image_range: tuple[float, float]


def clusters(found: Clusters) -> "Figure":
    """Draw a row a module (Fig. 3 left): template, exemplary influence maps, hybrids.

    A column of the hybrids is one pair, with original 1 and original 2 above. Templates and maps
    show where, not how much: each is drawn as a share of its own maximum, so that one scale serves
    a panel (the clustering sees no more than that: it thresholds each map by itself).

    Args:
        found: The modules, and the pairs.

    Returns:
        A figure of two columns' width; 6 to 8 pairs read best.

    Raises:
        ValueError: If the images have another shape.
        ReportExtraError: If matplotlib is not installed.
    """
    grid = _Grid(found)
    originals = (("Original 1", found.original1), ("Original 2", found.original2))
    for row, (name, images) in enumerate(originals):
        grid.pairs(row, images, found.image_range)
        grid.name(row, name)
    for module, values in enumerate(found.modules):
        grid.maps(module, values, found.total)
        grid.pairs(2 + module, values.hybrids, found.image_range)
    grid.headings()
    return grid.page.figure


class _Grid:
    """Where the rows and columns of the three panels lie."""

    def __init__(self, found: Clusters) -> None:
        examples = max(_NARROWEST, *(len(module.examples) for module in found.modules))
        pairs = max(_FEWEST, len(found.original1))
        free = DOUBLE - _LEFT - 2 * BLOCK - (examples - 1 + pairs - 1) * GAP - 2
        self._width: float = free / (1 + examples + pairs)
        rows, columns = found.original1.shape[2:]
        self._height: float = self._width * rows / columns
        self._examples = _LEFT + self._width + BLOCK
        self._pairs = self._examples + examples * (self._width + GAP) - GAP + BLOCK
        self.page = Page(DOUBLE, self._top(2 + len(found.modules)) - GAP + 2)

    def _top(self, row: int) -> float:
        return _HEAD + row * (self._height + GAP) + (_BETWEEN if row > 1 else 0)

    def _box(self, x: float, row: int) -> Box:
        return Box(x, self._top(row), self._width, self._height)

    def pairs(self, row: int, images: Floats, image_range: tuple[float, float]) -> None:
        """Draw one image of every pair."""
        for column, pixels in enumerate(to_pixels(images, image_range)):
            self.page.picture(pixels, self._box(self._pairs, row).beside(column, GAP))

    def name(self, row: int, words: str) -> None:
        """Write at the left of a row of pairs."""
        middle = self._box(0, row).center[1]
        self.page.write(self._pairs - 6, middle, words, align="right")

    def maps(self, module: int, values: ClusterModule, total: int) -> None:
        """Draw a module's name, template and exemplary maps."""
        template = self._box(_LEFT, 2 + module)
        middle = template.center[1]
        self.page.block(Box(0, template.y, 3, template.height), module_color(module))
        self.page.entitle(8, middle, f"Module {module}", f"{values.channels} of {total}")
        self.page.template(values.template, template, module, FRAME)
        for column, example in enumerate(values.examples):
            box = self._box(self._examples, 2 + module).beside(column, GAP)
            self.page.heat(example, box, MAP_COLORS, float(example.max()))

    def headings(self) -> None:
        """Name the panels, and draw the two scales in the corner that no row fills."""
        below = self._top(2) - 6
        self.page.letter(_LEFT, below, "a", "Template")
        self.page.letter(self._examples, below, "b", "Exemplary influence maps")
        self.page.letter(self._pairs, 10, "c", "Hybrids (original 1 with a module from 2)")
        self.page.write(0, 10, "Share of the map's maximum", points=SMALL, anchor="baseline")
        for y, colors, words in ((24, TEMPLATE_COLORS, "template"), (50, MAP_COLORS, "influence")):
            self.page.scale(Box(6, y, 74, 6), colors, 1.0)
            self.page.write(90, y + 3, words, points=SMALL)


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
    side = (width - _SIZES - BLOCK - 2 * (count - 1) * GAP - 4) / (2 * count)
    cell = Box(_SIZES + 2, 0, side, side * found.original1.shape[1] / found.original1.shape[2])
    second = cell.x + count * (side + GAP) - GAP + BLOCK
    first_row = _HEAD + cell.height + _BENEATH + 10
    step = cell.height + _COUNT + GAP
    page = Page(width, first_row + len(found.levels) * step + 2)
    _originals(page, found, cell._replace(x=second, y=_HEAD))
    page.letter(_SIZES, first_row - 7, "a", "Templates (channels)")
    page.letter(second, first_row - 7, "b", "Hybrids")
    page.write(0, 10, "Share of the template's maximum", points=SMALL, anchor="baseline")
    page.scale(Box(6, 18, 90, 6), TEMPLATE_COLORS, 1.0)
    for row, level in enumerate(found.levels):
        y = first_row + row * step
        page.entitle(0, y + cell.height / 2, level.level, f"{level.total} channels")
        _templates(page, level, cell._replace(y=y))
        _hybrids(page, level, found.image_range, cell._replace(x=second, y=y))
    return page.figure


def _originals(page: Page, found: Levels, first: Box) -> None:
    pair = to_pixels(np.stack([found.original1, found.original2]), found.image_range)
    for i, pixels in enumerate(pair):
        box = first.beside(i, GAP)
        page.picture(pixels, box)
        page.write(box.center[0], 10, str(i + 1), align="center", anchor="baseline")
    page.write(first.x - 6, first.center[1], "Originals", align="right")


def _templates(page: Page, level: LevelModules, first: Box) -> None:
    for module, template in enumerate(level.templates):
        box = first.beside(module, GAP)
        page.template(template, box, module, FRAME)
        page.below(box, str(level.channels[module]))


def _hybrids(page: Page, level: LevelModules, image_range: tuple[float, float], first: Box) -> None:
    for module, pixels in enumerate(to_pixels(level.hybrids, image_range)):
        box = first.beside(module, GAP)
        page.frame(box, module_color(module), FRAME)
        page.picture(pixels, box)
