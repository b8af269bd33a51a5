"""The end of a training: held-out error, divergence and encodings measured, the checkpoint written.

Arithmetic is in float32 with float64 sums, whatever precision the training had.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from graftscope.training._averaging import measure_statistics
from graftscope.training._learners import diverged, kept_networks, require_finite_values
from graftscope.training._pictures import batches, to_images
from graftscope.training._randomness import Purpose, randomness
from graftscope.training._state import Position, Training
from graftscope.training.checkpoint import Metrics, Originals, write_checkpoint
from graftscope.training.conditional import labels_of
from graftscope.training.losses import kl_divergence
from graftscope.training.networks import Encoder, Generator, device_of, to_channels_last
from graftscope.training.progress import ImageCounter, Stage
from graftscope.training.recipes import Objective

_STATISTICS_BATCHES: Final = 100
"""Some thousands of images, of which each pixel of each map is one draw."""

_HELD_OUT: Final = ("reconstruction_mse", "sampled_reconstruction_mse", "kl")
"""What is measured of a VAE on images that it never saw; see `Metrics`."""


def finish(training: Training, end: Position) -> Metrics:
    """Measure what was trained and write the checkpoint; returns what was measured.

    Raises:
        DivergedError: If what is measured is not finite; no checkpoint is written then.
    """
    config, images = training.config, training.images
    _settle_averages(training)
    originals: Originals | None = None
    measured: Mapping[str, float | None] = dict.fromkeys(_HELD_OUT)
    if config.recipe.objective is Objective.VAE:
        generator, encoder = _float32_networks(training)
        total = len(images.held_out) + len(images.training)
        count = ImageCounter(Stage.MEASURING, total, training.on_progress, saved_step=config.step)
        if len(images.held_out):
            measured = _measured(generator, encoder, images.held_out, config.seed, count)
        require_finite_values(end.step, measured)
        originals = _encoded(encoder, images.training, count)
    metrics = Metrics(
        **measured,
        losses=end.losses,
        trained_on=config.data.trained_on,
        held_out=config.data.held_out,
        skipped=config.data.skipped,
        steps=end.step,
        wall_time_s=end.elapsed_s,
        device=str(training.device),
    )
    write_checkpoint(training.folder, config, kept_networks(training.learner), originals, metrics)
    return metrics


def _settle_averages(training: Training) -> None:
    """Let an averaged generator's normalisation fit what it makes of fresh latents."""
    config = training.config
    architecture, noise = config.architecture, randomness(config.seed, Purpose.STATISTICS)

    def drawn() -> tuple[torch.Tensor, ...]:
        z = torch.randn(config.recipe.batch_size, architecture.latent_size, generator=noise)
        told = labels_of(architecture, len(z), noise)
        return tuple(each.to(training.device) for each in (z, *told))

    for average in training.learner.averages.values():
        measure_statistics(average.module, (drawn() for _ in range(_STATISTICS_BATCHES)))


def _float32_networks(training: Training) -> tuple[Generator, Encoder]:
    """Copies of generator and encoder without the wrapping that lowers their precision."""
    architecture = training.config.architecture
    generator, encoder = Generator(architecture), Encoder(architecture)
    trained = training.learner.networks
    generator.load_state_dict(trained["generator"].state_dict())
    encoder.load_state_dict(trained["encoder"].state_dict())
    for network in (generator, encoder):
        to_channels_last(network)
        network.to(training.device).eval()
    return generator, encoder


@torch.inference_mode()
def _measured(
    generator: Generator,
    encoder: Encoder,
    held_out: NDArray[np.uint8],
    seed: int,
    on_images: Callable[[int], None],
) -> Mapping[str, float]:
    """Encode and reconstruct held-out images (M, H, W, 3), at least one."""
    device, sums = device_of(encoder), np.zeros(len(_HELD_OUT))
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
    return dict(zip(_HELD_OUT, (sums / len(held_out)).tolist(), strict=True))


@torch.inference_mode()
def _encoded(
    encoder: Encoder, training: NDArray[np.uint8], on_images: Callable[[int], None]
) -> Originals:
    """Mean and covariance of the posterior means of images (N, H, W, 3), section 4."""
    encodings, device = [], device_of(encoder)
    for pixels in batches(training):
        mean, _ = encoder(to_images(pixels, device))
        encodings.append(mean.double().cpu().numpy())  # (B, Z)
        on_images(len(pixels))
    stacked = np.concatenate(encodings)  # (N, Z)
    if not np.isfinite(stacked).all():
        raise diverged("", "encodings of its images are not finite")
    return Originals(stacked.mean(0), np.cov(stacked, rowvar=False).reshape(2 * stacked.shape[1:]))
