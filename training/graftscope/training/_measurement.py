"""What is measured when a training ends: held-out error, divergence, and encodings.

Arithmetic is in float32 with float64 sums, whatever precision the training had.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graftscope.training._pictures import to_images
from graftscope.training._randomness import Purpose, randomness
from graftscope.training.checkpoint import Originals
from graftscope.training.errors import DivergedError
from graftscope.training.losses import kl_divergence
from graftscope.training.networks import Encoder, Generator

_BATCH = 64

Rows = TypeVar("Rows", NDArray[np.uint8], Tensor)


@dataclass(frozen=True)
class HeldOutQuality:
    """How well a VAE does on images that it never saw, None for unmeasured; see `Metrics`."""

    reconstruction_mse: float | None = None
    sampled_reconstruction_mse: float | None = None
    kl: float | None = None


@torch.inference_mode()
def measure_held_out(
    generator: Generator,
    encoder: Encoder,
    held_out: NDArray[np.uint8],
    *,
    seed: int,
    device: torch.device,
    on_images: Callable[[int], None],
) -> HeldOutQuality:
    """Encode and reconstruct held-out images (M, H, W, 3); without any nothing is measured.

    Args:
        generator: In evaluation mode, on the device.
        encoder: Likewise.
        held_out: The images.
        seed: Seed of the posterior's samples.
        device: Where to compute.
        on_images: Hears how many more images are done.
    """
    if not len(held_out):
        return HeldOutQuality()
    sums = np.zeros(3)
    for i, pixels in enumerate(batches(held_out)):
        images = to_images(pixels, device)
        mean, log_variance = encoder(images)
        unit = torch.randn(mean.shape, generator=randomness(seed, Purpose.MEASUREMENT, i))
        sampled = mean + unit.to(device) * (0.5 * log_variance).exp()
        errors = [
            (generator(z) - images).double().square().mean((1, 2, 3)).sum() for z in (mean, sampled)
        ]
        kl = kl_divergence(mean.double(), log_variance.double()).sum()
        sums += [float(value) for value in (*errors, kl)]
        on_images(len(pixels))
    return HeldOutQuality(*(sums / len(held_out)).tolist())


@torch.inference_mode()
def encode_training_images(
    encoder: Encoder,
    training: NDArray[np.uint8],
    *,
    device: torch.device,
    on_images: Callable[[int], None],
) -> Originals:
    """Mean and covariance of the posterior means of images (N, H, W, 3), section 4.

    Raises:
        DivergedError: If a posterior mean is not finite.
    """
    encodings = []
    for pixels in batches(training):
        mean, _ = encoder(to_images(pixels, device))
        encodings.append(mean.double().cpu().numpy())  # (B, Z)
        on_images(len(pixels))
    stacked = np.concatenate(encodings)  # (N, Z)
    if not np.isfinite(stacked).all():
        raise DivergedError(
            "the training has diverged: encodings of its images are not finite; "
            "lower learning_rate, or set precision=float32"
        )
    return Originals(stacked.mean(0), np.cov(stacked, rowvar=False).reshape(2 * stacked.shape[1:]))


def batches(rows: Rows) -> Iterator[Rows]:
    """Cut images, or other rows (N, ...), into consecutive batches."""
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]
