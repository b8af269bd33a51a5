"""A small convolutional network whose last hidden layer says what matters in an image.

It knows neither tasks nor files.

Shapes: B batch, C channels, F features, A answers, H and W pixels.
"""

from itertools import pairwise
from typing import Final

from torch import Tensor, nn

from graftscope.training.networks import ConvolutionStage

CHANNELS: Final = (32, 64, 128, 128)
FEATURES: Final = CHANNELS[-1]
"""Length of the vector of features, F."""

_KERNEL: Final = 3
# Images of this side or less are seen by the first convolution at every pixel.
_FULL_SIZE: Final = 32


class FeatureNetwork(nn.Module):
    """Images to one logit for every class or attribute, through a vector of features."""

    def __init__(self, image_size: int, answers: int) -> None:
        """Build the network for images of one size in pixels and a number of answers, A."""
        super().__init__()
        strides = (max(1, image_size // _FULL_SIZE), *(2 for _ in CHANNELS[1:]))
        steps = zip(pairwise((3, *CHANNELS)), strides, strict=True)
        self.stages = nn.Sequential(
            *(
                ConvolutionStage(*pair, _KERNEL, stride, leak=0.0, normalise=True)
                for pair, stride in steps
            )
        )
        self.answers = nn.Linear(FEATURES, answers)

    def features(self, image: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [-1, 1] to features (B, F), each at least 0."""
        maps: Tensor = self.stages(image)
        return maps.mean((2, 3))  # (B, F, H, W) -> (B, F)

    def forward(self, image: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [-1, 1] to logits (B, A)."""
        logits: Tensor = self.answers(self.features(image))
        return logits
