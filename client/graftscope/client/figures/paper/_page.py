"""A page of a journal: column widths, sizes of type, the strokes that its figures share, and the
two files that a journal takes.

One layout pixel is a hundredth of an inch. It must not know which figure it is.
"""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from graftscope.client.arrays import write_bytes
from graftscope.client.figures._canvas import DPI, Box, Canvas, opaque_png, scale_of
from graftscope.client.figures._palette import INK, MUTED
from graftscope.client.figures.paper._marks import ErrorBars, Floats, Integers, Mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.transforms import Bbox

SINGLE = 335.0
"""Width of one column, 3.35 inches."""

DOUBLE = 690.0
"""Width of both columns, 6.9 inches."""

SMALL = 6.6
"""Points: numbers at ticks, notes. Nothing is smaller than 6.5."""

BODY = 7.2
"""Points: names of axes, legends, headings."""

LETTER = 9.0
"""Points: the letter of a panel."""

GAP = 4.0
"""Between the images of one block."""

BLOCK = 16.0
"""Between blocks of images."""

KEY = 22.0
"""Above the panels, for a legend of one line."""

FRAME = 1.6
"""Around a picture, in the colour of its module."""

_LINE = 0.7
_PIXELS = DPI / 72
PNG_DPI = 300
"""Pixels an inch of the PNG, and of photographs and maps in the PDF."""

MARGIN = 0.05
"""Inches around a figure, so that nothing touches the edge."""


class Page(Canvas):
    """A figure at its printed size."""

    def write(
        self,
        x: float,
        y: float,
        words: str,
        *,
        points: float = BODY,
        color: str = INK,
        bold: bool = False,
        align: Literal["left", "center", "right"] = "left",
        anchor: Literal["top", "center", "bottom", "baseline"] = "center",
    ) -> None:
        """Write ``words`` in type of so many points; otherwise as `Canvas.text`."""
        size = points * _PIXELS
        self.text(x, y, words, size=size, color=color, bold=bold, align=align, anchor=anchor)

    def letter(self, x: float, y: float, letter: str, words: str = "") -> None:
        """Name a panel: its letter in bold, and a heading on the same baseline."""
        self.write(x, y, letter, points=LETTER, bold=True, anchor="baseline")
        self.write(x + 14, y, words, anchor="baseline")

    def entitle(self, x: float, middle: float, name: str, note: str) -> None:
        """Name a row of images: its name in bold above the middle, a note below."""
        self.write(x, middle - 2, name, bold=True, anchor="bottom")
        self.write(x, middle + 2, note, points=SMALL, color=MUTED, anchor="top")

    def below(self, box: Box, words: str, distance: float = 7) -> None:
        """Write a note in the middle below an image."""
        y = box.y + box.height + distance
        self.write(box.center[0], y, words, points=SMALL, color=MUTED, align="center")

    def plot(self, box: Box, x_label: str = "", y_label: str = "") -> "Axes":
        """Add axes with thin lines at the left and below, ticks outside, and names."""
        axes = self.axes(box)
        axes.set_facecolor("none")
        axes.spines[["top", "right"]].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(MUTED)
            axes.spines[side].set_linewidth(_LINE)
        axes.tick_params(
            labelsize=SMALL, length=2.5, width=_LINE, pad=2, color=MUTED, labelcolor=INK
        )
        axes.set_xlabel(x_label, fontsize=BODY, color=INK, labelpad=2.5)
        axes.set_ylabel(y_label, fontsize=BODY, color=INK, labelpad=3)
        return axes

    def key(self, entries: Sequence["Line2D"], x: float, y: float, columns: int) -> None:
        """Draw a legend with its upper left corner at (x, y)."""
        self.figure.legend(
            handles=entries,
            loc="upper left",
            bbox_to_anchor=(x / self.width, 1 - y / self.height),
            ncols=columns,
            frameon=False,
            fontsize=BODY,
            labelcolor=INK,
            borderaxespad=0,
            borderpad=0,
            handlelength=2.0,
            handletextpad=0.5,
            labelspacing=0.35,
            columnspacing=1.3,
        )

    def scale(
        self, box: Box, colors: str, high: float, label: str = "", gamma: float = 1.0
    ) -> None:
        """Draw a colour bar from 0 to ``high``: upright if the box is, its label above.

        Its ticks are both ends and the middle colour.
        """
        norm = scale_of(high, gamma)
        top = norm.vmax or 1.0
        bar = self._bar(box, colors, norm, [0.0, top * 0.5 ** (1 / gamma), top], "{x:.2g}")
        bar.tick_params(
            labelsize=SMALL, length=2, width=_LINE, pad=1.5, color=MUTED, labelcolor=INK
        )
        self.write(box.x, box.y - 4, label, points=SMALL, anchor="bottom")


def points(
    axes: "Axes",
    x: Floats | Integers,
    y: Floats | Integers,
    mark: Mark,
    *,
    line: bool = True,
    size: float = 3.4,
    zorder: float = 3,
) -> None:
    """Draw points, joined by a line if asked for; ``size`` of the marker is in points."""
    axes.plot(
        x,
        y,
        color=mark.color,
        marker=mark.marker,
        markersize=size,
        markeredgewidth=0,
        linewidth=1.0,
        linestyle="-" if line else "none",
        zorder=zorder,
    )


def points_with_errors(
    axes: "Axes",
    places: Floats | Integers,
    found: ErrorBars,
    mark: Mark,
    *,
    line: bool = True,
    size: float = 3.4,
    across: bool = False,
) -> None:
    """Draw points with error bars upwards and downwards, joined by a line if asked for.

    Args:
        axes: Where.
        places: (n,) on the x axis.
        found: (n,) on the y axis.
        mark: Colour and marker.
        line: Whether to join them.
        size: Of the marker, in points.
        across: Whether to swap both axes.
    """
    known = np.isfinite(found.value)
    place, value = places[known], found.value[known]
    x, y = (value, place) if across else (place, value)
    points(axes, x, y, mark, line=line, size=size)
    error_bars(axes, places, found, mark.color, across=across)


def error_bars(
    axes: "Axes", places: Floats | Integers, found: ErrorBars, color: str, *, across: bool = False
) -> None:
    """Draw the error bars alone, upwards and downwards, or to both sides if ``across``."""
    known = np.isfinite(found.value) & np.isfinite(found.error)
    value, error = found.value[known], found.error[known]
    axes.errorbar(
        value if across else places[known],
        places[known] if across else value,
        xerr=error if across else None,
        yerr=None if across else error,
        fmt="none",
        ecolor=color,
        elinewidth=0.8,
        capsize=1.3,
        capthick=0.8,
        zorder=3,
    )


def hold_bars(axes: "Axes") -> None:
    """Widen the limits of axes until no error bar is cut off."""
    from matplotlib.collections import LineCollection

    ends = [
        segment
        for each in axes.collections
        if isinstance(each, LineCollection)
        for segment in each.get_segments()
    ]
    if not ends:
        return
    x, y = np.concatenate(ends).T
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    wide, high = 0.02 * abs(right - left), 0.02 * abs(top - bottom)
    if x.min() < left or x.max() > right:
        axes.set_xlim(min(left, x.min() - wide), max(right, x.max() + wide))
    if y.min() < min(bottom, top) or y.max() > max(bottom, top):
        axes.set_ylim(min(bottom, y.min() - high), max(top, y.max() + high))


def level_line(axes: "Axes", height: float, color: str = MUTED) -> None:
    """Draw a thin dashed line across, for a value that needs no axis of its own."""
    axes.axhline(height, color=color, linewidth=_LINE, linestyle=(0, (4, 3)), zorder=1)


def entry(
    mark: Mark, *, name: str = "", line: Literal["-", "--", ":", "none"] = "-", filled: bool = True
) -> "Line2D":
    """One line of a legend; without ``name``, the mark's own."""
    from matplotlib.lines import Line2D

    return Line2D(
        [],
        [],
        color=mark.color,
        marker=mark.marker,
        markersize=3.4 if filled else 6.5,
        markerfacecolor=mark.color if filled else "none",
        markeredgewidth=0 if filled else 0.9,
        linewidth=1.0,
        linestyle=line,
        label=name or mark.name,
    )


def dodged(places: Iterable[float], index: int, count: int, width: float) -> Floats:
    """Move the places of one of ``count`` series aside, so that error bars lie side by side."""
    return np.asarray(list(places), dtype=np.float64) + (index - (count - 1) / 2) * width


def whole_ticks(axes: "Axes", values: Iterable[int]) -> None:
    """Put one tick at each of the whole numbers on the x axis, and a little room around them."""
    ticks = sorted(set(values))
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlim(ticks[0] - 0.5, ticks[-1] + 0.5)


def range_shown(shares: Iterable[ErrorBars]) -> tuple[float, float]:
    """From where to where an axis of shares must reach, so that no error bar is cut off.

    Args:
        shares: Of all panels that share the axis.

    Returns:
        A whole number of tenths, up to 0.9, below all points with their error bars; and a little
        above 1 and all of them.
    """
    given = list(shares)
    lows = [np.nanmin(one.value - np.nan_to_num(one.error)) for one in given]
    highs = [np.nanmax(one.value + np.nan_to_num(one.error)) for one in given]
    low = min(0.9, float(np.floor(10 * min(lows) - 0.2) / 10))
    top = max(1.0, float(max(highs)))
    return low, top + (top - low) / 15


def save(figure: "Figure", stem: Path) -> tuple[Path, Path]:
    """Write a figure as PNG and as PDF; the same numbers give the same bytes.

    Args:
        figure: Any figure of this package.
        stem: The path without the ending; its folder must exist. Files there are replaced.

    Returns:
        ``stem.png``, of 300 dpi without an alpha channel, and ``stem.pdf``, with TrueType fonts
        embedded and no date.

    Raises:
        OutputError: If a file cannot be written.
    """
    png = stem.with_name(f"{stem.name}.png")
    pdf = stem.with_name(f"{stem.name}.pdf")
    write_png(figure, png)
    write_bytes(pdf, _pdf(figure, _area(figure)))
    return png, pdf


def write_png(figure: "Figure", path: Path) -> None:
    """Write a figure with its margin as a PNG of 300 dpi.

    Raises:
        OutputError: If it cannot be written.
    """
    write_bytes(path, opaque_png(figure, PNG_DPI, _area(figure), (PNG_DPI, PNG_DPI)))


def _area(figure: "Figure") -> "Bbox":
    from matplotlib.transforms import Bbox

    width, height = figure.get_size_inches()
    return Bbox([[-MARGIN, -MARGIN], [width + MARGIN, height + MARGIN]])


def _pdf(figure: "Figure", area: "Bbox") -> bytes:
    from matplotlib import rc_context

    drawn = io.BytesIO()
    # 42 is TrueType: journals refuse the default, Type 3. Pictures stay apart, so that an editor
    # can move them.
    with rc_context({"pdf.fonttype": 42, "image.composite_image": False}):
        figure.savefig(
            drawn,
            format="pdf",
            dpi=PNG_DPI,
            bbox_inches=area,
            metadata={"CreationDate": None, "Creator": None, "Producer": None},
        )
    return drawn.getvalue()
