"""How far reconstructions are from what they reconstruct.

Errors are root mean squares per pixel and colour, as a share of the width of the pixels' range.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Reconstruction:
    """Errors of reconstructed images.

    Attributes:
        images: How many there are.
        error: Root of the mean squared error over all of them.
        error_stderr: Its standard error: that of the images' mean squares, carried through the
            root; 0 for a single image.
        mean_image_error: The same where every image is told to be the mean of all: what a
            reconstruction must be below to know anything of its image.
    """

    images: int
    error: float
    error_stderr: float
    mean_image_error: float


def image_errors(
    found: NDArray[np.float32], images: NDArray[np.float32], span: float
) -> NDArray[np.float64]:
    """Root mean square of each image's error.

    Args:
        found: Reconstructions (B, C, H, W).
        images: What they are of.
        span: The width of the pixels' range.

    Returns:
        (B,), shares of the range.
    """
    squares = np.square(found.astype(np.float64) - images)
    return np.asarray(np.sqrt(squares.mean(axis=(1, 2, 3))) / span)


def reconstruction_of(
    errors: NDArray[np.float64], images: NDArray[np.float32], span: float
) -> Reconstruction:
    """Sum up the errors of reconstructions.

    Args:
        errors: Each image's (B,), as `image_errors` gives them.
        images: What was reconstructed (B, C, H, W).
        span: The width of the pixels' range.
    """
    squares, count = np.square(errors), len(errors)
    error = sqrt(float(squares.mean()))
    spread = float(squares.std(ddof=1)) / sqrt(count) if count > 1 else 0.0
    # The derivative of the root.
    stderr = spread / (2 * error) if error else 0.0
    mean = images.mean(axis=0, dtype=np.float64)
    least = sqrt(float(np.square(images - mean).mean())) / span
    return Reconstruction(count, error, stderr, least)
