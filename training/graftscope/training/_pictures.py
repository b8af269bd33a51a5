"""Images as bytes and as tensors, and grids of them as PNG, to look at while a training runs."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from graftscope.training._learners import kept_networks
from graftscope.training._randomness import Purpose, randomness
from graftscope.training._state import Training

_GAP = 2
_BATCH = 64
_SAMPLES, _COLUMNS = 64, 8
_RECONSTRUCTIONS = 32

Rows = TypeVar("Rows", NDArray[np.uint8], Tensor)


def to_images(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Bytes (B, H, W, 3) to images (B, 3, H, W) in [-1, 1], channels last in memory."""
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images (B, 3, H, W) in [-1, 1] to bytes (B, H, W, 3)."""
    scaled = ((images.float() + 1) * 127.5).round().clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).to("cpu", torch.uint8).numpy()


def batches(rows: Rows) -> Iterator[Rows]:
    """Cut images, or other rows (N, ...), into consecutive batches."""
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def write_grid(path: Path, pixels: NDArray[np.uint8], columns: int) -> None:
    """Write images (B, H, W, 3) as one picture, row by row, on white."""
    count, height, width, colours = pixels.shape
    rows = math.ceil(count / columns)
    tall, wide = height + _GAP, width + _GAP
    sheet = np.full((rows * tall - _GAP, columns * wide - _GAP, colours), 255, np.uint8)
    for i, image in enumerate(pixels):
        top, left = i // columns * tall, i % columns * wide
        sheet[top : top + height, left : left + width] = image
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)


def write_samples(training: Training, step: int) -> None:
    """Write `samples/STEP.png`, and for a VAE `samples/STEP-reconstructions.png`.

    The latents, the classes (a column each) and the images are the same at every step.
    Reconstructions stand to the right
    of what they reconstruct: held-out images, or training images where nothing is held out.
    """
    networks, folder = kept_networks(training.learner), training.folder / "samples"
    classes = training.config.architecture.classes
    with torch.no_grad(), _evaluating(*networks.values()):
        samples = networks["generator"](_latents(training), *_shown_labels(training))
        columns = _COLUMNS if classes is None else min(classes, _SAMPLES)
        write_grid(folder / f"{step:06d}.png", to_pixels(samples), columns)
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


def _shown_labels(training: Training) -> tuple[Tensor, ...]:
    """The classes of the samples, one after the other, where the generator is told one."""
    classes = training.config.architecture.classes
    if classes is None:
        return ()
    return ((torch.arange(_SAMPLES) % classes).to(training.device),)


def _shown_images(training: Training) -> NDArray[np.uint8]:
    images = training.images
    return (images.held_out if len(images.held_out) else images.training)[:_RECONSTRUCTIONS]


@contextmanager
def _evaluating(*networks: nn.Module) -> Iterator[None]:
    """Put networks into evaluation mode for a while: a look must not change their statistics."""
    were = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for network, was in zip(networks, were, strict=True):
            network.train(was)
