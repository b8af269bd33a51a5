"""SNGAN's ResNet generator: blocks that upsample, with a shortcut around each."""

from torch import Tensor, nn

from architectures._weights import filled


class Block(nn.Module):
    """(B, C, H, W) to (B, C', 2H, 2W)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(channels_in, channels_out, 1)
        )
        self.residual = nn.Sequential(
            nn.BatchNorm2d(channels_in),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(channels_in, channels_out, 3, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.residual(x) + self.shortcut(x)
        return out


class Generator(nn.Module):
    """Latents (B, 10) to images (B, 3, 16, 16) in [-1, 1]."""

    def __init__(self, z_dim: int = 10, width: int = 6) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.linear = nn.Linear(z_dim, width * 2 * 2)
        self.blocks = nn.Sequential(*(Block(width, width) for _ in range(3)))
        self.output = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1), nn.Tanh()
        )

    def forward(self, z: Tensor) -> Tensor:
        x = self.linear(z)
        x = x.view(x.size(0), -1, 2, 2)
        image: Tensor = self.output(self.blocks(x))
        return image


def make_generator() -> nn.Module:
    return filled(Generator())
