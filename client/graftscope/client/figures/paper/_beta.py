"""Reconstructions and hybrids with β and with a tenth of it (Fig. 6).

It must not know how sharpness or overlay are measured.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import INK
from graftscope.client.figures.paper._marks import Estimate, Floats
from graftscope.client.figures.paper._page import BODY, DOUBLE, GAP, Page, error_bars, level_line
from graftscope.client.pictures import to_pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT = 40.0
_PLOTS = 268.0
_HEAD = 20.0
_COLORS = ("#88a0b8", "#dd8844")
_NAMES = ("β", "β/10")
_FEWEST = 5


@dataclass(frozen=True, eq=False)
class Beta:
    """Input of `beta`.

    Args:
        images: (N, c, h, w) held-out images, in the generators' range; None where there are none.
        default: (N, c, h, w) their reconstructions with β; samples where there are no images.
        tenth: (N, c, h, w) the same with β/10.
        image_range: (low, high) of the images.
        sharpness: (2,) gradient energy of reconstructions over that of the images, with β and with
            β/10; 1 is as sharp. Without images, of samples over those with β.
        overlay: (2,) how far hybrids show the hair of both originals, likewise; 0 is not at all.
    """

    images: Floats | None
    default: Floats
    tenth: Floats
    image_range: tuple[float, float]
    sharpness: Estimate
    overlay: Estimate


def beta(found: Beta) -> "Figure":
    """Draw what a tenth of β changes (Fig. 6): reconstructions, sharpness, overlay of hair.

    Args:
        found: Images and the two measures.

    Returns:
        A figure of two columns' width; about six images read best.

    Raises:
        ValueError: If the images have another shape.
        ReportExtraError: If matplotlib is not installed.
    """
    count = max(_FEWEST, len(found.default))
    side = (DOUBLE - _LEFT - _PLOTS - (count - 1) * GAP) / count
    height = side * found.default.shape[2] / found.default.shape[3]
    rows = [(_NAMES[0], found.default), (_NAMES[1], found.tenth)]
    if found.images is not None:
        rows.insert(0, ("Image", found.images))
    page = Page(DOUBLE, max(150.0, _HEAD + len(rows) * (height + GAP)))
    page.letter(0, 13, "a", "Samples" if found.images is None else "Reconstructions")
    for row, (name, images) in enumerate(rows):
        y = _HEAD + row * (height + GAP)
        page.write(0, y + height / 2, name)
        for column, pixels in enumerate(to_pixels(images, found.image_range)):
            page.picture(pixels, Box(_LEFT + column * (side + GAP), y, side, height))
    left = DOUBLE - _PLOTS + 62
    one = "β" if found.images is None else "real"
    plots = ((f"Sharpness, {one} = 1", found.sharpness), ("Overlay score", found.overlay))
    for i, (name, estimate) in enumerate(plots):
        box = Box(left + i * 132, _HEAD + 4, 72, page.height - _HEAD - 26)
        page.letter(box.x - 44, 13, "bc"[i])
        _bars(page, box, name, estimate, one=i == 0)
    return page.figure


def _bars(page: Page, box: Box, name: str, estimate: Estimate, *, one: bool) -> None:
    axes = page.plot(box, "", name)
    axes.bar(np.arange(2), estimate.value, width=0.62, color=_COLORS, zorder=2)
    error_bars(axes, np.arange(2), estimate, INK)
    axes.set_xticks(np.arange(2), _NAMES)
    axes.tick_params(axis="x", length=0, labelsize=BODY)
    axes.locator_params(axis="y", nbins=5)
    axes.set_xlim(-0.6, 1.6)
    if one:
        level_line(axes, 1.0)
        axes.set_ylim(0, max(1.08, axes.get_ylim()[1]))
