"""Arrays of images to one PNG, with nothing but numpy and Pillow.

This is what ``generate --out x.png`` and ``hybridize --out x.png`` draw with, so it belongs to the
base install: it must not know matplotlib, gRPC or the rest of the client.

Axis letters: N images, c colours (1, 3 or 4), H, W pixels.
"""

import io
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GAP = 6
"""White pixels between two images, and around the whole grid."""

_LABEL_SIZE = 16
_LABEL_GAP = 12
_HEADING = 24
_INK = (38, 42, 48)
_PAPER = (255, 255, 255)
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
}


def to_pixels(images: NDArray[np.floating], image_range: tuple[float, float]) -> NDArray[np.uint8]:
    """Turn a generator's images into bytes that can be shown.

    Args:
        images: (N, c, H, W) in the generator's own range, c = 1 (grey), 3 (RGB) or 4 (RGB and
            opacity).
        image_range: (low, high); what lies outside is clipped.

    Returns:
        (N, H, W, 3) uint8; grey images have three equal colours, transparent ones lie on white.

    Raises:
        ValueError: If the shape is another one, or low is not below high.
    """
    low, high = image_range
    if not low < high:
        raise ValueError(f"image range ({low:g}, {high:g}) is empty: low must be below high")
    if images.ndim != 4 or images.shape[1] not in (1, 3, 4):
        raise ValueError(
            f"images have shape {images.shape}; they must be (N, c, H, W) with c = 1, 3 or 4"
        )
    unit = np.clip((images.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    if unit.shape[1] == 4:
        opacity = unit[:, 3:]
        unit = unit[:, :3] * opacity + (1.0 - opacity)
    pixels = np.rint(np.moveaxis(unit, 1, -1) * 255).astype(np.uint8)  # (N, H, W, c)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:-1], 3)))


def in_rows(images: NDArray[np.floating], columns: int = 8) -> list[NDArray[np.floating]]:
    """Cut a batch of images into rows for `image_grid_png`.

    Args:
        images: (N, c, H, W).
        columns: Images a row, at least 1; the last row may be shorter.

    Returns:
        Views of ``images``, each (n, c, H, W) with n at most ``columns``.

    Raises:
        ValueError: If ``columns`` is below 1.
    """
    if columns < 1:
        raise ValueError(f"{columns} columns: a row holds at least 1 image")
    return [images[start : start + columns] for start in range(0, len(images), columns)]


def image_grid_png(
    rows: Sequence[NDArray[np.floating]],
    labels: Sequence[str] = (),
    *,
    headings: Sequence[str] = (),
    image_range: tuple[float, float],
    min_side: int = 128,
    resample: Literal["nearest", "lanczos"] = "lanczos",
) -> bytes:
    """Draw rows of images, small ones enlarged by an integer factor, on white.

    Args:
        rows: Each (n, c, H, W) in the generator's own range; H and W are the same everywhere,
            n may differ from row to row.
        labels: One for each row, drawn to its left; or none at all.
        headings: Over the first columns; or none at all.
        image_range: (low, high) of the generator's images.
        min_side: The factor is the smallest that makes the shorter side this many pixels.
        resample: How to enlarge: ``nearest`` shows the pixels, ``lanczos`` smooths them.

    Returns:
        The bytes of a PNG file (RGB, 8 bits).

    Raises:
        ValueError: If there is no image, sizes differ, or labels and rows differ in number.
    """
    return _png(
        image_grid(
            rows,
            labels,
            headings=headings,
            image_range=image_range,
            min_side=min_side,
            resample=resample,
        )
    )


def image_grid(
    rows: Sequence[NDArray[np.floating]],
    labels: Sequence[str] = (),
    *,
    headings: Sequence[str] = (),
    image_range: tuple[float, float],
    min_side: int = 128,
    resample: Literal["nearest", "lanczos"] = "lanczos",
) -> Image.Image:
    """Draw what `image_grid_png` writes."""
    tiles = [to_pixels(row, image_range) for row in rows]
    height, width = _common_size(tiles)
    if labels and len(labels) != len(rows):
        raise ValueError(f"{len(labels)} labels for {len(rows)} rows: give one a row, or none")
    factor = max(1, -(-min_side // min(height, width)))
    size = (width * factor, height * factor)
    margin, top = _label_margin(labels), _HEADING if headings else 0
    columns = max(len(row) for row in tiles)
    canvas = Image.new(
        "RGB",
        (margin + columns * (size[0] + GAP) + GAP, top + len(tiles) * (size[1] + GAP) + GAP),
        _PAPER,
    )
    for pixels, x, y in _placed(tiles, size, margin):
        canvas.paste(Image.fromarray(pixels).resize(size, _FILTERS[resample]), (x, top + y))
    _draw_labels(canvas, labels, size[1], top)
    _draw_headings(canvas, headings, size[0], margin)
    return canvas


def _common_size(tiles: Sequence[NDArray[np.uint8]]) -> tuple[int, int]:
    sizes = {row.shape[1:3] for row in tiles}
    if sum(len(row) for row in tiles) == 0:
        raise ValueError("there is no image to draw")
    if len(sizes) > 1:
        raise ValueError(f"images of one grid have one size, these have {sorted(sizes)}")
    height, width = sizes.pop()
    if min(height, width) < 1:
        raise ValueError(f"images of {height} x {width} pixels cannot be drawn")
    return height, width


def _placed(
    tiles: Sequence[NDArray[np.uint8]], size: tuple[int, int], margin: int
) -> Iterator[tuple[NDArray[np.uint8], int, int]]:
    """Every image with the position of its upper left corner."""
    for i, row in enumerate(tiles):
        for j, pixels in enumerate(row):
            yield pixels, margin + GAP + j * (size[0] + GAP), GAP + i * (size[1] + GAP)


def _label_margin(labels: Sequence[str]) -> int:
    font = ImageFont.load_default(_LABEL_SIZE)
    widest = max((font.getlength(label) for label in labels), default=0.0)
    return int(np.ceil(widest)) + 2 * _LABEL_GAP if widest else 0


def _draw_labels(canvas: Image.Image, labels: Sequence[str], height: int, top: int) -> None:
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_LABEL_SIZE)
    for i, label in enumerate(labels):
        middle = top + GAP + i * (height + GAP) + height / 2
        draw.text((_LABEL_GAP, middle), label, fill=_INK, font=font, anchor="lm")


def _draw_headings(canvas: Image.Image, headings: Sequence[str], width: int, margin: int) -> None:
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_LABEL_SIZE)
    for i, heading in enumerate(headings):
        middle = margin + GAP + i * (width + GAP) + width / 2
        draw.text((middle, GAP + _HEADING / 2), heading, fill=_INK, font=font, anchor="mm")


def _png(canvas: Image.Image) -> bytes:
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
