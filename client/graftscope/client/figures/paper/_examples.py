"""Representative influence maps, level by level (Fig. 2b). It must not know how they were made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import MAP_COLORS, MUTED
from graftscope.client.figures.paper._marks import Floats, Integers
from graftscope.client.figures.paper._page import DOUBLE, GAP, SMALL, Page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT = 82.0
_BAR = 42.0
_TOP = 14.0
_FEWEST = 6
_GAMMA = 0.5


@dataclass(frozen=True, eq=False)
class LevelExamples:
    """Maps of some channels of one layer.

    Args:
        level: Of the layer.
        channels: (n,) index of each channel, from 0.
        maps: (n, H, W) influence, as a share of the image range, 0 to 1.
        individual: (n,) individual influence, likewise.
        total: How many channels the layer has.
    """

    level: str
    channels: Integers
    maps: Floats
    individual: Floats
    total: int


@dataclass(frozen=True, eq=False)
class InfluenceExamples:
    """Input of `influence_examples`.

    Args:
        levels: One a row, the coarsest first; all with maps of one size.
    """

    levels: Sequence[LevelExamples]


def influence_examples(examples: InfluenceExamples) -> "Figure":
    """Draw representative influence maps (Fig. 2b): a row a level, lighter is stronger.

    Every row has a colour scale of its own, from 0 to the strongest pixel of its maps: a channel's
    influence is about 1 over the number of channels, which differs eightfold between levels, so
    that on one scale the levels with many channels would be black. Within a row, maps compare.
    Colours follow the square root of influence, for within a layer it differs tenfold too.

    Args:
        examples: The maps, channel numbers and individual influences.

    Returns:
        A figure of two columns' width; above each map the channel and its individual influence in
        per cent of the image range.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    columns = max(_FEWEST, *(len(level.maps) for level in examples.levels))
    width = (DOUBLE - _LEFT - _BAR - (columns - 1) * GAP) / columns
    shape = examples.levels[0].maps.shape[1:]
    height = width * shape[0] / shape[1]
    step = height + _TOP + GAP
    page = Page(DOUBLE, 14 + len(examples.levels) * step + 4)
    page.write(_LEFT, 6, "channel, and its individual influence", points=SMALL, color=MUTED)
    page.write(DOUBLE, 6, "% of image range", points=SMALL, color=MUTED, align="right")
    for row, level in enumerate(examples.levels):
        page.letter(0, 14 + row * step + _TOP - 3, chr(ord("a") + row))
        _row(page, level, Box(_LEFT, 14 + row * step + _TOP, width, height))
    return page.figure


def _row(page: Page, level: LevelExamples, first: Box) -> None:
    middle = first.center[1]
    page.entitle(0, middle, level.level, f"{level.total} channels")
    high = 100 * float(level.maps.max())
    for i, channel in enumerate(level.channels.tolist()):
        box = first.beside(i, GAP)
        page.heat(100 * level.maps[i], box, MAP_COLORS, high, _GAMMA)
        page.write(box.x, box.y - 3, str(channel), points=SMALL, anchor="bottom")
        share = _percent(float(level.individual[i]))
        right, y = box.x + box.width, box.y - 3
        page.write(right, y, share, points=SMALL, color=MUTED, align="right", anchor="bottom")
    bar = Box(DOUBLE - _BAR + 8, first.y, 7, first.height)
    page.scale(bar, MAP_COLORS, high, gamma=_GAMMA)


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.2f}%" if percent < 1 else f"{percent:.1f}%"
