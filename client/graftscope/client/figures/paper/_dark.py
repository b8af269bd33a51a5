"""A figure for a dark page: ground dark, strokes and words light, pictures and maps unchanged.

It must not know which figure it is.
"""

import colorsys
from typing import TYPE_CHECKING

from graftscope.client.figures.paper._page import write_png

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

GROUND = "#16191d"
"""The ground of a dark report."""

_GREY = 0.12
_LIGHT = 0.62


def save_dark(figure: "Figure", stem: "Path") -> "Path":
    """Write a figure as a PNG for a dark page; the figure itself stays dark.

    Args:
        figure: Any figure of this package.
        stem: As in `save`.

    Returns:
        ``stem-dark.png``, of 300 dpi.

    Raises:
        OutputError: If the file cannot be written.
    """
    path = stem.with_name(f"{stem.name}-dark.png")
    darken(figure)
    write_png(figure, path)
    return path


def darken(figure: "Figure") -> None:
    """Swap light and dark in everything but pictures and maps, in place."""
    from matplotlib.collections import Collection
    from matplotlib.colors import to_rgba_array
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.text import Text

    for artist in figure.findobj():
        match artist:
            case Text():
                artist.set_color(lit(artist.get_color()))
            case Line2D():
                face, edge = artist.get_markerfacecolor(), artist.get_markeredgecolor()
                artist.set_color(lit(artist.get_color()))
                artist.set_markerfacecolor(lit(face))
                artist.set_markeredgecolor(lit(edge))
            case Patch():
                face, edge = artist.get_facecolor(), artist.get_edgecolor()
                artist.set_facecolor(lit(face))
                artist.set_edgecolor(lit(edge))
            case Collection() if artist.get_array() is None:
                faces, edges = artist.get_facecolor(), artist.get_edgecolor()
                artist.set_facecolor([lit(each) for each in to_rgba_array(faces)])
                artist.set_edgecolor([lit(each) for each in to_rgba_array(edges)])


def lit(color: object) -> tuple[float, float, float, float]:
    """A colour as it is on a dark ground: greys turned over, others light enough to be seen.

    Args:
        color: Anything that matplotlib takes for a colour.

    Returns:
        Red, green, blue and opacity, 0 to 1; what is transparent stays so.
    """
    from matplotlib.colors import to_rgba

    red, green, blue, opacity = to_rgba(color)  # type: ignore[arg-type]
    if (red, green, blue) == (1.0, 1.0, 1.0):
        return (*to_rgba(GROUND)[:3], opacity)
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    grey = max(red, green, blue) - min(red, green, blue) < _GREY
    light = 0.09 + 0.83 * (1 - light) if grey else max(light, _LIGHT)
    return (*colorsys.hls_to_rgb(hue, light, saturation), opacity)
