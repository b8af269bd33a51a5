"""Images as a network takes them: range, size, mean and deviation, order of channels and axes.

Arrays in, arrays out. Letters: B images, c channels, (H, W) pixels. It must not know graphs or
sessions.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftscope.bundle import ImageLayout, Preprocessing
from graftscope.server.errors import InvalidInput


def preprocess(
    images: NDArray[np.float32],
    low: float,
    high: float,
    preprocessing: Preprocessing,
    channels: int = 3,
) -> NDArray[np.float32]:
    """Do to images what a network expects, in the order that `Preprocessing` tells.

    Args:
        images: (B, c, H, W) in the range `low` to `high`; what is outside is clipped, as it is in
            a picture that is saved.
        low: the value of black in the images.
        high: the value of white.
        preprocessing: what is done.
        channels: how many the network takes; grey images are repeated.

    Returns:
        (B, channels, H', W') float32, or (B, H', W', channels) where the layout is NHWC.

    Raises:
        InvalidInput: the images have another number of channels.
    """
    scaled = _scaled(_with_channels(images, channels), (low, high), preprocessing)
    if preprocessing.height:
        scaled = resize(scaled, preprocessing.height, preprocessing.width)
    mean, deviation = (
        np.asarray(each, np.float32).reshape(1, -1, 1, 1)
        for each in (preprocessing.mean, preprocessing.deviation)
    )
    ready = (scaled - mean) / deviation
    if preprocessing.bgr:
        ready = ready[:, ::-1]
    if preprocessing.layout is ImageLayout.NHWC:
        ready = ready.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(ready, np.float32)


def _scaled(
    images: NDArray[np.float32], came_in: tuple[float, float], wanted: Preprocessing
) -> NDArray[np.float32]:
    """Clip images to the range that they come in, and scale them; the same range rounds nothing."""
    low, high = came_in
    clipped = np.clip(images, low, high)
    if came_in == (wanted.low, wanted.high):
        return clipped
    scale = (wanted.high - wanted.low) / (high - low)
    return np.asarray((clipped - low) * scale + wanted.low, np.float32)


def resize(images: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize images (B, c, H, W) as Pillow's bilinear filter does.

    It looks at the areas that pixels cover, so that making images smaller does not alias, as
    PyTorch's `interpolate` does only with `antialias=True`.

    Returns:
        (B, c, height, width) float32.
    """
    if images.shape[2:] == (height, width):
        return images
    rows, columns = _weights(images.shape[2], height), _weights(images.shape[3], width)
    # (h, H) @ (B, c, H, W) @ (W, w) -> (B, c, h, w)
    return np.asarray(rows @ images @ columns.T, np.float32)


@lru_cache(maxsize=64)
def _weights(size: int, wanted: int) -> NDArray[np.float32]:
    """What each of `wanted` pixels takes from each of `size`, (wanted, size): rows add up to 1.

    The filter is linear, so what Pillow makes of unit images tells its weights; its own loop over
    images and channels would be slower than two products of matrices.
    """
    units = Image.fromarray(np.eye(size, dtype=np.float32))
    return np.asarray(units.resize((size, wanted), Image.Resampling.BILINEAR), np.float32)


def _with_channels(images: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    if images.ndim != 4:
        raise InvalidInput(
            f"images of shape {images.shape} cannot be judged; (B, channels, height, width) is"
            " needed",
            field="images",
        )
    if images.shape[1] == channels:
        return images
    if images.shape[1] == 1:
        return np.repeat(images, channels, axis=1)
    raise InvalidInput(
        f"images have {images.shape[1]} channels, and the network takes {channels}", field="images"
    )
