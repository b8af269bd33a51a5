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

from graftscope.training._device import TrainingDevice
from graftscope.training._modularity import add_overlap
from graftscope.training._randomness import Purpose, randomness
from graftscope.training.errors import DivergedError
from graftscope.training.losses import discriminator_loss, generator_loss, vae_loss
from graftscope.training.networks import (
    Discriminator,
    Encoder,
    Generator,
    initialise,
    to_channels_last,
)
from graftscope.training.recipes import Objective, Recipe, Schedule


class Learner(Protocol):
    """What the loop needs of an objective.

    Attributes:
        networks: The networks by the name of their file.
        optimizers: Their optimisers by the name of the network that they are first of.
    """

    networks: dict[str, nn.Module]
    optimizers: dict[str, Adam]

    def update(self, images: Tensor, noise: torch.Generator) -> dict[str, float]:
        """Do one step on images (B, 3, H, W); returns the losses before it, by name."""


def create_learner(recipe: Recipe, seed: int, device: TrainingDevice) -> Learner:
    """Build what the recipe trains, on the device, with weights of the seed."""
    architecture, is_vae = recipe.architecture, recipe.objective is Objective.VAE
    generator, mirror = (
        _prepare(network, recipe, device, randomness(seed, purpose))
        for network, purpose in (
            (Generator(architecture), Purpose.GENERATOR_WEIGHTS),
            ((Encoder if is_vae else Discriminator)(architecture), Purpose.MIRROR_WEIGHTS),
        )
    )
    return (_VaeLearner if is_vae else _GanLearner)(recipe, device, generator, mirror)


class _VaeLearner:
    def __init__(
        self, recipe: Recipe, device: TrainingDevice, generator: nn.Module, encoder: nn.Module
    ) -> None:
        self._recipe, self._device = recipe, device
        self.networks = {"generator": generator, "encoder": encoder}
        self.optimizers = {"generator": _adam(recipe, recipe.learning_rate, generator, encoder)}

    def update(self, images: Tensor, noise: torch.Generator) -> dict[str, float]:
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


class _GanLearner:
    def __init__(
        self, recipe: Recipe, device: TrainingDevice, generator: nn.Module, discriminator: nn.Module
    ) -> None:
        self._recipe, self._device = recipe, device
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.optimizers = {
            "generator": _adam(recipe, recipe.learning_rate, generator),
            "discriminator": _adam(recipe, recipe.discriminator_learning_rate, discriminator),
        }

    def update(self, images: Tensor, noise: torch.Generator) -> dict[str, float]:
        discriminator = self.networks["discriminator"]
        shape = len(images), self._recipe.architecture.latent_size
        z = torch.randn(shape, generator=noise).to(images.device)
        fakes = self.networks["generator"](z)
        judging = discriminator_loss(
            discriminator(images),
            discriminator(fakes.detach()),
            real_label=self._recipe.real_label,
        )
        minimise(self._device, self.optimizers["discriminator"], judging)
        # Judged again, by the discriminator that has just learnt.
        faking = generator_loss(discriminator(fakes))
        generator = self.networks["generator"]
        total, overlap = add_overlap(faking, self._recipe, generator, [z], noise)
        minimise(self._device, self.optimizers["generator"], total)
        return {
            "generator_loss": faking.item(),
            "discriminator_loss": judging.item(),
            **overlap,
        }


def _prepare(
    network: nn.Module, recipe: Recipe, device: TrainingDevice, weights: torch.Generator
) -> nn.Module:
    initialise(network, weights)
    if recipe.channels_last:
        to_channels_last(network)
    return device.prepare(network).train()


def _adam(recipe: Recipe, learning_rate: float, *networks: nn.Module) -> Adam:
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return Adam(parameters, lr=learning_rate, betas=(recipe.adam_beta1, recipe.adam_beta2))


def minimise(device: TrainingDevice, optimizer: Adam, loss: Tensor) -> None:
    """Step once down a loss."""
    optimizer.zero_grad()
    device.backward(loss)
    optimizer.step()


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
