"""A region of the image painted in a picture: white is inside, black is outside.

It must not know what a region is for.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.client._pixels import read_picture

_BRIGHTNESS = (0.299, 0.587, 0.114)
"""Shares of red, green and blue (ITU-R BT.601)."""


def read_mask(path: str | Path) -> NDArray[np.float64]:
    """Read a painted region.

    Args:
        path: A picture; of its colours the brightness counts. What is transparent is black.

    Returns:
        (H, W) from 0 for black to 1 for white.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If it is not a readable picture.
    """
    pixels = read_picture(Path(path)).astype(np.float64) / 255.0  # (H, W, 1 | 3 | 4)
    if pixels.shape[-1] == 1:
        return pixels[..., 0]
    opacity = pixels[..., 3] if pixels.shape[-1] == 4 else 1.0
    painted: NDArray[np.float64] = pixels[..., :3] @ np.array(_BRIGHTNESS) * opacity
    return np.clip(painted, 0.0, 1.0)
