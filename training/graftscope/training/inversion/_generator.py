"""A trained generator as inversion sees it: what it is, its latents, its images.

Whoever can run the generator offers it; nothing here knows what runs it. Where PyTorch can, it also
comes as a module, through which errors of pixels reach the latents.

Shapes: B batch, Z latent, C channels, H and W pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn


@dataclass(frozen=True)
class GeneratorDescription:
    """What is known of a generator without running it.

    Attributes:
        name: What it is called.
        digest: What tells it from others.
        input: The name of its latent.
        latent_size: Length of the latent vector, Z.
        latent_mean: Mean of the latent's elements under the prior.
        latent_deviation: Their standard deviation, above 0.
        channels: Colours of its images.
        height: Their rows, in pixels.
        width: Their columns, in pixels.
        low: The least value of a pixel.
        high: The largest.
        differentiable: Whether it comes as a PyTorch module too.
    """

    name: str
    digest: str
    input: str
    latent_size: int
    latent_mean: float
    latent_deviation: float
    channels: int
    height: int
    width: int
    low: float
    high: float
    differentiable: bool

    @property
    def span(self) -> float:
        """The width of the pixels' range."""
        return self.high - self.low


@dataclass(frozen=True)
class SampledGenerator:
    """A generator that can be run.

    Attributes:
        description: What is known of it.
        draw: A seed and a count to latents from the prior (B, Z), float32; the same for the same.
        generate: Latents (B, Z) to images (B, C, H, W), both float32; deterministic.
        network: The same as a PyTorch module in evaluation mode, on the CPU, whose weights ask for
            no gradient; None where there is none.
    """

    description: GeneratorDescription
    draw: Callable[[int, int], NDArray[np.float32]]
    generate: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    network: nn.Module | None
