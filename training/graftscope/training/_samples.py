"""Grids of samples and reconstructions while a training runs."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from graftscope.training._pictures import to_images, to_pixels, write_grid
from graftscope.training._randomness import Purpose, randomness
from graftscope.training._training import Training

_SAMPLES, _COLUMNS = 64, 8
_RECONSTRUCTIONS = 32


def write_samples(training: Training, step: int) -> None:
    """Write `samples/STEP.png`, and for a VAE `samples/STEP-reconstructions.png`.

    The latents and the images are the same at every step. Reconstructions stand to the right
    of what they reconstruct: held-out images, or training images where nothing is held out.
    """
    networks, folder = training.learner.networks, training.folder / "samples"
    with torch.no_grad(), _evaluating(*networks.values()):
        samples = networks["generator"](_latents(training))
        write_grid(folder / f"{step:06d}.png", to_pixels(samples), _COLUMNS)
        if "encoder" in networks:
            shown = _shown_images(training)
            mean, _ = networks["encoder"](to_images(shown, training.device))
            again = to_pixels(networks["generator"](mean))
            pairs = np.stack([shown, again], axis=1).reshape(-1, *shown.shape[1:])
            write_grid(folder / f"{step:06d}-reconstructions.png", pairs, _COLUMNS)


def _latents(training: Training) -> torch.Tensor:
    shape = _SAMPLES, training.config.architecture.latent_size
    noise = randomness(training.config.seed, Purpose.SAMPLES)
    return torch.randn(shape, generator=noise).to(training.device)


def _shown_images(training: Training) -> NDArray[np.uint8]:
    images = training.images
    return (images.held_out if len(images.held_out) else images.training)[:_RECONSTRUCTIONS]


@contextmanager
def _evaluating(*networks: nn.Module) -> Iterator[None]:
    """Put networks into evaluation mode for a while: a look must not change their statistics."""
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for network in networks:
            network.train()
