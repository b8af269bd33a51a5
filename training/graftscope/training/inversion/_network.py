"""The inverter: a small convolutional encoder, images to the latent that made them."""

from itertools import pairwise

from torch import Tensor, nn

from graftscope.training.inversion._generator import GeneratorDescription
from graftscope.training.inversion._settings import InverterSettings
from graftscope.training.networks import LEAK, ConvolutionStage

_STRIDE = 2


class Inverter(nn.Module):
    """Images to latents, through convolutions that halve height and width."""

    def __init__(self, generator: GeneratorDescription, settings: InverterSettings) -> None:
        """Build it for a generator's images and latents, with torch's own weights."""
        super().__init__()
        self._middle = (generator.low + generator.high) / 2
        self._half = generator.span / 2
        self._mean, self._deviation = generator.latent_mean, generator.latent_deviation
        kernel = settings.kernel_size
        self.stages = nn.Sequential(
            *(
                ConvolutionStage(*pair, kernel, _STRIDE, leak=LEAK, normalise=True)
                for pair in pairwise((generator.channels, *settings.channels))
            )
        )
        height, width = generator.height, generator.width
        for _ in settings.channels:
            height, width = -(-height // _STRIDE), -(-width // _STRIDE)
        self.latent = nn.Linear(settings.channels[-1] * height * width, generator.latent_size)

    def forward(self, image: Tensor) -> Tensor:
        """Tell which latents made images.

        Args:
            image: Images (B, C, H, W) in the generator's range.

        Returns:
            Latents (B, Z).
        """
        features = self.stages((image - self._middle) / self._half).flatten(1)
        unit: Tensor = self.latent(features)  # (B, C'*H'*W') -> (B, Z)
        return self._mean + self._deviation * unit
