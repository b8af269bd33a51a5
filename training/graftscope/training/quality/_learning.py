"""The training of a feature network, top to bottom: labels, steps, accuracy, file.

It knows nothing of generators and distances.
"""

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.optim import Adam

from graftscope.training._device import TrainingDevice, choose_precision, open_device
from graftscope.training._learners import require_finite_values, set_learning_rate
from graftscope.training._optimisers import minimise
from graftscope.training._pictures import batches, to_images
from graftscope.training._randomness import Purpose, batch_positions, randomness
from graftscope.training.data import ImageData
from graftscope.training.networks import device_of, initialise, to_channels_last
from graftscope.training.progress import ImageCounter, ProgressCallback, Stage
from graftscope.training.quality._features import (
    FeatureConfig,
    FeatureNetwork,
    Features,
    write_features,
)
from graftscope.training.quality._labels import FeatureTask, Labelled, find_labelled, open_labels
from graftscope.training.recipes import Schedule

BATCH: Final = 64
EPOCHS: Final = {FeatureTask.CELEBA: 12, FeatureTask.CIFAR10: 5}
LEARNING_RATE: Final = 2e-3


def learn_features(
    path: Path,
    task: FeatureTask,
    images: ImageData,
    data: str,
    labels: Path | None,
    *,
    seed: int,
    on_progress: ProgressCallback,
) -> Features:
    """Train a feature network and write it.

    Args:
        path: The file to write.
        task: What it learns to tell.
        images: The images; those without a label are left out.
        data: Where they came from.
        labels: CelebA's attributes, where they do not lie beside the images.
        seed: Decides the weights, with the images.
        on_progress: Hears of every step.

    Raises:
        FeaturesError: If the labels cannot be read, or too few images have one.
        DivergedError: If the loss is no longer finite.
    """
    book = open_labels(task, data, labels)
    known = find_labelled(book, images.training_names, BATCH, data)
    judged = find_labelled(book, images.held_out_names, 1, data)
    size = images.training.shape[1]
    network = FeatureNetwork(size, len(book.outputs))
    initialise(network, randomness(seed, Purpose.FEATURE_WEIGHTS))
    to_channels_last(network)
    device = open_device(choose_precision().precision)
    pixels = images.training[known.positions]
    trained = _train(network, task, pixels, known.labels, seed, device, on_progress)
    plain = FeatureNetwork(size, len(book.outputs))
    plain.load_state_dict(trained.state_dict())
    told = _told(plain.to(device.device).eval(), images.held_out[judged.positions])
    config = FeatureConfig(
        task=task,
        answers=book.outputs,
        image_size=size,
        data=images.description,
        trained_on=len(known.labels),
        held_out=len(judged.labels),
        accuracy=_accuracy(task, told, judged),
        commonest_accuracy=_commonest_accuracy(task, known, judged),
        epochs=EPOCHS[task],
        seed=seed,
    )
    return write_features(path, plain, config)


def _train(
    network: FeatureNetwork,
    task: FeatureTask,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.float32],
    seed: int,
    device: TrainingDevice,
    on_progress: ProgressCallback,
) -> FeatureNetwork:
    """Train on images (N, H, W, 3) with labels (N, A)."""
    network = device.prepare(network).train()
    optimizer = Adam(network.parameters(), lr=LEARNING_RATE)
    steps_per_epoch = len(pixels) // BATCH
    steps = EPOCHS[task] * steps_per_epoch
    count = ImageCounter(Stage.FEATURES, steps * BATCH, on_progress)
    for step in range(steps):
        set_learning_rate(optimizer, LEARNING_RATE, Schedule.COSINE, step, steps)
        chosen = batch_positions(seed, step, len(pixels), BATCH, Purpose.FEATURE_ORDER).numpy()
        batch = to_images(pixels[chosen], device.device)  # (B, 3, H, W)
        coin = torch.rand(BATCH, generator=randomness(seed, Purpose.FEATURE_MIRRORING, step))
        logits = network(mirrored(batch, coin.to(batch.device) < 0.5))
        loss = loss_of(task, logits.float(), torch.from_numpy(labels[chosen]).to(batch.device))
        require_finite_values(step + 1, {"loss": loss.item()})
        minimise(device, optimizer, loss)
        count(BATCH, {"loss": loss.item()}, step // steps_per_epoch)
    return network


def mirrored(images: Tensor, chosen: Tensor) -> Tensor:
    """Turn the chosen (B,) of some images (B, 3, H, W) left to right: faces and things stay so."""
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def loss_of(task: FeatureTask, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of logits (B, A): of one class out of all, or of each attribute by itself."""
    match task:
        case FeatureTask.CIFAR10:
            return cross_entropy(logits, labels)
        case FeatureTask.CELEBA:
            return binary_cross_entropy_with_logits(logits, labels)


@torch.inference_mode()
def _told(network: FeatureNetwork, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits (M, A) of images (M, H, W, 3)."""
    logits = [
        network(to_images(batch, device_of(network))).cpu().numpy() for batch in batches(pixels)
    ]
    return np.concatenate(logits)


def _accuracy(task: FeatureTask, logits: NDArray[np.float32], judged: Labelled) -> float:
    """Mean accuracy over classes or attributes of logits (M, A)."""
    if task is FeatureTask.CELEBA:
        return float(((logits > 0) == (judged.labels > 0)).mean())
    truth = judged.labels.argmax(1)
    right = logits.argmax(1) == truth
    return float(np.mean([right[truth == each].mean() for each in np.unique(truth)]))


def _commonest_accuracy(task: FeatureTask, known: Labelled, judged: Labelled) -> float:
    """The same of always telling what is commonest."""
    shares = known.labels.mean(0)  # (A,)
    constant = shares - 0.5 if task is FeatureTask.CELEBA else shares
    return _accuracy(task, np.broadcast_to(constant, judged.labels.shape), judged)
