"""A transformer decoder that ends in pixels: tokens, attention, patches put together."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from architectures._weights import filled


class Attention(nn.Module):
    def __init__(self, size: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(size, 3 * size)
        self.proj = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, size = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, size // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        read = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(read.transpose(1, 2).reshape(batch, tokens, size))
        return out


class Mlp(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(size, 2 * size)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(2 * size, size)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class Block(nn.Module):
    """Tokens (B, N, C) to tokens, normalised before attention and before the perceptron."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(size)
        self.attn = Attention(size)
        self.norm2 = nn.LayerNorm(size)
        self.mlp = Mlp(size)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Decoder(nn.Module):
    """Latents (B, 6) to images (B, 3, 8, 8) in [0, 1]: 4 x 4 patches of 2 x 2 pixels."""

    def __init__(self, latent: int = 6, size: int = 8, side: int = 4, patch: int = 2) -> None:
        super().__init__()
        self.side, self.patch = side, patch
        self.embed = nn.Linear(latent, size)
        self.pos_embed = nn.Parameter(torch.zeros(1, side * side, size))
        self.blocks = nn.ModuleList(Block(size) for _ in range(2))
        self.norm = nn.LayerNorm(size)
        self.to_pixels = nn.Linear(size, patch * patch * 3)

    def forward(self, z: Tensor) -> Tensor:
        x = self.embed(z)[:, None, :] + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self._unpatchify(self.to_pixels(self.norm(x))).sigmoid()

    def _unpatchify(self, x: Tensor) -> Tensor:
        """(B, N, P*P*3) to (B, 3, H, W)."""
        side, patch = self.side, self.patch
        x = x.reshape(x.shape[0], side, side, patch, patch, 3)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(x.shape[0], 3, side * patch, side * patch)


def make_generator() -> nn.Module:
    return filled(Decoder())
