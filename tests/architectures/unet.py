"""A denoising U-Net: an embedding of the time step in every block, skips across the middle."""

import math

import torch
from torch import Tensor, nn

from architectures._weights import filled


class TimeEmbedding(nn.Module):
    """Time steps (B,), integers, to embeddings (B, K)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.linear_1 = nn.Linear(size, size)
        self.act = nn.SiLU()
        self.linear_2 = nn.Linear(size, size)

    def forward(self, timestep: Tensor) -> Tensor:
        half = self.size // 2
        frequencies = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float32) / half)
        angles = timestep[:, None].float() * frequencies[None]
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
        embedding: Tensor = self.linear_2(self.act(self.linear_1(waves)))
        return embedding


class Block(nn.Module):
    """(B, C, H, W) and an embedding to (B, C', H, W)."""

    def __init__(self, channels_in: int, channels_out: int, embedding: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(2, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(embedding, channels_out)
        self.norm2 = nn.GroupNorm(2, channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels_in, channels_out, 1)
        self.act = nn.SiLU()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(self.act(self.norm1(x)))
        h = h + self.time_emb_proj(self.act(embedding))[:, :, None, None]
        h = self.conv2(self.act(self.norm2(h)))
        out: Tensor = h + self.conv_shortcut(x)
        return out


class UNet(nn.Module):
    """Noisy images (B, 3, 8, 8) and time steps (B,) to images without noise, in [-1, 1]."""

    def __init__(self, width: int = 6, embedding: int = 8) -> None:
        super().__init__()
        self.time_embedding = TimeEmbedding(embedding)
        self.conv_in = nn.Conv2d(3, width, 3, padding=1)
        self.down1 = Block(width, width, embedding)
        self.downsample = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.down2 = Block(width, 2 * width, embedding)
        self.mid = Block(2 * width, 2 * width, embedding)
        self.up2 = Block(4 * width, width, embedding)
        self.upsample = nn.ConvTranspose2d(width, width, 4, 2, 1)
        self.up1 = Block(2 * width, width, embedding)
        self.norm_out = nn.GroupNorm(2, width)
        self.act_out = nn.SiLU()
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, sample: Tensor, timestep: Tensor) -> Tensor:
        embedding = self.time_embedding(timestep)
        first = self.down1(self.conv_in(sample), embedding)
        second = self.down2(self.downsample(first), embedding)
        middle = self.mid(second, embedding)
        x = self.up2(torch.cat([middle, second], dim=1), embedding)
        x = self.up1(torch.cat([self.upsample(x), first], dim=1), embedding)
        return torch.tanh(self.conv_out(self.act_out(self.norm_out(x))))


def make_generator() -> nn.Module:
    return filled(UNet())
