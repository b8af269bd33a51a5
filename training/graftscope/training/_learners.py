"""One optimiser step of a VAE or of a GAN, with the networks and optimisers that it changes.

They know nothing of data, schedules or files; randomness is handed in.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam

from graftscope.training._device import Device
from graftscope.training._randomness import Purpose, randomness
from graftscope.training.losses import discriminator_loss, generator_loss, vae_loss
from graftscope.training.networks import (
    Discriminator,
    Encoder,
    Generator,
    initialise,
    to_channels_last,
)
from graftscope.training.recipes import Objective, Recipe


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


def create_learner(recipe: Recipe, seed: int, device: Device) -> Learner:
    """Build what the recipe trains, on the device, with weights of the seed."""
    if recipe.objective is Objective.VAE:
        return _VaeLearner(recipe, seed, device)
    return _GanLearner(recipe, seed, device)


class _VaeLearner:
    def __init__(self, recipe: Recipe, seed: int, device: Device) -> None:
        self._recipe, self._device = recipe, device
        self._generator = _prepare(
            Generator(recipe.architecture),
            recipe,
            device,
            randomness(seed, Purpose.GENERATOR_WEIGHTS),
        )
        self._encoder = _prepare(
            Encoder(recipe.architecture),
            recipe,
            device,
            randomness(seed, Purpose.MIRROR_WEIGHTS),
        )
        self.networks = {"generator": self._generator, "encoder": self._encoder}
        self._optimizer = _adam(recipe, recipe.learning_rate, self._generator, self._encoder)
        self.optimizers = {"generator": self._optimizer}

    def update(self, images: Tensor, noise: torch.Generator) -> dict[str, float]:
        mean, log_variance = self._encoder(images)
        unit = torch.randn(mean.shape, generator=noise).to(mean.device)
        z = mean + unit * (0.5 * log_variance).exp()
        loss = vae_loss(self._generator(z), images, mean, log_variance, beta=self._recipe.beta)
        self._optimizer.zero_grad()
        self._device.backward(loss.total)
        self._optimizer.step()
        return {
            "loss": loss.total.item(),
            "reconstruction_mse": loss.reconstruction.item(),
            "kl": loss.kl.item(),
        }


class _GanLearner:
    def __init__(self, recipe: Recipe, seed: int, device: Device) -> None:
        self._recipe, self._device = recipe, device
        self._generator = _prepare(
            Generator(recipe.architecture),
            recipe,
            device,
            randomness(seed, Purpose.GENERATOR_WEIGHTS),
        )
        self._discriminator = _prepare(
            Discriminator(recipe.architecture),
            recipe,
            device,
            randomness(seed, Purpose.MIRROR_WEIGHTS),
        )
        self.networks = {"generator": self._generator, "discriminator": self._discriminator}
        self.optimizers = {
            "generator": _adam(recipe, recipe.learning_rate, self._generator),
            "discriminator": _adam(recipe, recipe.discriminator_learning_rate, self._discriminator),
        }

    def update(self, images: Tensor, noise: torch.Generator) -> dict[str, float]:
        shape = len(images), self._recipe.architecture.latent_size
        fakes = self._generator(torch.randn(shape, generator=noise).to(images.device))
        judging = discriminator_loss(
            self._discriminator(images),
            self._discriminator(fakes.detach()),
            real_label=self._recipe.real_label,
        )
        self._step("discriminator", judging)
        # Judged again, by the discriminator that has just learnt.
        faking = generator_loss(self._discriminator(fakes))
        self._step("generator", faking)
        return {"generator_loss": faking.item(), "discriminator_loss": judging.item()}

    def _step(self, network: str, loss: Tensor) -> None:
        optimizer = self.optimizers[network]
        optimizer.zero_grad()
        self._device.backward(loss)
        optimizer.step()


def _prepare(
    network: nn.Module, recipe: Recipe, device: Device, weights: torch.Generator
) -> nn.Module:
    initialise(network, weights)
    if recipe.channels_last:
        to_channels_last(network)
    return device.prepare(network).train()


def _adam(recipe: Recipe, learning_rate: float, *networks: nn.Module) -> Adam:
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return Adam(parameters, lr=learning_rate, betas=(recipe.adam_beta1, recipe.adam_beta2))
