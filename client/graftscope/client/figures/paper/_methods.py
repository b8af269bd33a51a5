"""Ways of clustering compared, where images are not aligned (section 5 on CIFAR-10).

It must not know how any of them clusters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import MUTED, TEMPLATE_COLORS, module_color
from graftscope.client.figures.paper._marks import METHODS, Floats, Integers, mark_of
from graftscope.client.figures.paper._page import DOUBLE, GAP, SMALL, Page
from graftscope.client.figures.paper._stability import draw_chance, draw_methods, legend_of_methods

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLOT = Box(40, 52, 360, 172)
_NAMES = 430.0
_TEMPLATES = 492.0
_TOP = 23.0
_BAR = 40.0
_LARGEST = 56.0


@dataclass(frozen=True, eq=False)
class Methods:
    """Input of `methods`.

    Args:
        k: (n,) numbers of modules.
        methods: M names out of nmf, kmeans, pca, spectral.
        consistency: (M, n, R) share of channels with one label in both runs; NaN where a run did
            not settle.
        chance: (M, n) consistency of permuted labels.
        suggested: (M,) the K that each method's consistency suggests.
        templates: (M, K, H, W) of one K, not negative.
        channels: (M, K) how many channels each module has.
    """

    k: Integers
    methods: Sequence[str]
    consistency: Floats
    chance: Floats
    suggested: Integers
    templates: Floats
    channels: Integers


def methods(found: Methods) -> "Figure":
    """Draw label consistency of several ways of clustering, and the templates that they find.

    Args:
        found: Consistency of every repeat, and templates of one K.

    Returns:
        A figure of two columns' width. a: as in `stability`; b: a row a method, each template as a
        share of its maximum, its number of channels below.

    Raises:
        ReportExtraError: If matplotlib is not installed.
        ValueError: If a method is not known.
    """
    count, k, height, width = found.templates.shape
    step = (DOUBLE - _TEMPLATES - 2 + GAP) / k
    side = min(step - GAP, _LARGEST)
    row = side * height / width + 15
    page = Page(DOUBLE, max(_TOP + count * row + _BAR, _PLOT.y + _PLOT.height + 32))
    page.key(legend_of_methods(found.methods), 24, 4, columns=3)
    page.letter(0, 14, "a")
    plot = _PLOT._replace(height=page.height - _PLOT.y - 30)
    axes = page.plot(plot, "Number of modules K", "Label consistency")
    draw_methods(axes, found.k, found.methods, found.consistency, found.suggested)
    draw_chance(axes, found.k, found.methods, found.chance)
    page.letter(_NAMES, 14, "b", f"Templates, K = {k}")
    for i, method in enumerate(found.methods):
        y = _TOP + i * row
        mark = mark_of(METHODS, method)
        page.write(_NAMES, y + row / 2 - 6, mark.name, color=mark.color, bold=True)
        for module in range(k):
            box = Box(_TEMPLATES + module * (side + GAP + 2), y, side, row - 15)
            _template(page, box, module, found.templates[i, module], int(found.channels[i, module]))
    bar = Box(_TEMPLATES, page.height - 20, 120, 6)
    page.scale(bar, TEMPLATE_COLORS, 1.0, "Share of the template's maximum")
    return page.figure


def _template(page: Page, box: Box, module: int, template: Floats, channels: int) -> None:
    page.frame(box, module_color(module), 1.4)
    page.heat(template, box, TEMPLATE_COLORS, float(template.max()))
    page.write(
        box.center[0],
        box.y + box.height + 6.5,
        str(channels),
        points=SMALL,
        color=MUTED,
        align="center",
    )
