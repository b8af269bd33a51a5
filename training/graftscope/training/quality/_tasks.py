"""What a feature network learns to tell: the classes or attributes of known images.

A table of names; it knows no files and no torch.
"""

from enum import Enum
from typing import Final

from graftscope.training.recipes import Recipe


class FeatureTask(Enum):
    """The task by which a feature network learns what matters in images."""

    CELEBA = "celeba"
    CIFAR10 = "cifar10"


CIFAR10_CLASSES: Final = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
"""CIFAR-10's classes, as the folders of its images are called."""

_OF_RECIPE: Final = {
    "vae-celeba": FeatureTask.CELEBA,
    "gan-celeba": FeatureTask.CELEBA,
    "vae-cifar10": FeatureTask.CIFAR10,
    "gan-cifar10": FeatureTask.CIFAR10,
}


def task_of(recipe: Recipe) -> FeatureTask:
    """Return the task that suits the images which a recipe is for."""
    return _OF_RECIPE[recipe.name]
