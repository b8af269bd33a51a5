"""A figure to the two files that a journal takes. It must not know which figure it is."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

PNG_DPI = 300
"""Pixels an inch of the PNG, and of photographs and maps in the PDF."""

MARGIN = 0.05
"""Inches around a figure, so that nothing touches the edge."""


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
    # Its errors bring gRPC along, which drawing has no use for.
    from graftscope.client.arrays import write_bytes

    png = stem.with_name(f"{stem.name}.png")
    pdf = stem.with_name(f"{stem.name}.pdf")
    write_bytes(png, _png(figure))
    write_bytes(pdf, _pdf(figure))
    return png, pdf


def _png(figure: "Figure") -> bytes:
    drawn = io.BytesIO()
    figure.savefig(
        drawn,
        format="png",
        dpi=PNG_DPI,
        bbox_inches=_with_margin(figure),
        metadata={"Software": None},
        pil_kwargs={"compress_level": 1},
    )
    opaque = io.BytesIO()
    resolution = (PNG_DPI, PNG_DPI)
    Image.open(drawn).convert("RGB").save(opaque, format="PNG", dpi=resolution, compress_level=7)
    return opaque.getvalue()


def _pdf(figure: "Figure") -> bytes:
    from matplotlib import rc_context

    drawn = io.BytesIO()
    # 42 is TrueType: journals refuse the default, Type 3. Pictures stay apart, so that an editor
    # can move them.
    with rc_context({"pdf.fonttype": 42, "image.composite_image": False}):
        figure.savefig(
            drawn,
            format="pdf",
            dpi=PNG_DPI,
            bbox_inches=_with_margin(figure),
            metadata={"CreationDate": None, "Creator": None, "Producer": None},
        )
    return drawn.getvalue()


def _with_margin(figure: "Figure") -> "Bbox":
    """The figure's area in inches, a little wider on every side."""
    from matplotlib.transforms import Bbox

    width, height = figure.get_size_inches()
    return Bbox([[-MARGIN, -MARGIN], [width + MARGIN, height + MARGIN]])
