"""The checkpoint: a folder with what a finished training leaves.

::

    config.json               recipe, architecture, data, seed, step; written last
    generator.safetensors     the generator's weights
    encoder.safetensors       the encoder's (VAE), or discriminator.safetensors (GAN)
    originals.safetensors     mean and covariance of the training images' encodings (VAE)
    metrics.json              what was measured at the end
    quality.json              distances of samples, if they were measured (`quality`)
    metrics.csv               the curves
    samples/                  grids of samples and reconstructions
    state/                    what resumes an unfinished training

No file is a pickle. It knows how to read and write these files, not how they came about.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, from_numpy, nn

from graftscope.training._files import (
    from_plain,
    read_as,
    read_json,
    read_json_of,
    read_tensors,
    to_plain,
    write_json,
    write_tensors,
)
from graftscope.training.architecture import Architecture
from graftscope.training.conditional import ConditionalGenerator, build_generator
from graftscope.training.data import DataDescription
from graftscope.training.errors import CheckpointError, CheckpointNotFoundError
from graftscope.training.networks import Encoder, Generator
from graftscope.training.recipes import Objective, Recipe

FORMAT = 1
CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.json"
ORIGINALS_FILE = "originals.safetensors"
STATE_FILE = "state/latest.safetensors"

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class CheckpointConfig:
    """What decided a checkpoint's weights.

    Attributes:
        recipe: The recipe, with the settings that were changed.
        data: The images.
        seed: The seed of weights, order and noise.
        step: Number of optimiser steps.
    """

    recipe: Recipe
    data: DataDescription
    seed: int
    step: int

    @property
    def architecture(self) -> Architecture:
        """The networks' description."""
        return self.recipe.architecture


@dataclass(frozen=True)
class Metrics:
    """What was measured when a training ended.

    Attributes:
        reconstruction_mse: Mean squared error per pixel and colour on held-out images, in
            [-1, 1], through the posterior's mean; None for a GAN or if nothing is held out.
        sampled_reconstruction_mse: The same through one sample of the posterior.
        kl: Divergence of the posterior from the prior on held-out images in nats, summed over
            latents, mean over images.
        losses: The last batch's losses by name.
        trained_on: Number of images trained on.
        held_out: Number of images held out.
        skipped: Number of images that could not be read.
        steps: Number of optimiser steps.
        wall_time_s: Seconds of training, resumptions added up, decoding left out.
        device: Where it was trained, in torch's words.
    """

    reconstruction_mse: float | None
    sampled_reconstruction_mse: float | None
    kl: float | None
    losses: Mapping[str, float]
    trained_on: int
    held_out: int
    skipped: int
    steps: int
    wall_time_s: float
    device: str


@dataclass(frozen=True)
class Originals:
    """Mean and covariance of the posterior means of the training images (section 4).

    Attributes:
        mean: (Z,), float64.
        covariance: (Z, Z), float64.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True)
class Checkpoint:
    """A finished training, read back.

    Attributes:
        path: The folder.
        config: What decided the weights.
        generator: The generator, on the CPU, in float32 and evaluation mode; with classes, one
            that is told a class.
        encoder: The encoder likewise; None for a GAN.
        originals: What encodings of training images look like; None for a GAN.
        metrics: What was measured at the end.
    """

    path: Path
    config: CheckpointConfig
    generator: Generator | ConditionalGenerator
    encoder: Encoder | None
    originals: Originals | None
    metrics: Metrics


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a finished training.

    Args:
        path: The folder that `train` was told to write.

    Raises:
        CheckpointNotFoundError: If the folder or one of its files is missing.
        CheckpointError: If the training is unfinished, or a file is damaged, of another
            format, or does not fit the others.
    """
    folder = Path(path)
    config = _read_config(folder)
    generator = _read_network(folder, "generator", build_generator(config.architecture))
    encoder, originals = None, None
    if config.recipe.objective is Objective.VAE:
        encoder = _read_network(folder, "encoder", Encoder(config.architecture))
        originals = _read_originals(folder, config.architecture.latent_size)
    metrics = read_as(Metrics, folder / METRICS_FILE, read_json(folder / METRICS_FILE))
    return Checkpoint(folder, config, generator, encoder, originals, metrics)


def write_checkpoint(
    folder: Path,
    config: CheckpointConfig,
    networks: Mapping[str, nn.Module],
    originals: Originals | None,
    metrics: Metrics,
) -> None:
    """Write a finished training; the configuration comes last and so says that it is whole."""
    for name, network in networks.items():
        write_tensors(folder / f"{name}.safetensors", network.state_dict())
    if originals is not None:
        arrays = {"mean": originals.mean, "covariance": originals.covariance}
        tensors = {name: from_numpy(array) for name, array in arrays.items()}
        write_tensors(folder / ORIGINALS_FILE, tensors)
    write_json(folder / METRICS_FILE, to_plain(metrics))
    write_json(folder / CONFIG_FILE, config_to_plain(config))


def config_to_plain(config: CheckpointConfig) -> dict[str, object]:
    """Return the configuration as `config.json` has it, the architecture beside the recipe."""
    recipe = to_plain(config.recipe)
    assert isinstance(recipe, dict)
    architecture = recipe.pop("architecture")
    return {
        "format": FORMAT,
        "recipe": recipe,
        "architecture": architecture,
        "data": to_plain(config.data),
        "seed": config.seed,
        "step": config.step,
    }


def config_from_plain(plain: object) -> CheckpointConfig:
    """Read a configuration from what `config_to_plain` made of it.

    Settings that are younger than it have their defaults, with which a training is what it was.

    Raises:
        ValueError: If a setting is missing, unknown or not allowed.
    """
    if not isinstance(plain, Mapping):
        raise ValueError(f"a configuration is not an object but {plain!r}")
    rest = {key: value for key, value in plain.items() if key not in ("format", "architecture")}
    recipe = rest.get("recipe")
    if isinstance(recipe, Mapping):
        rest["recipe"] = {**recipe, "architecture": plain.get("architecture")}
    return from_plain(CheckpointConfig, rest)


def _read_config(folder: Path) -> CheckpointConfig:
    if not folder.is_dir():
        raise CheckpointNotFoundError(f"checkpoint {str(folder)!r} does not exist")
    path = folder / CONFIG_FILE
    if not path.is_file() and (folder / STATE_FILE).is_file():
        raise CheckpointError(
            f"checkpoint {str(folder)!r} is unfinished; continue its training with --resume"
        )
    plain = read_json_of(path, FORMAT)
    try:
        return config_from_plain(plain)
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _read_network(folder: Path, name: str, network: Network) -> Network:
    path = folder / f"{name}.safetensors"
    tensors, _ = read_tensors(path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit {CONFIG_FILE}: {error}") from error
    return network.eval()


def _read_originals(folder: Path, latent_size: int) -> Originals:
    path = folder / ORIGINALS_FILE
    tensors, _ = read_tensors(path)
    shapes = {"mean": (latent_size,), "covariance": (latent_size, latent_size)}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found != shapes:
        raise CheckpointError(f"{path} holds {found}; it must hold {shapes}")
    return Originals(_float64(tensors["mean"]), _float64(tensors["covariance"]))


def _float64(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.double().numpy()
