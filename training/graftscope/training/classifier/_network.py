"""A small residual network that tells classes or attributes, and the features that it tells by.

Shapes: B batch, C channels, F features, A answers, H and W pixels.
"""

from itertools import pairwise
from typing import Final

from torch import Tensor, nn

from graftscope.training.networks import ConvolutionStage

CHANNELS: Final = (48, 96, 64)
FEATURES: Final = CHANNELS[-1]
"""Length of the vector of features, F."""

_KERNEL: Final = 3
# The first convolution brings images of 32 pixels or more to this side: what it sees of them at
# every pixel costs more than it tells.
_FIRST_SIZE: Final = 16


class ResidualStage(nn.Module):
    """An activation (B, C, H, W) plus what one convolution makes of it."""

    def __init__(self, channels: int) -> None:
        """Build a stage that keeps channels, height and width."""
        super().__init__()
        self.stage = ConvolutionStage(channels, channels, _KERNEL, 1, leak=0.0, normalise=True)

    def forward(self, activation: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        out: Tensor = activation + self.stage(activation)
        return out


class ClassifierNetwork(nn.Module):
    """Images to one score for every class or attribute, through a vector of features."""

    def __init__(self, image_size: int, answers: int) -> None:
        """Build the network for images of one size in pixels and a number of answers, A."""
        super().__init__()
        first = max(1, image_size // _FIRST_SIZE)
        strides = (first, *(2 for _ in CHANNELS[1:]))
        kernels = (_KERNEL + first // 2 * 2, *(_KERNEL for _ in CHANNELS[1:]))
        stages: list[nn.Module] = []
        for pair, kernel, stride in zip(pairwise((3, *CHANNELS)), kernels, strides, strict=True):
            stages.append(ConvolutionStage(*pair, kernel, stride, leak=0.0, normalise=True))
            stages.append(ResidualStage(pair[1]))
        self.stages = nn.Sequential(*stages)
        self.answers = nn.Linear(FEATURES, answers)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (B, 3, H, W) in [-1, 1] to features (B, F), at least 0, and scores (B, A)."""
        maps: Tensor = self.stages(image)
        features = maps.mean((2, 3))  # (B, F, H, W) -> (B, F)
        return features, self.answers(features)
