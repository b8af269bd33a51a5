"""Small PyTorch generators for tests, always with the same weights."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from graftscope.training.architecture import Architecture
from graftscope.training.networks import Encoder, Generator

Module = TypeVar("Module", bound=nn.Module)

SMALL = Architecture(latent_size=8, base_size=2, channels=(8, 6, 5, 4), strides=(2, 2, 2, 1))
"""Table 1's face VAE in small: the same depth, strides and levels."""


def small_generator(seed: int = 0) -> Generator:
    """Return a generator of `SMALL` whose batch normalisation does something."""
    return _filled(Generator(SMALL), seed)


def small_encoder(seed: int = 1) -> Encoder:
    """Return the encoder of `SMALL`, likewise."""
    return _filled(Encoder(SMALL), seed)


class Skip(nn.Module):
    """Latents (B, 8) to images (B, 3, 4, 4), with a connection around the second layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 64)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.outer = nn.Conv2d(4, 4, 3, padding=1)
        self.colours = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        first = self.fc(z).view(-1, 4, 4, 4).relu()
        second = self.inner(first).relu()
        third = (self.outer(second) + first).relu()
        image: Tensor = self.colours(third).tanh()
        return image


class ReusedLatent(nn.Module):
    """Latents (B, 8) and noise (B, 1, 4, 4) to images; a later block reads both again."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 64)
        self.style = nn.Linear(8, 4)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.colours = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, z: Tensor, noise: Tensor) -> Tensor:
        first = self.fc(z).view(-1, 4, 4, 4).relu()
        styled = self.inner(first) * self.style(z)[:, :, None, None]
        image: Tensor = self.colours((styled + noise).relu()).tanh()
        return image


class BlockDiagonal(nn.Module):
    """Latents (B, 8) to images (B, 3, 4, 8): channels 0-1 draw the left half, 2-3 the right."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 64)
        self.left = nn.Conv2d(2, 3, 3, padding=1)
        self.right = nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        maps = self.fc(z).view(-1, 4, 4, 4).relu()
        return torch.cat([self.left(maps[:, :2]), self.right(maps[:, 2:])], dim=3).tanh()


class Grouped(nn.Module):
    """The same in one grouped layer, whose four channels are two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 64)
        self.halves = nn.Conv2d(4, 6, 3, padding=1, groups=2)

    def forward(self, z: Tensor) -> Tensor:
        maps = self.fc(z).view(-1, 4, 4, 4).relu()
        halves = self.halves(maps).view(-1, 2, 3, 4, 4)  # half, colour, row, column
        image: Tensor = halves.permute(0, 2, 3, 1, 4).reshape(-1, 3, 4, 8).tanh()
        return image


BUMP_SIDE = 32
"""Of the images of `Bumps`."""
BUMP_GROUPS = tuple(channel % 4 for channel in range(24))
"""The module of each channel of `Bumps`: each quarter of the image is painted by six."""


class Bumps(nn.Module):
    """Latents (B, 24) to images (B, 3, 32, 32): channel c paints a bump in quarter c % 4.

    Bumps of one quarter differ a little in place and size, and by a factor of up to five in
    strength. Each covers less than a fifth of the image and nothing of another quarter.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = len(BUMP_GROUPS)
        self.fc = nn.Linear(channels, channels)
        self.paint = nn.ConvTranspose2d(channels, 3, BUMP_SIDE, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        strokes = self.fc(z).view(-1, len(BUMP_GROUPS), 1, 1).relu()
        image: Tensor = self.paint(strokes).tanh()
        return image


def bumps(seed: int = 0) -> Bumps:
    """Return `Bumps` with its weights."""
    randomness = torch.Generator().manual_seed(seed)
    made = Bumps()
    with torch.no_grad():
        made.fc.weight.copy_(torch.eye(len(BUMP_GROUPS)))
        made.fc.bias.zero_()
        for channel, group in enumerate(BUMP_GROUPS):
            shift, size, strength, *colour = torch.rand(6, generator=randomness).tolist()
            row, column = (8 + 16 * x + 2 * shift - 1 for x in divmod(group, 2))
            bump = _bump(row, column, radius=6.0 + size) * (0.2 + 0.8 * strength)
            made.paint.weight[channel] = bump * torch.tensor(colour).add(0.5)[:, None, None]
    return made.eval()


def _bump(row: float, column: float, radius: float) -> Tensor:
    """A smooth bump that ends at its radius, (32, 32)."""
    rows, columns = (torch.arange(BUMP_SIDE, dtype=torch.float32) - x for x in (row, column))
    squared = rows[:, None] ** 2 + columns[None, :] ** 2
    return (1 - squared / radius**2).clamp(min=0) ** 2


def built(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """Return a module in evaluation mode, with weights that depend on the seed alone."""
    return _filled(kind(), seed)


def _filled(module: Module, seed: int) -> Module:
    randomness = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.3, generator=randomness)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0.0, 0.1, generator=randomness)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5, generator=randomness)
    return module.eval()
