"""What a feature network learns to tell, and what is known of images by their names.

CelebA's attributes, or CIFAR-10's classes. It reads labels and matches them to names; it knows no
pixels and no networks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graftscope.training.errors import FeaturesError
from graftscope.training.recipes import Recipe, find_recipe

ATTRIBUTES_FILE: Final = "list_attr_celeba.txt"
"""Where CelebA lists its attributes: a count, the attributes' names, a line for every image."""

_ABSENT_OR_PRESENT: Final = frozenset({"-1", "1"})


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
    "cgan-cifar10": FeatureTask.CIFAR10,
}


def task_of(recipe: Recipe) -> FeatureTask:
    """Return the task that suits the images which a recipe is for."""
    return _OF_RECIPE[recipe.name]


def recipe_of(task: FeatureTask) -> Recipe:
    """Return a recipe for the images that a task is about: how they are cut, and held out."""
    return find_recipe(next(name for name, each in _OF_RECIPE.items() if each is task))


@dataclass(frozen=True)
class LabelBook:
    """The labels of images by their names.

    Attributes:
        outputs: What is told of each image: names of classes or attributes, A.
        find: From an image's name to its label (A,), float32, 1 for what holds and else 0; None
            for an image that has none.
        source: Where the labels come from, in words.
    """

    outputs: tuple[str, ...]
    find: Callable[[str], NDArray[np.float32] | None]
    source: str


@dataclass(frozen=True)
class Labelled:
    """Those of some images that have labels.

    Attributes:
        positions: Which of the images (K,), int64.
        labels: Their labels (K, A), float32.
    """

    positions: NDArray[np.int64]
    labels: NDArray[np.float32]


def open_labels(task: FeatureTask, data: str, labels: Path | None) -> LabelBook:
    """Read the labels of a task.

    Args:
        task: The task.
        data: Where the images are; CelebA's attributes lie beside it.
        labels: A file of CelebA's attributes that lies elsewhere.

    Raises:
        FeaturesError: If the file is missing or in another format, or one is given that the task
            does not need.
    """
    if task is FeatureTask.CELEBA:
        return _attributes(labels or Path(data).parent / ATTRIBUTES_FILE)
    if labels is not None:
        raise FeaturesError(
            f"labels {str(labels)!r} are not used for {task.value!r}: the class of an image is the "
            "name of the folder that it lies in"
        )
    rows = dict(zip(CIFAR10_CLASSES, np.eye(len(CIFAR10_CLASSES), dtype=np.float32), strict=True))
    return LabelBook(
        CIFAR10_CLASSES,
        lambda name: rows.get(PurePosixPath(name).parent.name),
        f"folders named {', '.join(CIFAR10_CLASSES)}",
    )


def find_labelled(book: LabelBook, names: Sequence[str], least: int, data: str) -> Labelled:
    """Find the images that have labels.

    Args:
        book: The labels.
        names: The images' names in their source.
        least: How many there must be.
        data: What the source is called, for the message.

    Raises:
        FeaturesError: If fewer have labels.
    """
    found = [(i, label) for i, name in enumerate(names) if (label := book.find(name)) is not None]
    if len(found) < least:
        first = f" (the first is {names[0]!r})" if names else ""
        raise FeaturesError(
            f"{len(found)} of {len(names)} images of {data!r}{first} have labels from "
            f"{book.source}; at least {least} are needed"
        )
    positions, labels = zip(*found, strict=True)
    return Labelled(np.array(positions, np.int64), np.stack(labels))


def _attributes(path: Path) -> LabelBook:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FeaturesError(
            f"labels {str(path)!r} cannot be read ({reason}); CelebA's attributes are needed, in "
            f"the format of its {ATTRIBUTES_FILE}"
        ) from error
    count, *names = [*lines[:1], *"".join(lines[1:2]).split()] or [""]
    if not names or count.strip() != str(len(lines) - 2):
        raise _misread(
            path, f"line 1 is {count!r} and {max(len(lines) - 2, 0)} lines follow the second"
        )
    rows = dict(_rows(path, lines[2:], len(names)))
    return LabelBook(
        tuple(names), lambda name: rows.get(PurePosixPath(name).stem), f"{path.name!r}"
    )


def _rows(
    path: Path, lines: Sequence[str], attributes: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for number, line in enumerate(lines, 3):
        name, *values = line.split() or [""]
        if len(values) != attributes or not _ABSENT_OR_PRESENT.issuperset(values):
            raise _misread(path, f"line {number} holds no name and {attributes} times 1 or -1")
        yield PurePosixPath(name).stem, np.array([value == "1" for value in values], np.float32)


def _misread(path: Path, what: str) -> FeaturesError:
    return FeaturesError(
        f"labels {str(path)!r} are not in the format of CelebA's {ATTRIBUTES_FILE}: {what}; it "
        "has the number of images, then the attributes' names, then a line for every image"
    )
