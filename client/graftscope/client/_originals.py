"""Where the two originals of every pair come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Latents: TypeAlias = Mapping[str, NDArray[np.generic]]
"""One value for every input of the generator, by the input's name: (B, ...)."""


@dataclass(frozen=True)
class Prior:
    """Every latent from the distribution that the bundle states."""


@dataclass(frozen=True)
class Encoded:
    """Latents from a Gaussian with the mean and covariance of the training images' encodings.

    An approximation of what real images would give, which needs no photograph; for models with
    an encoder.
    """


@dataclass(frozen=True, eq=False)
class Images:
    """Real images, drawn with replacement and passed through the encoder (section 4).

    Args:
        images: (N, H, W, c) uint8, of the generator's image size.
    """

    images: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class LatentPairs:
    """Exactly these pairs, B of them.

    Args:
        latents1: Original 1's latents, by the name of the generator's input, each (B, ...).
        latents2: Original 2's.
    """

    latents1: Latents
    latents2: Latents


@dataclass(frozen=True, eq=False)
class ImagePairs:
    """Exactly these pairs of images, through the encoder.

    Args:
        images1: (B, H, W, c) uint8, of the generator's image size.
        images2: The same shape.
    """

    images1: NDArray[np.uint8]
    images2: NDArray[np.uint8]


Originals: TypeAlias = Prior | Encoded | Images | LatentPairs | ImagePairs
"""What an `originals` argument takes; None means `Encoded` where the model has an encoder."""
