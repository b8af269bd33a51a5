"""Factories whose arguments are called like something else: an output, an operation, a weight."""

import torch
from torch import Tensor, nn

from architectures._weights import filled
from factory_toys import Parts


class ImageArgument(Parts):
    def forward(self, image: Tensor) -> Tensor:
        return self.image(self.maps(image))


class LinearArgument(Parts):
    """PyTorch calls what `fc` computes `linear` in its graph."""

    def forward(self, linear: Tensor) -> Tensor:
        return self.image(self.maps(linear))


class WeightArgument(Parts):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(5))

    def forward(self, scale: Tensor) -> Tensor:
        return self.image(self.maps(scale * self.scale))


class NoiseArgument(Parts):
    def forward(self, noise: Tensor) -> Tensor:
        maps = self.maps(noise)
        return self.image(maps + 0.0 * torch.randn_like(maps))


class BatchArgument(Parts):
    def forward(self, batch: Tensor) -> Tensor:
        return self.image(self.maps(batch))


def image() -> nn.Module:
    return filled(ImageArgument())


def linear() -> nn.Module:
    return filled(LinearArgument())


def scale() -> nn.Module:
    return filled(WeightArgument())


def noise() -> nn.Module:
    return filled(NoiseArgument())


def batch() -> nn.Module:
    return filled(BatchArgument())
