"""A sheet measured in CSS pixels from its upper left corner, on matplotlib's Agg backend.

Every figure is laid out on one; this is the only module that imports matplotlib, and it does so
when a sheet is made, never at import, so that the client runs without the extra ``report``.
It must not know which figure it is.
"""

import io
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftscope.client.figures._palette import INK, TEMPLATE_COLORS, module_color
from graftscope.client.pictures import color_steps, color_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

DPI = 100
"""Layout pixels an inch: one layout pixel is one CSS pixel when shown at natural size."""

WIDTH = 1080
"""Layout pixels of a figure that fills the page."""

SCALE = 2.0
"""Pixels of the PNG a layout pixel, for sharp print and dense screens."""

PHOTO_SCALE = 1.5
"""The same for grids of samples, whose 32 to 128 pixels are enlarged anyway: a smaller file."""

NOTEBOOK_SCALE = 1.25
"""The same in notebooks, which are kept with their pictures."""

MAP_GAMMA = 0.75
"""Colours of amounts follow value ** 0.75, so that weak places can be read beside strong ones."""

MARGIN = 16
"""Layout pixels around a figure that is written as a PNG, so that no label touches the edge."""

_POINTS = 72 / DPI


class ReportExtraError(ImportError):
    """A library of the extra ``report`` is not installed."""

    def __init__(self, library: str) -> None:
        """Name the library, and how to get it."""
        super().__init__(
            f"figures and reports need {library}, which is not installed: "
            "pip install 'graftscope[report]'",
            name=library,
        )


class Box(NamedTuple):
    """A rectangle of the sheet: upper left corner, width and height in layout pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def center(self) -> tuple[float, float]:
        """The point in its middle."""
        return self.x + self.width / 2, self.y + self.height / 2

    def beside(self, columns: int, gap: float) -> "Box":
        """The box so many columns further to the right."""
        return self._replace(x=self.x + columns * (self.width + gap))


class Canvas:
    """One figure, and the few strokes that all pictures of Graftscope are made of."""

    figure: "Figure"

    def __init__(self, width: float, height: float) -> None:
        """Make an empty white sheet of so many layout pixels.

        Raises:
            ReportExtraError: If matplotlib is not installed.
        """
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
        except ModuleNotFoundError as error:
            raise ReportExtraError("matplotlib") from error
        self.width = width
        self.height = height
        self.figure = _sheets()(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        self._sheet = self.figure.add_axes((0, 0, 1, 1))
        self._sheet.set_axis_off()
        self._sheet.set_autoscale_on(False)
        self._sheet.set_xlim(0, width)
        self._sheet.set_ylim(height, 0)

    def picture(self, pixels: NDArray[np.uint8], box: Box) -> None:
        """Draw an image, (H, W, 3) uint8, smoothed where it is enlarged."""
        self._sheet.imshow(
            pixels, extent=_extent(box), aspect="auto", interpolation="bicubic", zorder=1
        )

    def heat(
        self,
        values: NDArray[np.floating],
        box: Box,
        colors: str,
        high: float,
        gamma: float = 1.0,
    ) -> None:
        """Draw an (H, W) map, 0 to ``high`` in the named colours, its pixels as they are."""
        self._sheet.imshow(
            values,
            extent=_extent(box),
            aspect="auto",
            interpolation="nearest",
            cmap=colors,
            norm=scale_of(high, gamma),
            zorder=1,
        )

    def template(
        self,
        values: NDArray[np.floating],
        box: Box,
        module: int | None = None,
        width: float = 2.5,
    ) -> None:
        """Draw an (H, W) template, 0 to its own maximum, in a frame of its module's colour."""
        self.heat(values, box, TEMPLATE_COLORS, float(values.max()))
        if module is not None:
            self.frame(box, module_color(module), width)

    def frame(self, box: Box, color: str, width: float = 2.5) -> None:
        """Draw a frame around the box, outside of it; what fills the box covers the rest."""
        outer = Box(box.x - width, box.y - width, box.width + 2 * width, box.height + 2 * width)
        self.block(outer, color)

    def outline(self, inside: NDArray[np.bool_], box: Box) -> None:
        """Draw a line around pixels of an (H, W) map that fills the box: white on dark."""
        from matplotlib.collections import LineCollection

        edges = _edges(inside) / inside.shape[::-1]
        lines = edges * (box.width, box.height) + (box.x, box.y)
        for color, width in ((INK, 2.4), ("white", 1.2)):
            self._sheet.add_collection(
                LineCollection(
                    list(lines), colors=color, linewidths=width, capstyle="projecting", zorder=2
                ),
                autolim=False,
            )

    def block(self, box: Box, color: str, *, over: bool = False) -> None:
        """Fill the box, beneath pictures and maps, or over them."""
        from matplotlib.patches import Rectangle

        corner = (box.x, box.y)
        self._sheet.add_patch(
            Rectangle(
                corner, box.width, box.height, facecolor=color, linewidth=0, zorder=2 if over else 0
            )
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 12,
        color: str = INK,
        bold: bool = False,
        align: Literal["left", "center", "right"] = "left",
        anchor: Literal["top", "center", "bottom", "baseline"] = "center",
    ) -> None:
        """Write ``words``, ``size`` layout pixels high, as they are (no markup)."""
        self._sheet.text(
            x,
            y,
            words,
            fontsize=size * _POINTS,
            color=color,
            fontweight="bold" if bold else "normal",
            ha=align,
            va=anchor,
            linespacing=1.35,
            parse_math=False,
        )

    def arrow(self, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
        """Draw an arrow from one point to another."""
        self._sheet.annotate(
            "",
            xy=end,
            xytext=start,
            arrowprops={
                "arrowstyle": "-|>,head_length=0.45,head_width=0.22",
                "color": color,
                "linewidth": 1.6,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )

    def axes(self, box: Box) -> "Axes":
        """Add axes of matplotlib's own that fill the box."""
        return self.figure.add_axes(
            (
                box.x / self.width,
                1 - (box.y + box.height) / self.height,
                box.width / self.width,
                box.height / self.height,
            )
        )

    def color_bar(self, box: Box, colors: str, high: float, label: str, gamma: float = 1.0) -> None:
        """Draw a horizontal scale from 0 to ``high`` with its label above."""
        from matplotlib.ticker import MaxNLocator

        norm = scale_of(high, gamma)
        top = norm.vmax or 1.0
        ticks = [tick for tick in MaxNLocator(4).tick_values(0.0, top) if tick <= top]
        bar = self._bar(box, colors, norm, ticks, "{x:g}")
        bar.tick_params(labelsize=10.5 * _POINTS, length=3, width=0.7, color=INK, pad=2)
        self.text(box.x, box.y - 5, label, size=11, anchor="bottom")

    def _bar(
        self, box: Box, colors: str, norm: "PowerNorm", ticks: Sequence[float], numbers: str
    ) -> "Axes":
        """Add a bare colour bar, upright if its box is."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.ticker import StrMethodFormatter

        bar = self.figure.colorbar(
            ScalarMappable(norm, cmap=colors),
            cax=self.axes(box),
            orientation="vertical" if box.height > box.width else "horizontal",
            ticks=ticks,
            format=StrMethodFormatter(numbers),
        )
        bar.outline.set_linewidth(0)
        bar.minorticks_off()
        return bar.ax


@cache
def _sheets() -> "type[Figure]":
    """The class of all figures: a notebook shows them whether or not pyplot was ever imported."""
    from matplotlib.figure import Figure

    class Sheet(Figure):
        def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
            width, height = (round(each * DPI + 2 * MARGIN) for each in self.get_size_inches())
            return figure_png(self, NOTEBOOK_SCALE), {"width": width, "height": height}

    return Sheet


def colored(
    values: NDArray[np.floating], colors: str, high: float, gamma: float = 1.0
) -> NDArray[np.uint8]:
    """Colour a map.

    Args:
        values: (H, W).
        colors: The name of a colour map, `MAP_COLORS` or `TEMPLATE_COLORS`.
        high: The value of its last colour; the first one is that of 0.
        gamma: Colours follow (value / high) ** gamma.

    Returns:
        (H, W, 3) pixels.
    """
    return color_table(colors)[color_steps(values, high, gamma)]


def figure_png(figure: "Figure", scale: float = SCALE) -> bytes:
    """Return a figure as the bytes of a PNG file, without an alpha channel.

    Args:
        figure: Any of this package's figures.
        scale: Pixels of the PNG a layout pixel.

    Returns:
        The file, with `MARGIN` around the figure; the same figure gives the same bytes.

    Raises:
        ReportExtraError: If matplotlib is not installed.
    """
    try:
        from matplotlib.transforms import Bbox
    except ModuleNotFoundError as error:
        raise ReportExtraError("matplotlib") from error
    width, height = figure.get_size_inches()
    edge = MARGIN / DPI
    area = Bbox([[-edge, -edge], [width + edge, height + edge]])
    return opaque_png(figure, DPI * scale, area)


def opaque_png(
    figure: "Figure",
    dpi: float,
    area: "Bbox | None" = None,
    resolution: tuple[int, int] | None = None,
) -> bytes:
    """Draw a figure, or an area around it, as a PNG that may state its resolution."""
    drawn = io.BytesIO()
    figure.savefig(
        drawn,
        format="png",
        dpi=dpi,
        bbox_inches=area,
        metadata={"Software": None},
        pil_kwargs={"compress_level": 0},
    )
    # The sheet is opaque: without alpha the file is a quarter smaller. More than level 4 takes
    # almost three times as long for a twentieth less.
    opaque = io.BytesIO()
    Image.open(drawn).convert("RGB").save(opaque, format="PNG", dpi=resolution, compress_level=4)
    return opaque.getvalue()


def spread(maps: Sequence[NDArray[np.floating]] | NDArray[np.floating]) -> float:
    """The top of a shared colour scale: the 99.8th percentile, so that no one pixel sets it."""
    values = np.concatenate([np.ravel(one) for one in maps]) if len(maps) else np.zeros(1)
    return float(np.percentile(values, 99.8))


def _edges(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, 2, 2): both ends (x, y) of every straight line that parts inside from outside."""
    padded = np.pad(inside, 1)
    level = padded[1:, 1:-1] != padded[:-1, 1:-1]  # (H + 1, W)
    upright = padded[1:-1, 1:] != padded[1:-1, :-1]  # (H, W + 1)
    lines = [((x0, y), (x1, y)) for y, row in enumerate(level) for x0, x1 in _runs(row)]
    lines += [((x, y0), (x, y1)) for x, column in enumerate(upright.T) for y0, y1 in _runs(column)]
    return np.array(lines, np.float64).reshape(-1, 2, 2)


def _runs(flags: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(n, 2): where each stretch of true values begins, and where it has ended."""
    padded = np.pad(flags, 1)
    return np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2)


def scale_of(high: float, gamma: float) -> "PowerNorm":
    """Colours of 0 to ``high``, or to 1 where everything is 0."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(gamma, vmin=0.0, vmax=high if high > 0 else 1.0, clip=True)


def _extent(box: Box) -> tuple[float, float, float, float]:
    return box.x, box.x + box.width, box.y + box.height, box.y
