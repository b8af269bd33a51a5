"""BEGAN's decoder: ELU, nearest upsampling, and the first activation joined again at every size."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from architectures._weights import filled


class Decoder(nn.Module):
    """Latents (B, 8) to images (B, 3, 16, 16), not limited by a last nonlinearity."""

    def __init__(self, latent: int = 8, width: int = 6) -> None:
        super().__init__()
        self.width = width
        self.fc = nn.Linear(latent, width * 4 * 4)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv3 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.conv4 = nn.Conv2d(width, width, 3, padding=1)
        self.conv5 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.conv6 = nn.Conv2d(width, width, 3, padding=1)
        self.to_rgb = nn.Conv2d(width, 3, 3, padding=1)
        self.elu = nn.ELU()

    def forward(self, z: Tensor) -> Tensor:
        first = self.fc(z).view(-1, self.width, 4, 4)
        x = self.elu(self.conv2(self.elu(self.conv1(first))))
        x = self._upsampled(x, first)
        x = self.elu(self.conv4(self.elu(self.conv3(x))))
        x = self._upsampled(x, first)
        x = self.elu(self.conv6(self.elu(self.conv5(x))))
        image: Tensor = self.to_rgb(x)
        return image

    def _upsampled(self, x: Tensor, first: Tensor) -> Tensor:
        """Double the size, and join the first activation at the same size."""
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        again = functional.interpolate(first, size=x.shape[2:], mode="nearest")
        return torch.cat([x, again], dim=1)


def make_generator() -> nn.Module:
    return filled(Decoder(), gain=1.0, colours=0.3)
