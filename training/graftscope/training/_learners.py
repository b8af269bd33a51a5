"""One optimiser step of a VAE or of a GAN: networks, learning rates, and whether all is finite.

Learning rates are a function of the step alone, so that a resumed training needs no state. Losses
are those before a step, so that the weights after it need a proof of their own. Nothing here knows
data or files; randomness is handed in.
"""

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel

from graftscope.training._averaging import average_of
from graftscope.training._device import TrainingDevice
from graftscope.training._gan import GanLearner
from graftscope.training._modularity import add_overlap
from graftscope.training._optimisers import adam, minimise
from graftscope.training._randomness import Purpose, randomness
from graftscope.training._spectrum import bound_spectrum
from graftscope.training.conditional import build_generator
from graftscope.training.errors import DivergedError
from graftscope.training.losses import vae_loss
from graftscope.training.networks import (
    Discriminator,
    Encoder,
    initialise,
    scale_for_rectifiers,
    to_channels_last,
)
from graftscope.training.recipes import Normalisation, Objective, Recipe, Schedule


class Learner(Protocol):
    """What the loop needs of an objective.

    Attributes:
        networks: The networks by the name of their file.
        averages: Averages of weights by the name of their network; they stand for it in what is
            shown and kept.
        optimizers: Their optimisers by the name of the network that they are first of.
    """

    networks: dict[str, nn.Module]
    averages: dict[str, AveragedModel]
    optimizers: dict[str, Adam]

    def update(
        self, images: Tensor, labels: Tensor | None, noise: torch.Generator
    ) -> dict[str, float]:
        """Do one step.

        Args:
            images: (B, 3, H, W) in [-1, 1].
            labels: Their classes (B,), int64, where the recipe has classes.
            noise: The source of every draw.

        Returns:
            The losses before the step, by name.
        """


def kept_networks(learner: Learner) -> dict[str, nn.Module]:
    """Return the networks by name as a checkpoint keeps them: averaged where there is an average.

    An average is always in evaluation mode.
    """
    averaged = {name: average.module for name, average in learner.averages.items()}
    return learner.networks | averaged


def create_learner(recipe: Recipe, seed: int, device: TrainingDevice) -> Learner:
    """Build what the recipe trains, on the device, with weights of the seed."""
    architecture = recipe.architecture
    weights, mirror_weights = (
        randomness(seed, purpose) for purpose in (Purpose.GENERATOR_WEIGHTS, Purpose.MIRROR_WEIGHTS)
    )
    generator = _prepare(build_generator(architecture), recipe, device, weights)
    if recipe.objective is Objective.VAE:
        encoder = _prepare(Encoder(architecture), recipe, device, mirror_weights)
        return _VaeLearner(recipe, device, generator, encoder)
    judge = Discriminator(architecture, normalise=recipe.normalisation is Normalisation.BATCH)
    discriminator = _prepare(judge, recipe, device, mirror_weights)
    return GanLearner(recipe, device, generator, discriminator, _average(recipe, device))


def _average(recipe: Recipe, device: TrainingDevice) -> AveragedModel | None:
    """Return the average of the generator's weights, which its first update makes equal to them."""
    if not recipe.average_decay:
        return None
    generator = build_generator(recipe.architecture)
    if recipe.channels_last:
        to_channels_last(generator)
    return average_of(generator.to(device.device), recipe.average_decay)


class _VaeLearner:
    def __init__(
        self, recipe: Recipe, device: TrainingDevice, generator: nn.Module, encoder: nn.Module
    ) -> None:
        self._recipe, self._device = recipe, device
        self.networks = {"generator": generator, "encoder": encoder}
        self.averages: dict[str, AveragedModel] = {}
        self.optimizers = {"generator": adam(recipe, recipe.learning_rate, generator, encoder)}

    def update(
        self, images: Tensor, labels: Tensor | None, noise: torch.Generator
    ) -> dict[str, float]:
        mean, log_variance = self.networks["encoder"](images)
        unit = torch.randn(mean.shape, generator=noise).to(mean.device)
        z = mean + unit * (0.5 * log_variance).exp()
        reconstruction = self.networks["generator"](z)
        loss = vae_loss(reconstruction, images, mean, log_variance, beta=self._recipe.beta)
        generator = self.networks["generator"]
        total, overlap = add_overlap(loss.total, self._recipe, generator, [z], noise)
        minimise(self._device, self.optimizers["generator"], total)
        return {
            "loss": total.item(),
            "reconstruction_mse": loss.reconstruction.item(),
            "kl": loss.kl.item(),
            **overlap,
        }


def _prepare(
    network: nn.Module, recipe: Recipe, device: TrainingDevice, weights: torch.Generator
) -> nn.Module:
    initialise(network, weights)
    if recipe.scaled_start and isinstance(network, Discriminator):
        scale_for_rectifiers(network, weights)
    if recipe.normalisation is Normalisation.SPECTRAL and isinstance(network, Discriminator):
        bound_spectrum(network, weights)
    if recipe.channels_last:
        to_channels_last(network)
    return device.prepare(network).train()


def learning_rate_share(schedule: Schedule, step: int, steps: int) -> float:
    """Return the share of the full learning rate at a step (from 0): in (0, 1]."""
    match schedule:
        case Schedule.CONSTANT:
            return 1.0
        case Schedule.COSINE:
            return 0.5 * (1 + math.cos(math.pi * step / steps))


def set_learning_rates(
    optimizers: Mapping[str, Adam], recipe: Recipe, step: int, steps: int
) -> None:
    """Set every optimiser's learning rate for a step (from 0)."""
    full = {
        "generator": recipe.learning_rate,
        "discriminator": recipe.discriminator_learning_rate,
    }
    for name, optimizer in optimizers.items():
        set_learning_rate(optimizer, full[name], recipe.schedule, step, steps)


def set_learning_rate(
    optimizer: Adam, full: float, schedule: Schedule, step: int, steps: int
) -> None:
    """Set an optimiser's share of the full rate for a step (from 0)."""
    for group in optimizer.param_groups:
        group["lr"] = full * learning_rate_share(schedule, step, steps)


def require_finite_values(step: int, values: Mapping[str, float | None]) -> None:
    """Refuse losses, or what was measured, that are no finite numbers; None is unmeasured.

    Raises:
        DivergedError: If one is not finite.
    """
    known = {name: value for name, value in values.items() if value is not None}
    bad = {name: value for name, value in known.items() if not math.isfinite(value)}
    if bad:
        raise diverged(f"at step {step} ", str(bad))


def require_finite_weights(step: int, networks: Mapping[str, nn.Module]) -> None:
    """Refuse networks with a weight, or a running statistic, that is no finite number.

    Raises:
        DivergedError: If one is not finite.
    """
    for network, module in networks.items():
        for name, tensor in module.state_dict().items():
            if not bool(torch.isfinite(tensor).all()):
                raise diverged(f"at step {step} ", f"{network}'s {name} is not finite")


def diverged(where: str, what: str) -> DivergedError:
    """Return the refusal that says where a training is no longer finite, and what of it."""
    return DivergedError(
        f"{where}the training has diverged: {what}; lower learning_rate, or set precision=float32"
    )
