"""StyleGAN2: a mapping network, modulated convolutions, a learned input, noise, image skips.

Weights are demodulated by scaling what goes in and what comes out, so that a batch of any size is
one convolution; the original's fused form makes the batch a number of groups, which is fixed.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from architectures._weights import filled


class PixelNorm(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)


class ScaledLeakyReLU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.leaky_relu(x, 0.2) * math.sqrt(2)


class StyleLinear(nn.Linear):
    """A linear layer whose bias begins at one: without a style, channels keep their size."""

    def forward(self, w: Tensor) -> Tensor:
        return super().forward(w) + 1


class ModulatedConv2d(nn.Module):
    """A convolution whose weights every sample scales by its own style."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, style_dim: int, demodulate: bool
    ) -> None:
        super().__init__()
        self.modulation = StyleLinear(style_dim, channels_in)
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False)
        self.demodulate = demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.modulation(w)  # (B, C)
        out: Tensor = self.conv(x * style[:, :, None, None])
        if self.demodulate:
            energy = self.conv.weight.square().sum(dim=(2, 3))  # (C', C)
            out = out * torch.rsqrt(style.square() @ energy.T + 1e-8)[:, :, None, None]
        return out


class NoiseInjection(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape[0], 1, x.shape[2], x.shape[3], device=x.device)
        return x + (self.weight + 0.3) * noise


class StyledConv(nn.Module):
    """(B, C, H, W) and a style to (B, C', H, W) or twice the size."""

    def __init__(self, channels_in: int, channels_out: int, style_dim: int, up: bool) -> None:
        super().__init__()
        self.upsample = (
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            if up
            else nn.Identity()
        )
        self.conv = ModulatedConv2d(channels_in, channels_out, 3, style_dim, demodulate=True)
        self.noise = NoiseInjection()
        self.bias = nn.Parameter(torch.zeros(1, channels_out, 1, 1))
        self.activate = ScaledLeakyReLU()

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        out = self.noise(self.conv(self.upsample(x), w))
        activation: Tensor = self.activate(out + self.bias)
        return activation


class ToRGB(nn.Module):
    """An activation to colours, added to the upsampled image so far."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.conv = ModulatedConv2d(channels, 3, 1, style_dim, demodulate=False)

    def forward(self, x: Tensor, w: Tensor, skip: Tensor | None = None) -> Tensor:
        colours: Tensor = self.conv(x, w)
        return colours if skip is None else colours + self.upsample(skip)


class ConstantInput(nn.Module):
    def __init__(self, channels: int, size: int = 4) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.zeros(1, channels, size, size))

    def forward(self, w: Tensor) -> Tensor:
        return self.input.expand(w.shape[0], -1, -1, -1)


class Generator(nn.Module):
    """Latents (B, Z) to images (B, 3, 16, 16), not limited by a last nonlinearity.

    Args:
        z_dim: Z.
        widths: Channels at 4 x 4, and each time that the sides are doubled.
    """

    def __init__(self, z_dim: int = 8, widths: Sequence[int] = (6, 6, 6)) -> None:
        super().__init__()
        self.style = nn.Sequential(
            PixelNorm(),
            *(nn.Sequential(nn.Linear(z_dim, z_dim), ScaledLeakyReLU()) for _ in range(2)),
        )
        self.input = ConstantInput(widths[0])
        self.conv1 = StyledConv(widths[0], widths[0], z_dim, up=False)
        self.to_rgb1 = ToRGB(widths[0], z_dim)
        self.convs = nn.ModuleList(
            StyledConv(wide if up else narrow, narrow, z_dim, up=up)
            for wide, narrow in pairwise(widths)
            for up in (True, False)
        )
        self.to_rgbs = nn.ModuleList(ToRGB(width, z_dim) for width in widths[1:])

    def forward(self, z: Tensor) -> Tensor:
        w = self.style(z)
        x = self.conv1(self.input(w), w)
        image: Tensor = self.to_rgb1(x, w)
        for up, same, to_rgb in zip(self.convs[::2], self.convs[1::2], self.to_rgbs, strict=True):
            x = same(up(x, w), w)
            image = to_rgb(x, w, image)
        return image


def make_generator() -> nn.Module:
    return filled(Generator(), gain=1.0, colours=0.05)
