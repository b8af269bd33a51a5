"""Recipes: everything that decides what a training makes, by name.

A recipe holds no path, seed or device: with the images and a seed it decides the weights. It
knows no torch.
"""

import math
from dataclasses import dataclass, replace
from enum import Enum

from graftscope.training.architecture import (
    CGAN_CIFAR10,
    GAN_CELEBA,
    GAN_CIFAR10,
    VAE_CELEBA,
    VAE_CIFAR10,
    Architecture,
)
from graftscope.training.errors import RecipeError


class Objective(Enum):
    """What is minimised."""

    VAE = "vae"
    GAN = "gan"


class AdversarialLoss(Enum):
    """What the networks of a GAN minimise against each other."""

    CROSS_ENTROPY = "cross-entropy"
    HINGE = "hinge"


class Normalisation(Enum):
    """What keeps the maps of a discriminator in bounds.

    `BATCH` is batch normalisation behind all but the first; `SPECTRAL` divides each map by its
    largest singular value.
    """

    NONE = "none"
    BATCH = "batch"
    SPECTRAL = "spectral"


class HeldOutRule(Enum):
    """Which images are never trained on."""

    NUMBER_DIVISIBLE_BY_10 = "number-divisible-by-10"
    TEST_SET = "test-set"


class Precision(Enum):
    """The arithmetic of the networks' forward and backward passes."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Schedule(Enum):
    """How the learning rates change from the first step to the last."""

    CONSTANT = "constant"
    COSINE = "cosine"


# Steps are float32 numbers, and Adam divides the rate by what may be small.
_LARGEST_RATE = 1e30
_RATE = f"above 0 and at most {_LARGEST_RATE:g}"


@dataclass(frozen=True)
class Recipe:
    """One training, up to its images and its seed (Table 1).

    Attributes:
        name: The recipe's name.
        objective: VAE or GAN.
        architecture: The networks.
        held_out: Which images are never trained on.
        crop_share: Side of the centred square cut from an image that is not square, as a
            share of its width, in (0, 1]; 148/178 for CelebA's aligned images.
        epochs: How often each image is seen, unless a number of steps is given.
        batch_size: Images a step.
        learning_rate: Adam's rate for the generator (and the encoder).
        discriminator_learning_rate: Adam's rate for the discriminator; only a GAN uses it.
        adam_beta1: Adam's decay of the mean gradient, in [0, 1).
        adam_beta2: Adam's decay of the mean squared gradient, in [0, 1).
        schedule: How the learning rates change.
        beta: Weight of the divergence in the VAE's loss; only a VAE uses it.
        real_label: The discriminator's label of real images, in (0, 1]; only a GAN with cross
            entropy uses it.
        adversarial_loss: What a GAN minimises.
        normalisation: What keeps the discriminator's maps in bounds; only a GAN uses it.
        scaled_start: Whether the discriminator's weights begin with the deviations that keep the
            size of activations, and not all with 0.02; only a GAN uses it.
        gradient_penalty: Weight of half the squared gradient of the discriminator at real images
            (R1), measured on a quarter of each batch; only a GAN uses it.
        average_decay: What is kept at each step of the average of the generator's weights, in
            [0, 1); the checkpoint's generator is this average, or at 0 the last weights. Only a
            GAN uses it.
        mirroring: Whether real images are turned left to right at random; only a GAN uses it.
        colour_jitter: How much colours change of what the discriminator sees, in [0, 1].
        translation: How far that is moved, as a share of its side, in [0, 1).
        cutout: The side of the square that is hidden of it, as a share of its side, in [0, 1).
        modularity: Weight of the overlap of groups of channels in the generator's loss; 0 trains
            without it.
        modularity_groups: How many groups of neighbours a layer's channels are cut into.
        modularity_layer: The layer, by its name in `Architecture.layers`.
        modularity_pairs: Pairs of samples a step on which the overlap is measured, from the batch.
        precision: The arithmetic of the networks; weights and sums stay in float32. `AUTO` is
            bfloat16 where the processor or GPU has instructions for it; a checkpoint's recipe
            tells which it was.
        channels_last: Whether activations lie in memory pixel by pixel, which is faster.
        report_every: Steps from one row of the curves to the next.
        sample_every: Steps from one grid of samples to the next.
        checkpoint_every: Steps from one resumable state to the next.
        tensorboard: Whether the curves also go to TensorBoard.

    Raises:
        RecipeError: If a number is out of its range.
    """

    name: str
    objective: Objective
    architecture: Architecture
    held_out: HeldOutRule
    crop_share: float = 1.0
    epochs: int = 25
    batch_size: int = 64
    learning_rate: float = 1e-3
    discriminator_learning_rate: float = 1e-4
    adam_beta1: float = 0.5
    adam_beta2: float = 0.999
    schedule: Schedule = Schedule.COSINE
    beta: float = 0.0005
    real_label: float = 0.9
    adversarial_loss: AdversarialLoss = AdversarialLoss.CROSS_ENTROPY
    normalisation: Normalisation = Normalisation.BATCH
    scaled_start: bool = False
    gradient_penalty: float = 0.0
    average_decay: float = 0.0
    mirroring: bool = False
    colour_jitter: float = 0.0
    translation: float = 0.0
    cutout: float = 0.0
    modularity: float = 0.0
    modularity_groups: int = 4
    modularity_layer: str = "deconv1"
    modularity_pairs: int = 16
    precision: Precision = Precision.AUTO
    channels_last: bool = True
    report_every: int = 20
    sample_every: int = 500
    checkpoint_every: int = 500
    tensorboard: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing could be trained."""
        for name in ("epochs", "report_every", "sample_every", "checkpoint_every"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        # Batch normalisation has no variance to divide by in a batch of one.
        _require("batch_size", self.batch_size, self.batch_size >= 2, "at least 2")
        for name in ("learning_rate", "discriminator_learning_rate"):
            _require(name, getattr(self, name), 0 < getattr(self, name) <= _LARGEST_RATE, _RATE)
        for name in ("adam_beta1", "adam_beta2", "average_decay", "translation", "cutout"):
            _require(name, getattr(self, name), 0 <= getattr(self, name) < 1, "in [0, 1)")
        jitter = self.colour_jitter
        _require("colour_jitter", jitter, 0 <= jitter <= 1, "in [0, 1]")
        for name in ("crop_share", "real_label"):
            _require(name, getattr(self, name), 0 < getattr(self, name) <= 1, "in (0, 1]")
        for name in ("beta", "gradient_penalty", "modularity"):
            weight = getattr(self, name)
            _require(name, weight, 0 <= weight < math.inf, "at least 0 and finite")
        if self.modularity:
            self._require_groups()

    @property
    def modularity_channels(self) -> int:
        """The channels of the layer that is asked to be modular."""
        channels = {layer.name: layer.channels for layer in self.architecture.layers}
        if self.modularity_layer not in channels:
            raise RecipeError(
                f"modularity_layer cannot be {self.modularity_layer!r}; "
                f"the generator has: {', '.join(channels)}"
            )
        return channels[self.modularity_layer]

    def _require_groups(self) -> None:
        """Refuse groups and pairs of which there are too few or too many."""
        for name, most, of_what in (
            ("modularity_groups", self.modularity_channels, "channels of modularity_layer"),
            ("modularity_pairs", self.batch_size, "images of a batch"),
        ):
            given = getattr(self, name)
            _require(name, given, 2 <= given <= most, f"2 to {most}, the {of_what}")


def _require(name: str, value: float, holds: bool, allowed: str) -> None:
    if not holds:
        raise RecipeError(f"{name} must be {allowed}, not {value}")


_CELEBA_CROP_SHARE = 148 / 178
_GAN = Recipe(
    name="",
    objective=Objective.GAN,
    architecture=GAN_CIFAR10,
    held_out=HeldOutRule.TEST_SET,
    batch_size=32,
    # Twice as high, and for the generator half as high, samples came less near in as many steps.
    learning_rate=1e-3,
    discriminator_learning_rate=1e-3,
    # Momentum lets generator and discriminator circle around each other.
    adam_beta1=0.0,
    real_label=1.0,
    normalisation=Normalisation.NONE,
    scaled_start=True,
    gradient_penalty=0.05,
    average_decay=0.999,
    mirroring=True,
    precision=Precision.FLOAT32,
)
"""What the GANs have in common; every one of them says the rest."""


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="vae-celeba",
            objective=Objective.VAE,
            architecture=VAE_CELEBA,
            held_out=HeldOutRule.NUMBER_DIVISIBLE_BY_10,
            crop_share=_CELEBA_CROP_SHARE,
        ),
        replace(
            _GAN,
            name="gan-celeba",
            architecture=GAN_CELEBA,
            held_out=HeldOutRule.NUMBER_DIVISIBLE_BY_10,
            crop_share=_CELEBA_CROP_SHARE,
            epochs=36,
        ),
        Recipe(
            name="vae-cifar10",
            objective=Objective.VAE,
            architecture=VAE_CIFAR10,
            held_out=HeldOutRule.TEST_SET,
        ),
        replace(_GAN, name="gan-cifar10", architecture=GAN_CIFAR10, epochs=22),
        replace(
            _GAN,
            name="cgan-cifar10",
            architecture=CGAN_CIFAR10,
            epochs=6,
            # A residual generator learns faster than its discriminator.
            learning_rate=5e-4,
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        RecipeError: If there is none; the message lists the names.
    """
    if name not in RECIPES:
        raise RecipeError(f"recipe {name!r} does not exist; there are: {', '.join(RECIPES)}")
    return RECIPES[name]
