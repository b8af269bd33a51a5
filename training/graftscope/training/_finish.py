"""The end of a training: measure, and write the checkpoint."""

from graftscope.training._counting import Counter
from graftscope.training._finite import require_finite_values
from graftscope.training._measurement import (
    HeldOutQuality,
    encode_training_images,
    measure_held_out,
)
from graftscope.training._state import Position
from graftscope.training._training import Training
from graftscope.training.checkpoint import Metrics, write_checkpoint
from graftscope.training.networks import Encoder, Generator, to_channels_last
from graftscope.training.progress import Stage
from graftscope.training.recipes import Objective


def finish(training: Training, end: Position) -> Metrics:
    """Measure what was trained and write the checkpoint; returns what was measured.

    Raises:
        DivergedError: If what is measured is not finite; no checkpoint is written then.
    """
    originals, quality = None, HeldOutQuality()
    if training.config.recipe.objective is Objective.VAE:
        generator, encoder = _float32_networks(training)
        images, device = training.images, training.device
        on_images = Counter(
            Stage.MEASURING,
            len(images.held_out) + len(images.training),
            training.on_progress,
            saved_step=training.config.step,
        )
        quality = measure_held_out(
            generator,
            encoder,
            images.held_out,
            seed=training.config.seed,
            device=device,
            on_images=on_images,
        )
        require_finite_values(end.step, vars(quality))
        originals = encode_training_images(
            encoder, images.training, device=device, on_images=on_images
        )
    data = training.config.data
    metrics = Metrics(
        reconstruction_mse=quality.reconstruction_mse,
        sampled_reconstruction_mse=quality.sampled_reconstruction_mse,
        kl=quality.kl,
        losses=end.losses,
        trained_on=data.trained_on,
        held_out=data.held_out,
        skipped=data.skipped,
        steps=end.step,
        wall_time_s=end.elapsed_s,
        device=str(training.device),
    )
    write_checkpoint(
        training.folder, training.config, training.learner.networks, originals, metrics
    )
    return metrics


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
