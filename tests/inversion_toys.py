"""A generator whose latents are known from its images: orthonormal directions and a tanh.

Latents (B, 12) to images (B, 3, 4, 4) in [-1, 1]; `inversion_toys:generator` is the factory.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graftscope.training.inversion import GeneratorDescription, SampledGenerator

LATENTS, IMAGE = 12, (3, 4, 4)
SLOPE = 0.7
"""Small enough that the tanh bends pixels and still tells them apart."""

_RANDOMNESS = np.random.default_rng(29)
_DIRECTIONS, _ = np.linalg.qr(_RANDOMNESS.standard_normal((48, LATENTS)))
DIRECTIONS = (SLOPE * 2 * _DIRECTIONS).astype(np.float32)
"""(48, 12); its columns are orthogonal and of one length."""

_TURN, _ = np.linalg.qr(_RANDOMNESS.standard_normal((LATENTS, LATENTS)))


class LinearTanh(nn.Module):
    """The generator: a rotation and then the directions, so that there is a layer between them."""

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        self.turn = _linear(sign * _TURN)
        self.linear = _linear(DIRECTIONS @ _TURN.T)

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.linear(self.turn(z)).reshape(-1, *IMAGE).tanh()
        return image


def _linear(weights: NDArray[np.floating]) -> nn.Linear:
    layer = nn.Linear(weights.shape[1], weights.shape[0], bias=False)
    layer.weight = nn.Parameter(torch.tensor(weights, dtype=torch.float32), requires_grad=False)
    return layer


class Columns(nn.Module):
    """The same for latents (B, 12, 1, 1), as many GANs take them."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = LinearTanh()

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.inner(z.flatten(1))
        return image


def generator() -> nn.Module:
    return LinearTanh()


def columns() -> nn.Module:
    return Columns()


def another() -> nn.Module:
    return LinearTanh(-1.0)


def images_of(latents: NDArray[np.floating]) -> NDArray[np.float32]:
    """Images by another way than the module's, (B, 3, 4, 4)."""
    flat = np.tanh(latents.astype(np.float64) @ DIRECTIONS.T.astype(np.float64))
    return flat.reshape(-1, *IMAGE).astype(np.float32)


def latents_of(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """The latents that made images, in closed form (B, 12)."""
    flat = np.arctanh(images.reshape(len(images), -1).astype(np.float64))
    return flat @ np.linalg.pinv(DIRECTIONS.astype(np.float64)).T


def drawn(seed: int, count: int) -> NDArray[np.float32]:
    """Latents from the prior (count, 12)."""
    return np.random.default_rng(seed).standard_normal((count, LATENTS)).astype(np.float32)


def sampled(*, differentiable: bool = True) -> SampledGenerator:
    """The generator as inversion takes it, without a bundle."""
    description = GeneratorDescription(
        name="linear-tanh",
        digest="0" * 64,
        input="z",
        latent_size=LATENTS,
        latent_mean=0.0,
        latent_deviation=1.0,
        channels=IMAGE[0],
        height=IMAGE[1],
        width=IMAGE[2],
        low=-1.0,
        high=1.0,
        differentiable=differentiable,
    )
    network = LinearTanh().eval() if differentiable else None
    return SampledGenerator(description, drawn, images_of, network)
