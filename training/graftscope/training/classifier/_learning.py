"""The training of a classifier, top to bottom: labels, steps, scores of the images held out.

It knows nothing of generators, and writes no file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import AdamW

from graftscope.training._device import TrainingDevice, open_device
from graftscope.training._learners import require_finite_values, set_learning_rate
from graftscope.training._optimisers import minimise
from graftscope.training._pictures import batches, to_images
from graftscope.training._randomness import Purpose, batch_positions, randomness
from graftscope.training.classifier._network import ClassifierNetwork
from graftscope.training.data import DataDescription, load_images
from graftscope.training.networks import device_of, initialise, to_channels_last
from graftscope.training.progress import ImageCounter, ProgressCallback, Stage, ignore_progress
from graftscope.training.quality._labels import (
    FeatureTask,
    Labelled,
    find_labelled,
    open_labels,
    recipe_of,
)
from graftscope.training.quality._learning import loss_of, mirrored
from graftscope.training.recipes import Precision, Schedule

BATCH: Final = 128
EPOCHS: Final = {FeatureTask.CELEBA: 40, FeatureTask.CIFAR10: 14}
LEARNING_RATE: Final = 4e-3
WEIGHT_DECAY: Final = 0.05
SHIFT: Final = 4
"""Images are shifted by up to so many pixels each way while the network learns."""


@dataclass(frozen=True)
class Told:
    """How well one class or attribute is told on images that were never trained on.

    Attributes:
        name: The class or attribute.
        held_out: Number of images held out that have it.
        accuracy: Of a class, the share of its images that are told to be of it. Of an attribute,
            the mean of the shares that are told right among the images with it and among those
            without: 0.5 for guessing, however rare the attribute is.
    """

    name: str
    held_out: int
    accuracy: float


@dataclass(frozen=True)
class Classifier:
    """A classifier and what is known of it.

    Attributes:
        network: On the CPU, in float32 and evaluation mode.
        task: What it tells.
        image_size: Height and width in pixels of the images that it takes.
        data: The images, of which those with labels were used.
        trained_on: Number of labelled images trained on.
        held_out: Number of labelled images, never trained on, behind `told`.
        told: Each class or attribute, in the order of the scores.
        epochs: How often each image was seen.
        seed: Seed of weights, order, mirroring and shifts.
    """

    network: ClassifierNetwork
    task: FeatureTask
    image_size: int
    data: DataDescription
    trained_on: int
    held_out: int
    told: tuple[Told, ...]
    epochs: int
    seed: int

    @property
    def accuracy(self) -> float:
        """Mean of the accuracies over classes or attributes that held-out images have."""
        return float(np.nanmean([each.accuracy for each in self.told]))


def learn_classifier(
    task: FeatureTask,
    data: str | Path,
    labels: str | Path | None = None,
    *,
    epochs: int | None = None,
    seed: int = 0,
    on_progress: ProgressCallback | None = None,
) -> Classifier:
    """Train a classifier of faces' attributes or of CIFAR-10's classes.

    A score is a logit less the log-odds of its answer among the images trained on: it is above 0
    where the image speaks for the answer, whether the answer is common or rare.

    Args:
        task: What it learns to tell.
        data: The images, held-out ones among them; as for `train`.
        labels: CelebA's attributes; None means `list_attr_celeba.txt` beside the images.
        epochs: How often each image is seen; None means `EPOCHS`.
        seed: Decides the weights, with the images; at least 0.
        on_progress: Hears of every step.

    Raises:
        DataError: If the images cannot be used.
        FeaturesError: If the labels cannot be read, or too few images have one.
        DivergedError: If the loss is no longer finite.
    """
    report = on_progress or ignore_progress
    epochs = EPOCHS[task] if epochs is None else epochs
    images = load_images(str(data), recipe_of(task), report)
    book = open_labels(task, str(data), Path(labels) if labels else None)
    known = find_labelled(book, images.training_names, BATCH, str(data))
    judged = find_labelled(book, images.held_out_names, 1, str(data))
    size = images.training.shape[1]
    pixels = images.training[known.positions]
    # So small a network gains nothing from bfloat16.
    device = open_device(Precision.FLOAT32)
    trained = _train(_Lesson(task, pixels, known.labels, epochs, seed), device, report)
    plain = ClassifierNetwork(size, len(book.outputs))
    plain.load_state_dict(trained.state_dict())
    _score_evidence_alone(plain, task, known.labels)
    scores = _scores(plain.to(device.device).eval(), images.held_out[judged.positions])
    return Classifier(
        network=plain.cpu(),
        task=task,
        image_size=size,
        data=images.description,
        trained_on=len(known.labels),
        held_out=len(judged.labels),
        told=_told(task, book.outputs, scores, judged),
        epochs=epochs,
        seed=seed,
    )


@dataclass(frozen=True)
class _Lesson:
    """Images (N, H, W, 3), bytes, with their labels (N, A), float32; how often, and the seed."""

    task: FeatureTask
    pixels: NDArray[np.uint8]
    labels: NDArray[np.float32]
    epochs: int
    seed: int


def _train(
    lesson: _Lesson, device: TrainingDevice, on_progress: ProgressCallback
) -> ClassifierNetwork:
    network = ClassifierNetwork(lesson.pixels.shape[1], lesson.labels.shape[1])
    initialise(network, randomness(lesson.seed, Purpose.CLASSIFIER_WEIGHTS))
    to_channels_last(network)
    network = device.prepare(network).train()
    optimizer = AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps_per_epoch = len(lesson.pixels) // BATCH
    steps = lesson.epochs * steps_per_epoch
    count = ImageCounter(Stage.CLASSIFIER, steps * BATCH, on_progress)
    for step in range(steps):
        set_learning_rate(optimizer, LEARNING_RATE, Schedule.COSINE, step, steps)
        batch, labels = _batch(lesson, step, device.device)
        _, scores = network(batch)
        loss = loss_of(lesson.task, scores.float(), labels)
        require_finite_values(step + 1, {"loss": loss.item()})
        minimise(device, optimizer, loss)
        count(BATCH, {"loss": loss.item()}, step // steps_per_epoch)
    return network


def _batch(lesson: _Lesson, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) of one step, mirrored and shifted by chance, and labels (B, A)."""
    count, seed = len(lesson.pixels), lesson.seed
    chosen = batch_positions(seed, step, count, BATCH, Purpose.CLASSIFIER_ORDER).numpy()
    draws = randomness(seed, Purpose.CLASSIFIER_CHANGES, step)
    coin = torch.rand(BATCH, generator=draws) < 0.5
    places = torch.randint(2 * SHIFT + 1, (BATCH, 2), generator=draws).numpy()
    batch = to_images(_shifted(lesson.pixels[chosen], places), device)
    return mirrored(batch, coin.to(device)), torch.from_numpy(lesson.labels[chosen]).to(device)


def _shifted(pixels: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Cut images (B, H, W, 3) again at places (B, 2) of a frame in which their edges go on."""
    around = [(0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)]
    wide, (height, width) = np.pad(pixels, around, mode="edge"), pixels.shape[1:3]
    cuts = zip(wide, places.tolist(), strict=True)
    return np.stack([image[y : y + height, x : x + width] for image, (y, x) in cuts])


@torch.no_grad()
def _score_evidence_alone(
    network: ClassifierNetwork, task: FeatureTask, labels: NDArray[np.float32]
) -> None:
    """Take the log-odds (A,) of labels (N, A) from an attribute's logits, as `Told` counts them.

    A class is told by the largest score, and CIFAR-10 has as many images of each.
    """
    if task is FeatureTask.CELEBA:
        share = np.clip(labels.mean(0), 1 / len(labels), 1 - 1 / len(labels))
        network.answers.bias.sub_(torch.from_numpy(np.log(share / (1 - share))))


@torch.inference_mode()
def _scores(network: ClassifierNetwork, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scores (M, A) of images (M, H, W, 3)."""
    device = device_of(network)
    rows = [network(to_images(batch, device))[1].cpu().numpy() for batch in batches(pixels)]
    return np.concatenate(rows)


def _told(
    task: FeatureTask, names: tuple[str, ...], scores: NDArray[np.float32], judged: Labelled
) -> tuple[Told, ...]:
    """How well each answer is told by scores (M, A)."""
    has = judged.labels > 0
    says = scores > 0
    if task is FeatureTask.CIFAR10:
        says = np.eye(len(names), dtype=bool)[scores.argmax(1)]
    judge = _recall if task is FeatureTask.CIFAR10 else _balanced
    return tuple(
        Told(name, int(has[:, i].sum()), judge(says[:, i], has[:, i]))
        for i, name in enumerate(names)
    )


def _recall(says: NDArray[np.bool_], has: NDArray[np.bool_]) -> float:
    """Share told right of the images that have it; NaN if none has."""
    return float(says[has].mean()) if has.any() else float("nan")


def _balanced(says: NDArray[np.bool_], has: NDArray[np.bool_]) -> float:
    return (_recall(says, has) + _recall(~says, ~has)) / 2
