"""A decoder as people build them now: residual blocks with group normalisation and SiLU.

Its layers are as wide and as large as those of `vae-celeba`, so that the two can be compared. Not
all that the rewrites gain on Table 1's networks is gained here: the statistics of a group change
with every channel of it, and what enters a block is read twice.
"""

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

LATENTS: Final = 128
LEVELS: Final = {
    "fc": "coarse",
    "block1": "intermediate",
    "block2": "fine",
    "block3": "image",
}
"""The stages that end in layers, and their levels."""

_WIDTHS, _BASE, _GROUPS = (64, 64, 32, 16), 8, 8


class First(nn.Module):
    """Latents (B, Z) to the first activation (B, C, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(LATENTS, _WIDTHS[0] * _BASE * _BASE)

    def forward(self, z: Tensor) -> Tensor:
        """Map (B, Z) to (B, C, 8, 8)."""
        maps: Tensor = self.linear(z).reshape(-1, _WIDTHS[0], _BASE, _BASE)
        return maps


class Block(nn.Module):
    """Twice as high and wide, then two convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.upsampled = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1)
        self.body = nn.Sequential(
            nn.GroupNorm(_GROUPS, channels_in),
            nn.SiLU(),
            nn.Conv2d(channels_in, channels_out, 3, padding=1),
            nn.GroupNorm(_GROUPS, channels_out),
            nn.SiLU(),
            nn.Conv2d(channels_out, channels_out, 3, padding=1),
        )

    def forward(self, activation: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', 2H, 2W)."""
        wide = self.upsampled(activation)
        out: Tensor = self.shortcut(wide) + self.body(wide)
        return out


class ResidualDecoder(nn.Module):
    """Latents (B, Z) to images (B, 3, 64, 64) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = First()
        self.block1, self.block2, self.block3 = (Block(*pair) for pair in pairwise(_WIDTHS))
        self.image = nn.Sequential(
            nn.GroupNorm(_GROUPS, _WIDTHS[-1]),
            nn.SiLU(),
            nn.Conv2d(_WIDTHS[-1], 3, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Generate images."""
        activation = z
        for stage in self.children():
            activation = stage(activation)
        return activation


def residual_decoder() -> ResidualDecoder:
    """A decoder with random weights, the same every time."""
    torch.manual_seed(0)
    return ResidualDecoder().eval()
