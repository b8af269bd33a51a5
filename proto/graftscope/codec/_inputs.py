"""What the numbers of an `Input` mean, where three sides must agree on it."""

import numpy as np
from numpy.typing import NDArray

from graftscope.v1 import bundle_pb2


def deviation(normal: bundle_pb2.Normal) -> float:
    """Return a normal distribution's standard deviation; what is not said is 1."""
    return normal.deviation or 1.0


def in_range(pixels: NDArray[np.generic], low: float, high: float) -> NDArray[np.float32]:
    """Turn bytes into numbers: 0 to 255 become low to high, in any shape."""
    unit = pixels.astype(np.float32) / np.float32(255)
    return unit * np.float32(high - low) + np.float32(low)


def one_hot(labels: NDArray[np.integer], count: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Write classes as 1 among zeros.

    Args:
        labels: (B,), each in [0, count).
        count: How many classes there are.
        shape: Of one sample; the classes lie along its first axis of `count`, and every other
            axis repeats them.

    Returns:
        (B, *shape).
    """
    axis = shape.index(count)
    places = np.arange(count).reshape(-1, *[1] * (len(shape) - 1 - axis))
    hot = labels.reshape(-1, *[1] * len(shape)) == places
    return np.broadcast_to(hot, (len(labels), *shape)).astype(np.float32)
