"""Generators of large images with random weights: a plain decoder, and the tests' StyleGAN2.

Both are narrower than those that people train, so that a layer is measured in minutes. What matters
here is the same: tensors that are larger than any cache.
"""

import importlib
import sys
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

LATENTS: Final = 64
SIDE: Final = 512

# Channels at the base's side, and each time that it is doubled.
_PLAIN_WIDTHS, _PLAIN_BASE = (256, 256, 128, 64, 32, 32), 16
_STYLED_WIDTHS, _STYLED_BASE = (256, 256, 256, 256, 128, 64, 32, 32), 4
_TESTS = Path(__file__).parents[1] / "tests"


class _First(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(LATENTS, _PLAIN_WIDTHS[0] * _PLAIN_BASE**2)

    def forward(self, z: Tensor) -> Tensor:
        flat: Tensor = self.linear(z)
        return flat.reshape(-1, _PLAIN_WIDTHS[0], _PLAIN_BASE, _PLAIN_BASE)


class _Doubling(nn.Sequential):
    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2.0, mode="nearest"),
            nn.Conv2d(channels_in, channels_out, 3, padding=1),
            nn.LeakyReLU(0.2),
        )


class PlainDecoder(nn.Sequential):
    """Latents (B, Z) to images (B, 3, 512, 512) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__(
            _First(),
            *(_Doubling(*pair) for pair in pairwise(_PLAIN_WIDTHS)),
            nn.Sequential(nn.Conv2d(_PLAIN_WIDTHS[-1], 3, 3, padding=1), nn.Tanh()),
        )


class _FixedNoise(nn.Module):
    """The same noise for every sample, (1, 1, H, W): StyleGAN2's `noise_mode="const"`."""

    noise: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        self.register_buffer("noise", 0.3 * torch.randn(1, 1, side, side))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.noise


def plain_decoder() -> nn.Module:
    """The same every time."""
    torch.manual_seed(0)
    return PlainDecoder().eval()


def stylegan2() -> nn.Module:
    """The same every time: (B, Z) to (B, 3, 512, 512)."""
    if str(_TESTS) not in sys.path:
        sys.path.append(str(_TESTS))
    architecture = importlib.import_module("architectures.stylegan2")
    weights = importlib.import_module("architectures._weights")
    network: nn.Module = architecture.Generator(LATENTS, _STYLED_WIDTHS)
    weights.filled(network, gain=1.0, colours=0.05)
    torch.manual_seed(0)
    noisy = [name for name, _ in network.named_modules() if name.endswith(".noise")]
    for i, name in enumerate(noisy):
        network.set_submodule(name, _FixedNoise(_STYLED_BASE * 2 ** ((i + 1) // 2)))
    return network.eval()


MAKERS: Final = {"plain_decoder": plain_decoder, "stylegan2": stylegan2}
