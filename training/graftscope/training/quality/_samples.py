"""Where the images come from that are held against real ones: a generator's samples, and noise.

A source draws by its seed alone. Its images are rounded to bytes, as real ones are.

Shapes: B batch, N images, Z latent, H and W pixels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graftscope.training._pictures import batches, to_pixels
from graftscope.training._randomness import Purpose, randomness
from graftscope.training.checkpoint import Checkpoint, Originals
from graftscope.training.conditional import labels_of
from graftscope.training.networks import to_channels_last

SampleSource: TypeAlias = Callable[[int], Iterator[NDArray[np.uint8]]]
"""From a number of images to batches of images (B, H, W, 3)."""


def image_sources(
    checkpoint: Checkpoint, training: NDArray[np.uint8], seed: int, device: torch.device
) -> Mapping[str, SampleSource]:
    """Return the sources that a generator is measured by.

    Args:
        checkpoint: The generator; it is moved to the device.
        training: Images that it was trained on (N, H, W, 3), for the noise.
        seed: Decides the draws.
        device: Where to compute.

    Returns:
        `prior` (latents from N(0, I) and, where there are classes, one drawn evenly), for a VAE
        `encoded` (latents from the Gaussian of the training images' encodings, section 4), and
        `noise`.
    """
    generator = checkpoint.generator.to(device)
    to_channels_last(generator)
    architecture = checkpoint.config.architecture

    def generated(purpose: Purpose, turn: Callable[[Tensor], Tensor]) -> SampleSource:
        def draw(count: int) -> Iterator[NDArray[np.uint8]]:
            noise = randomness(seed, purpose)
            unit = torch.randn(count, architecture.latent_size, generator=noise)
            told = labels_of(architecture, count, noise)
            return _generate(generator, (turn(unit), *told), device)

        return draw

    sources = {"prior": generated(Purpose.PRIOR, lambda unit: unit)}
    if checkpoint.originals is not None:
        sources["encoded"] = generated(Purpose.ENCODED, _to_encoded(checkpoint.originals))
    sources["noise"] = _noise(training, seed)
    return sources


@torch.inference_mode()
def _generate(
    generator: nn.Module, inputs: Sequence[Tensor], device: torch.device
) -> Iterator[NDArray[np.uint8]]:
    for given in zip(*map(batches, inputs), strict=True):
        yield to_pixels(generator(*(each.to(device) for each in given)))


def _to_encoded(originals: Originals) -> Callable[[Tensor], Tensor]:
    """Return what turns standard normal latents (N, Z) into those of the Gaussian of encodings."""
    # Latents that the encoder left unused make the covariance singular: no Cholesky factor.
    variances, axes = np.linalg.eigh(originals.covariance)
    root = axes * np.sqrt(np.clip(variances, 0, None))  # (Z, Z)

    def turn(unit: Tensor) -> Tensor:
        return torch.from_numpy(originals.mean + unit.double().numpy() @ root.T).float()

    return turn


def _noise(training: NDArray[np.uint8], seed: int) -> SampleSource:
    """The mean image with each pixel's own standard deviation as independent Gaussian noise."""
    mean, deviation = _moments(training)

    def noise(count: int) -> Iterator[NDArray[np.uint8]]:
        draws = randomness(seed, Purpose.IMAGE_NOISE)
        for batch in batches(torch.arange(count)):
            unit = torch.randn((len(batch), *mean.shape), generator=draws).numpy()
            yield np.clip(np.rint(mean + deviation * unit), 0, 255).astype(np.uint8)

    return noise


def _moments(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of every pixel of images (N, H, W, 3), each (H, W, 3)."""
    total = np.zeros(images.shape[1:], np.int64)
    squares = np.zeros_like(total)
    for batch in batches(images):
        wide = batch.astype(np.int64)
        total += wide.sum(0)
        squares += (wide**2).sum(0)
    mean = total / len(images)
    return mean, np.sqrt(squares / len(images) - mean**2)
