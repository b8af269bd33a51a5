"""A strip of strengths as pictures: side by side in a PNG, one after the other in an animation.

It must not know where the images come from.

Axis letters: S strengths, B pairs, c colours, H, W pixels.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftscope.client.pictures._grid import image_grid, image_grid_png

_FRAME_MS = 250
_HELD_MS = 900
"""The first and the last frame stay longer: they are what one compares."""

_COLUMNS = 4


def strip_png(
    images: NDArray[np.floating],
    names: Sequence[str],
    donor: NDArray[np.floating] | None,
    *,
    image_range: tuple[float, float],
) -> bytes:
    """Draw the strengths side by side, a row a pair, and original 2 at the end.

    Args:
        images: (S, B, c, H, W) in the generator's own range.
        names: The strengths, in words.
        donor: (B, c, H, W) original 2; None to leave it out.
        image_range: (low, high); what lies outside is clipped.

    Returns:
        The bytes of a PNG file.
    """
    columns = images if donor is None else np.concatenate([images, donor[np.newaxis]])
    rows = list(np.moveaxis(columns, 1, 0))  # (B, S or S + 1, c, H, W)
    first, *others = names
    headings = [f"strength {first}", *others, *(["original 2"] if donor is not None else [])]
    return image_grid_png(rows, headings=headings, image_range=image_range)


def strip_animation(
    images: NDArray[np.floating],
    names: Sequence[str],
    *,
    gif: bool,
    there_and_back: bool = False,
    image_range: tuple[float, float],
) -> bytes:
    """Show one strength after the other, all pairs at once, again and again.

    Args:
        images: (S, B, c, H, W) in the generator's own range.
        names: The strengths, in words.
        gif: A GIF, which has 256 colours a frame; else a WebP, which keeps every pixel.
        there_and_back: Whether the frames between the last and the first are shown again, on the
            way back.
        image_range: (low, high); what lies outside is clipped.

    Returns:
        The bytes of the file; S frames, or 2 S - 2 there and back. Those of the first and of the
        last strength are held.
    """
    frames = [
        _frame(each, f"strength {name}", image_range)
        for each, name in zip(images, names, strict=True)
    ]
    times = [_FRAME_MS] * len(frames)
    times[0] = times[-1] = _HELD_MS
    if gif:
        frames = [frame.quantize(256) for frame in frames]
    if there_and_back:
        frames, times = [*frames, *frames[-2:0:-1]], [*times, *times[-2:0:-1]]
    buffer = io.BytesIO()
    first, *others = frames
    form, beside = ("GIF", {"optimize": False}) if gif else ("WEBP", {"lossless": True})
    first.save(buffer, form, save_all=True, append_images=others, duration=times, loop=0, **beside)
    return buffer.getvalue()


def _frame(
    images: NDArray[np.floating], name: str, image_range: tuple[float, float]
) -> Image.Image:
    """One strength: pairs in rows, its name above the first."""
    columns = min(len(images), _COLUMNS)
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    return image_grid(rows, headings=[name], image_range=image_range)
