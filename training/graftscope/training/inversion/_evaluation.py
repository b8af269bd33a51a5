"""What a training of an inverter shows and measures: pictures on the way, errors at its end.

Arithmetic is in float32 with float64 sums, whatever precision the training had; images are those of
the generator itself, never of its PyTorch module.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from graftscope.training._learners import require_finite_values
from graftscope.training._pictures import write_grid
from graftscope.training._randomness import Purpose, seed_of
from graftscope.training._state import Position
from graftscope.training.inversion._checkpoint import (
    InverterConfig,
    InverterMetrics,
    write_inverter,
)
from graftscope.training.inversion._generator import SampledGenerator
from graftscope.training.inversion._learner import InverterLearner
from graftscope.training.inversion._measures import (
    Reconstruction,
    image_errors,
    reconstruction_of,
)
from graftscope.training.inversion._network import Inverter
from graftscope.training.inversion._photographs import PhotographData, in_bytes, in_range
from graftscope.training.inversion._settings import InverterSettings
from graftscope.training.progress import ImageCounter, ProgressCallback, Stage

MEASURED_SAMPLES: Final = 512
_SHOWN: Final = 32
_COLUMNS: Final = 8
_BATCH: Final = 64

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class InverterTraining:
    """A training.

    Attributes:
        config: What decides its weights.
        generator: What is inverted.
        photographs: The decoded photographs; None for none.
        learner: The network and its optimiser; the loop changes them.
        folder: Where its files go.
        device: Where it computes.
        on_progress: Hears of progress.
    """

    config: InverterConfig
    generator: SampledGenerator
    photographs: PhotographData | None
    learner: InverterLearner
    folder: Path
    device: torch.device
    on_progress: ProgressCallback

    @property
    def settings(self) -> InverterSettings:
        """The settings."""
        return self.config.recipe


def finish(training: InverterTraining, end: Position) -> InverterMetrics:
    """Measure what was trained and write the checkpoint; returns what was measured.

    Raises:
        DivergedError: If what is measured is not finite; no checkpoint is written then.
    """
    generator, seed = training.generator, training.config.seed
    network = _float32_network(training)
    held_out = None if training.photographs is None else training.photographs.held_out
    total = MEASURED_SAMPLES + (0 if held_out is None else len(held_out))
    count = ImageCounter(
        Stage.MEASURING, total, training.on_progress, saved_step=training.config.step
    )
    latents = generator.draw(seed_of(seed, Purpose.INVERTER_MEASUREMENT), MEASURED_SAMPLES)
    images = _in_batches(generator.generate, latents)
    told = _told(network, images, training.device)
    wrong, around = np.square(told - latents), np.square(latents - latents.mean(axis=0))
    samples = _reconstruction(training, images, told, count)
    photographs = None
    if held_out is not None and len(held_out):
        shown = in_range(held_out, generator.description)
        again = _told(network, shown, training.device)
        photographs = _reconstruction(training, shown, again, count)
    metrics = InverterMetrics(
        samples=samples,
        latent_error=float(wrong.sum(dtype=np.float64) / around.sum(dtype=np.float64)),
        photographs=photographs,
        losses=end.losses,
        steps=end.step,
        wall_time_s=end.elapsed_s,
        device=str(training.device),
    )
    values = {"error": samples.error, "latent_error": metrics.latent_error}
    require_finite_values(end.step, values)
    write_inverter(training.folder, training.config, network, metrics)
    return metrics


def _float32_network(training: InverterTraining) -> Inverter:
    """A copy of the network without the wrapping that lowers its precision."""
    network = Inverter(training.config.generator, training.settings)
    network.load_state_dict(training.learner.networks["inverter"].state_dict())
    return network.to(training.device).eval()


def _reconstruction(
    training: InverterTraining, images: Rows, latents: Rows, count: ImageCounter
) -> Reconstruction:
    span, errors = training.config.generator.span, []
    for start in range(0, len(images), _BATCH):
        part = images[start : start + _BATCH]
        made = training.generator.generate(latents[start : start + _BATCH])
        errors.append(image_errors(made, part, span))
        count(len(part))
    return reconstruction_of(np.concatenate(errors), images, span)


@torch.inference_mode()
def _told(network: torch.nn.Module, images: Rows, device: torch.device) -> Rows:
    """Latents (N, Z) of images (N, C, H, W)."""
    return _in_batches(
        lambda part: network(torch.from_numpy(part).to(device)).float().cpu().numpy(), images
    )


def _in_batches(compute: Callable[[Rows], Rows], rows: Rows) -> Rows:
    parts = range(0, len(rows), _BATCH)
    return np.concatenate([compute(rows[start : start + _BATCH]) for start in parts])


def write_samples(training: InverterTraining, step: int) -> None:
    """Write `samples/STEP.png`, and of photographs `samples/STEP-photographs.png`.

    Reconstructions stand to the right of what they reconstruct, the same at every step.
    """
    generator = training.generator
    seed = seed_of(training.config.seed, Purpose.INVERTER_SAMPLES)
    shown = {"": generator.generate(generator.draw(seed, _SHOWN))}
    if training.photographs is not None:
        held_out, others = training.photographs.held_out, training.photographs.training
        pixels = (held_out if len(held_out) else others)[:_SHOWN]
        shown["-photographs"] = in_range(pixels, generator.description)
    network = _float32_network(training)
    for ending, images in shown.items():
        again = generator.generate(_told(network, images, training.device))
        sides = [in_bytes(each, generator.description) for each in (images, again)]
        pairs = np.stack(sides, axis=1)  # (B, 2, H, W, 3)
        path = training.folder / "samples" / f"{step:06d}{ending}.png"
        write_grid(path, pairs.reshape(-1, *pairs.shape[2:]), _COLUMNS)
