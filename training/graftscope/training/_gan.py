"""One optimiser step of a GAN, with a class or without."""

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel

from graftscope.training._augmentation import augment, mirror
from graftscope.training._device import TrainingDevice
from graftscope.training._modularity import add_overlap
from graftscope.training._optimisers import adam, minimise
from graftscope.training.conditional import labels_of
from graftscope.training.losses import (
    discriminator_hinge,
    discriminator_loss,
    generator_hinge,
    generator_loss,
    gradient_penalty,
)
from graftscope.training.recipes import AdversarialLoss, Recipe

_PENALISED: Final = 4
"""One image of so many is enough for the gradient penalty, which costs several passes."""


class GanLearner:
    """Generator and discriminator; see `Learner`."""

    def __init__(
        self,
        recipe: Recipe,
        device: TrainingDevice,
        generator: nn.Module,
        discriminator: nn.Module,
        average: AveragedModel | None = None,
    ) -> None:
        """Take both networks, and the average of the generator's weights where one is kept."""
        self._recipe, self._device = recipe, device
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.averages = {} if average is None else {"generator": average}
        self.optimizers: dict[str, Adam] = {
            "generator": adam(recipe, recipe.learning_rate, generator),
            "discriminator": adam(recipe, recipe.discriminator_learning_rate, discriminator),
        }

    def update(
        self, images: Tensor, labels: Tensor | None, noise: torch.Generator
    ) -> dict[str, float]:
        """Do one step; see `Learner`."""
        recipe, discriminator = self._recipe, self.networks["discriminator"]
        given = self._given(images, noise)
        fakes, told = self.networks["generator"](*given), given[1] if given[1:] else None
        if recipe.mirroring:
            images = mirror(images, noise)

        def judged(seen: Tensor, said: Tensor | None) -> Tensor:
            given = () if said is None else (said,)
            logits: Tensor = discriminator(augment(seen, recipe, noise), *given)
            return logits

        judging = self._judging(judged(images, labels), judged(fakes.detach(), told))
        penalised = judging + self._penalty(images, labels)
        minimise(self._device, self.optimizers["discriminator"], penalised)
        # Judged again, by the discriminator that has just learnt.
        faking = self._faking(judged(fakes, told))
        generator = self.networks["generator"]
        total, overlap = add_overlap(faking, recipe, generator, given, noise)
        minimise(self._device, self.optimizers["generator"], total, alone=True)
        for name, average in self.averages.items():
            average.update_parameters(self.networks[name])
        return {
            "generator_loss": faking.item(),
            "discriminator_loss": judging.item(),
            **overlap,
        }

    def _penalty(self, images: Tensor, labels: Tensor | None) -> Tensor | float:
        """The penalty on the discriminator's slope at a part of the images, weighted."""
        weight, count = self._recipe.gradient_penalty, math.ceil(len(images) / _PENALISED)
        if not weight:
            return 0.0
        told = () if labels is None else (labels[:count],)
        discriminator = self.networks["discriminator"]
        return weight * gradient_penalty(lambda some: discriminator(some, *told), images[:count])

    def _given(self, images: Tensor, noise: torch.Generator) -> list[Tensor]:
        """As many latents as there are images and, where there are classes, as many classes."""
        architecture = self._recipe.architecture
        z = torch.randn(len(images), architecture.latent_size, generator=noise)
        told = labels_of(architecture, len(images), noise)
        return [each.to(images.device) for each in (z, *told)]

    @property
    def _faking(self) -> Callable[[Tensor], Tensor]:
        hinge = self._recipe.adversarial_loss is AdversarialLoss.HINGE
        return generator_hinge if hinge else generator_loss

    def _judging(self, real: Tensor, fake: Tensor) -> Tensor:
        if self._recipe.adversarial_loss is AdversarialLoss.HINGE:
            return discriminator_hinge(real, fake)
        return discriminator_loss(real, fake, real_label=self._recipe.real_label)
