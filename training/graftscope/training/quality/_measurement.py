"""The measurement, top to bottom: images, feature network, features, distances, file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from graftscope.training._device import open_device
from graftscope.training._pictures import batches, to_images
from graftscope.training._randomness import Purpose, randomness
from graftscope.training.checkpoint import Checkpoint, load_checkpoint
from graftscope.training.data import ImageData, load_images
from graftscope.training.errors import DataError, FeaturesError
from graftscope.training.networks import device_of, to_channels_last
from graftscope.training.progress import ImageCounter, ProgressCallback, Stage, ignore_progress
from graftscope.training.quality._distances import Distances, distances_between, spread
from graftscope.training.quality._features import (
    FEATURES,
    FeatureNetwork,
    Features,
    read_features,
    require_fitting,
)
from graftscope.training.quality._labels import task_of
from graftscope.training.quality._learning import learn_features
from graftscope.training.quality._result import (
    Distance,
    Quality,
    generator_digest,
    write_quality,
)
from graftscope.training.quality._samples import image_sources
from graftscope.training.recipes import Precision

FEATURES_FILE: Final = "features.safetensors"
REPEATS: Final = 10
# The covariance of F features has full rank from F + 1 images on.
_LEAST_HELD_OUT: Final = 2 * (FEATURES + 1)


def measure(
    checkpoint_folder: str | Path,
    data: str | Path,
    features: str | Path | None = None,
    labels: str | Path | None = None,
    seed: int = 0,
    on_progress: ProgressCallback | None = None,
) -> Quality:
    """Measure how far a generator's samples are from images that it never saw.

    The same checkpoint, images, feature network, seed and device give the same distances.

    Args:
        checkpoint_folder: A finished training; `quality.json` is written there.
        data: The images that it was trained on, held-out ones among them; as for `train`.
        features: A feature network (.safetensors); it is trained and written where there is
            none. None means `features.safetensors` in the checkpoint's folder. Distances
            through different networks cannot be compared.
        labels: CelebA's attributes, to train a feature network of faces; None means
            `list_attr_celeba.txt` beside the images. CIFAR-10's classes are the names of folders.
        seed: Seed of latents, halvings and noise, and of a feature network that is trained; at
            least 0.
        on_progress: Hears of progress.

    Returns:
        The distances.

    Raises:
        CheckpointError: If the checkpoint cannot be read or written.
        DataError: If the images cannot be used, or too few are held out.
        FeaturesError: If the feature network is of another kind of images or cannot be trained,
            or the seed is negative.
        MissingExtraError: If a library is asked for that is not installed.
    """
    if seed < 0:
        raise FeaturesError(f"seed must be at least 0, not {seed}")
    report = on_progress or ignore_progress
    checkpoint = load_checkpoint(checkpoint_folder)
    images = load_images(str(data), checkpoint.config.recipe, report)
    if len(images.held_out) < _LEAST_HELD_OUT:
        raise DataError(
            f"{str(data)!r} holds out {len(images.held_out)} images; at least {_LEAST_HELD_OUT} are"
            f" needed: two halves with more images than the {FEATURES} features"
        )
    path = Path(features) if features else checkpoint.path / FEATURES_FILE
    known = _features(path, checkpoint, images, str(data), labels, seed, report)
    distances = _measure(checkpoint, images, known.network, seed, report)
    quality = Quality(
        halves=distances["halves"],
        prior=distances["prior"],
        encoded=distances.get("encoded"),
        noise=distances["noise"],
        images=len(images.held_out) // 2,
        repeats=REPEATS,
        seed=seed,
        features=known.config,
        features_digest=known.digest,
        generator_digest=generator_digest(checkpoint.path),
        data=images.description,
    )
    write_quality(checkpoint.path, quality)
    return quality


def _features(
    path: Path,
    checkpoint: Checkpoint,
    images: ImageData,
    data: str,
    labels: str | Path | None,
    seed: int,
    on_progress: ProgressCallback,
) -> Features:
    """Read the feature network, or train it where there is none."""
    recipe = checkpoint.config.recipe
    task = task_of(recipe)
    if path.is_dir():
        raise FeaturesError(f"{str(path)!r} is a folder; a feature network is a .safetensors file")
    if path.exists():
        features = read_features(path)
        require_fitting(features, task, recipe, path)
        return features
    file = Path(labels) if labels else None
    return learn_features(path, task, images, data, file, seed=seed, on_progress=on_progress)


def _measure(
    checkpoint: Checkpoint,
    images: ImageData,
    network: FeatureNetwork,
    seed: int,
    on_progress: ProgressCallback,
) -> dict[str, Distance]:
    device = open_device(Precision.FLOAT32).device
    network = network.to(device)
    to_channels_last(network)
    sources = image_sources(checkpoint, images.training, seed, device)
    held_out, size = images.held_out, len(images.held_out) // 2
    count = ImageCounter(Stage.MEASURING, (1 + len(sources)) * len(held_out), on_progress)
    real = _featured(network, batches(held_out), count)  # (M, F)
    drawn = {name: _featured(network, draw(len(real)), count) for name, draw in sources.items()}
    found: dict[str, list[Distances]] = {name: [] for name in ("halves", *drawn)}
    for repeat in range(REPEATS):
        noise = randomness(seed, Purpose.HALVES, repeat)
        order = torch.randperm(len(real), generator=noise).numpy()
        first, second = order[:size], order[size : 2 * size]
        others = {"halves": real[second]} | {name: drawn[name][first] for name in drawn}
        subsets = randomness(seed, Purpose.SUBSETS, repeat).initial_seed()
        for name, other in others.items():
            found[name].append(distances_between(real[first], other, subsets))
    return {name: Distance(*spread(each)) for name, each in found.items()}


@torch.inference_mode()
def _featured(
    network: FeatureNetwork,
    pixels: Iterator[NDArray[np.uint8]],
    on_images: Callable[[int], None],
) -> NDArray[np.float64]:
    """Features (N, F) of batches of images (B, H, W, 3)."""
    device = device_of(network)
    rows = []
    for batch in pixels:
        rows.append(network.features(to_images(batch, device)).double().cpu().numpy())
        on_images(len(batch))
    return np.concatenate(rows)
