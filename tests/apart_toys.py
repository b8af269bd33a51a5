"""Generators of known independence: parts that are multiplied, parts that match, one everywhere."""

from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.bundles import export_module
from torch_toys import built

LATENTS = 6
HEIGHT, WIDTH = 4, 8


class Product(nn.Module):
    """Latents (B, 6) to images (B, 3, 4, 4): channels 0-1 make a factor, 2-3 the other one."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(LATENTS, 64)
        self.factors = nn.Conv2d(4, 6, 3, padding=1, groups=2)

    def forward(self, z: Tensor) -> Tensor:
        maps = self.fc(z).view(-1, 4, 4, 4).relu()
        factors = self.factors(maps)
        image: Tensor = 0.1 * factors[:, :3] * factors[:, 3:]
        return image


class Everywhere(nn.Module):
    """Latents (B, 2) to images (B, 3, 4, 8): channel 0 paints all alike, channel 1 the left half.

    Each channel has a latent of its own, and strokes add up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.paint = nn.Linear(2, 3 * HEIGHT * WIDTH, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.paint(self.fc(z).relu()).view(-1, 3, HEIGHT, WIDTH)
        return image


class Matching(nn.Module):
    """Latents (B, 6) to images (B, 3, 4, 8): both halves are the same picture.

    Channels 0-2 draw the left half and 3-5 the right one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(LATENTS, 6)
        self.paint = nn.ConvTranspose2d(6, 3, (HEIGHT, WIDTH), bias=False)

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.paint(self.fc(z).view(-1, 6, 1, 1).relu())
        return image


def everywhere() -> Everywhere:
    made = Everywhere()
    with torch.no_grad():
        made.fc.weight.copy_(torch.eye(2))
        made.fc.bias.fill_(0.5)
        strokes = torch.zeros(2, 3, HEIGHT, WIDTH)
        strokes[0] = 0.1
        strokes[1, :, :, : WIDTH // 2] = 0.05
        made.paint.weight.copy_(strokes.flatten(1).T)
    return made.eval()


def matching() -> Matching:
    made = Matching()
    randomness = torch.Generator().manual_seed(1)
    with torch.no_grad():
        made.fc.weight.copy_(torch.eye(LATENTS)[[0, 1, 2, 0, 1, 2]])
        made.fc.bias.fill_(0.5)
        made.paint.weight.zero_()
        strokes = 0.05 * torch.rand(3, 3, HEIGHT, WIDTH // 2, generator=randomness)
        made.paint.weight[:3, :, :, : WIDTH // 2] = strokes
        made.paint.weight[3:, :, :, WIDTH // 2 :] = strokes
    return made.eval()


def write_product(folder: Path) -> tuple[Path, Product]:
    """A bundle of `Product`, and the module."""
    module = built(Product)
    assert isinstance(module, Product)
    export_module(module, {"z": torch.zeros(2, LATENTS)}, folder)
    return folder, module


def write_everywhere(folder: Path) -> Path:
    export_module(everywhere(), {"z": torch.zeros(2, 2)}, folder)
    return folder


def write_matching(folder: Path) -> Path:
    export_module(matching(), {"z": torch.zeros(2, LATENTS)}, folder)
    return folder
