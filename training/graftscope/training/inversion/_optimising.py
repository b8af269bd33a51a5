"""Latents of single images by optimisation: Adam on the error of what the generator makes of them.

Images do not depend on each other: each has the latents with the least loss that it ever had, so
an image is never worse off than at its start.

Shapes: N images, B batch, Z latent, C channels, H and W pixels.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim import Adam

from graftscope.training._learners import set_learning_rate
from graftscope.training._randomness import Purpose, seed_of
from graftscope.training.errors import InversionError
from graftscope.training.inversion._generator import GeneratorDescription, SampledGenerator
from graftscope.training.inversion._losses import Losses, Optimisation
from graftscope.training.inversion._measures import image_errors
from graftscope.training.progress import (
    ProgressCallback,
    Stage,
    TrainProgress,
    ignore_progress,
)
from graftscope.training.recipes import Schedule

DRAWS: Final = 256
_BATCH: Final = 32
_DRAWN_AT_ONCE: Final = 64

Images = NDArray[np.float32]
Encode = Callable[[Images], NDArray[np.float32]]
"""Images (B, C, H, W) in the generator's range to latents (B, Z)."""


@dataclass(frozen=True)
class Inversion:
    """Latents of images.

    Attributes:
        latents: (N, Z) float32.
        errors: Root mean square of each image's error per pixel, as a share of the range (N,).
        start_errors: The same before the first step (N,).
        errors_so_far: The mean over images of the least error until each step (steps + 1,); that of
            the least loss, where more than pixels is compared.
        mean_square: The mean square of each image's latents, in standard deviations of the prior
            (N,); about 1 for samples.
    """

    latents: NDArray[np.float32]
    errors: NDArray[np.float64]
    start_errors: NDArray[np.float64]
    errors_so_far: NDArray[np.float64]
    mean_square: NDArray[np.float64]


def invert(
    generator: SampledGenerator,
    images: Images,
    how: Optimisation | None = None,
    *,
    encode: Encode | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    on_progress: ProgressCallback = ignore_progress,
) -> Inversion:
    """Find latents from which a generator makes given images, as nearly as it can.

    Args:
        generator: The generator; to take steps, it must be differentiable.
        images: (N, C, H, W) float32 in the generator's range, at least one.
        how: How latents are optimised; None for the usual way.
        encode: Where each image starts; None takes the nearest of `draws` samples.
        draws: How many, at least 1.
        seed: Decides them.
        on_progress: Hears of every step.

    Returns:
        The latents and their errors; the same for the same arguments on one machine.

    Raises:
        InversionError: If the generator comes without a PyTorch module and there are steps to take,
            the images do not fit, or a feature network is for others.
    """
    how, told = how or Optimisation(), generator.description
    _require_fitting(told, images, how, draws)
    if how.steps and generator.network is None:
        raise InversionError(
            f"generator {told.name!r} comes as a graph alone: to optimise latents takes its "
            "PyTorch module"
        )
    start = nearest_draws(generator, images, draws, seed) if encode is None else encode(images)
    start = np.ascontiguousarray(start, np.float32)
    clock = _Clock(how.steps * -(-len(images) // _BATCH), on_progress)
    latents, curves = [start], []
    if how.steps and generator.network is not None:
        losses = Losses(generator.network, told, how)
        found = [
            _optimised(losses, images[part], start[part], clock) for part in _parts(len(images))
        ]
        latents, curves = [each for each, _ in found], [curve for _, curve in found]
    best = np.concatenate(latents)
    errors, start_errors = (_errors(generator, images, each) for each in (best, start))
    so_far = np.concatenate(curves).mean(axis=0) if curves else start_errors.mean(keepdims=True)
    unit = (best.astype(np.float64) - told.latent_mean) / told.latent_deviation
    return Inversion(best, errors, start_errors, so_far, np.square(unit).mean(axis=1))


def nearest_draws(
    generator: SampledGenerator, images: Images, draws: int, seed: int
) -> NDArray[np.float32]:
    """Return, for each image, the latents of the nearest of some samples, by mean square.

    Args:
        generator: The generator.
        images: (N, C, H, W) float32.
        draws: How many samples, at least 1.
        seed: Decides them.

    Returns:
        (N, Z) float32.
    """
    flat = images.reshape(len(images), -1).astype(np.float64)
    best = np.full(len(images), np.inf)
    found = np.zeros((len(images), generator.description.latent_size), np.float32)
    for block, first in enumerate(range(0, draws, _DRAWN_AT_ONCE)):
        count = min(_DRAWN_AT_ONCE, draws - first)
        latents = generator.draw(seed_of(seed, Purpose.STARTS, block), count)
        samples = generator.generate(latents).reshape(count, -1).astype(np.float64)
        # |x - s|² = |s|² - 2 x·s + what is the same for every sample
        distances = np.square(samples).sum(axis=1) - 2 * flat @ samples.T  # (N, count)
        nearest = distances.argmin(axis=1)
        least = distances[np.arange(len(images)), nearest]
        better = least < best
        best[better], found[better] = least[better], latents[nearest[better]]
    return found


def _optimised(
    losses: Losses, images: Images, start: NDArray[np.float32], clock: "_Clock"
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the best latents (B, Z), and the error until each step (B, steps + 1)."""
    steps, rate = losses.how.steps, losses.how.learning_rate
    shown = torch.from_numpy(np.ascontiguousarray(images))
    with torch.no_grad():
        wanted = losses.features(shown)
    unit = losses.unit(torch.from_numpy(start)).requires_grad_(True)
    optimizer = Adam([unit], lr=rate)
    best, least = unit.detach().clone(), torch.full((len(images),), torch.inf)
    error, curve = torch.full((len(images),), torch.inf), []
    for step in range(steps + 1):
        loss, pixels = losses(unit, shown, wanted)
        better = loss.detach() < least
        least = torch.where(better, loss.detach(), least)
        best = torch.where(better[:, None], unit.detach(), best)
        error = torch.where(better, pixels.detach().sqrt(), error)
        curve.append(error.double().numpy())
        if step == steps:
            break
        set_learning_rate(optimizer, rate, Schedule.COSINE, step, steps)
        optimizer.zero_grad()
        loss.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        clock.count(float(error.mean()))
    return losses.latents(best).numpy(), np.stack(curve, axis=1)


class _Clock:
    """Counts steps of batches and reports them."""

    def __init__(self, steps: int, on_progress: ProgressCallback) -> None:
        self._steps, self._on_progress = steps, on_progress
        self._began, self._done = time.monotonic(), 0

    def count(self, error: float) -> None:
        self._done += 1
        passed_s = max(time.monotonic() - self._began, 1e-9)
        self._on_progress(
            TrainProgress(
                stage=Stage.INVERTING,
                step=self._done,
                steps=self._steps,
                epoch=0,
                images_per_s=0.0,
                eta_s=(self._steps - self._done) * passed_s / self._done,
                losses={"error": error},
            )
        )


def _require_fitting(
    told: GeneratorDescription, images: Images, how: Optimisation, draws: int
) -> None:
    shape = (told.channels, told.height, told.width)
    if not len(images) or images.shape[1:] != shape:
        raise InversionError(f"images have shape {images.shape}; allowed: (N, *{shape}), N above 0")
    if draws < 1:
        raise InversionError(f"draws must be at least 1, not {draws}")
    if how.features is not None:
        size = how.features.config.image_size
        if shape != (3, size, size):
            raise InversionError(
                f"the feature network is for images (3, {size}, {size}), the generator's are "
                f"{shape}"
            )


def _errors(
    generator: SampledGenerator, images: Images, latents: NDArray[np.float32]
) -> NDArray[np.float64]:
    span = generator.description.span
    return np.concatenate(
        [
            image_errors(generator.generate(latents[part]), images[part], span)
            for part in _parts(len(images))
        ]
    )


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, _BATCH):
        yield slice(start, start + _BATCH)
