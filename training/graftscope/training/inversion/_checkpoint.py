"""The folder that a training of an inverter leaves, written and read.

::

    config.json              settings, generator, photographs, seed, step; written last
    inverter.safetensors     the weights
    metrics.json             errors of reconstructions
    metrics.csv              the curves
    samples/                 images beside their reconstructions
    state/                   what resumes an unfinished training
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from graftscope.training._files import (
    read_as,
    read_json,
    read_json_of,
    read_tensors,
    to_plain,
    write_json,
    write_tensors,
)
from graftscope.training.checkpoint import CONFIG_FILE, METRICS_FILE, STATE_FILE
from graftscope.training.data import DataDescription
from graftscope.training.errors import CheckpointError, CheckpointNotFoundError
from graftscope.training.inversion._generator import GeneratorDescription
from graftscope.training.inversion._measures import Reconstruction
from graftscope.training.inversion._network import Inverter
from graftscope.training.inversion._settings import InverterSettings

FORMAT: Final = 1
KIND: Final = "inverter"
WEIGHTS_FILE: Final = "inverter.safetensors"


@dataclass(frozen=True)
class InverterConfig:
    """What decided an inverter's weights.

    Attributes:
        recipe: The settings.
        generator: What it inverts.
        data: The photographs; None where there were none.
        seed: The seed of weights, latents and order.
        step: Number of optimiser steps.
    """

    recipe: InverterSettings
    generator: GeneratorDescription
    data: DataDescription | None
    seed: int
    step: int


@dataclass(frozen=True)
class InverterMetrics:
    """What was measured when a training ended.

    Attributes:
        samples: Errors on samples that were not trained on.
        latent_error: Of their latents, the squared error as a share of their variance.
        photographs: Errors on photographs that were held out; None where there are none.
        losses: The last batch's losses by name.
        steps: Number of optimiser steps.
        wall_time_s: Seconds of training, resumptions added up, decoding left out.
        device: Where it was trained, in torch's words.
    """

    samples: Reconstruction
    latent_error: float
    photographs: Reconstruction | None
    losses: Mapping[str, float]
    steps: int
    wall_time_s: float
    device: str


@dataclass(frozen=True)
class TrainedInverter:
    """A finished training, read back.

    Attributes:
        path: The folder.
        config: What decided the weights.
        network: Images in the generator's range to latents; on the CPU, in evaluation mode.
        metrics: What was measured at the end.
    """

    path: Path
    config: InverterConfig
    network: Inverter
    metrics: InverterMetrics

    def encode(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images (B, C, H, W) in the generator's range to latents (B, Z)."""
        with torch.inference_mode():
            latents: NDArray[np.float32] = self.network(torch.from_numpy(images)).numpy()
        return latents


def is_inverter(path: str | Path) -> bool:
    """Tell whether a folder holds a training of an inverter, finished or not."""
    folder = Path(path)
    if (folder / CONFIG_FILE).is_file():
        try:
            return read_json(folder / CONFIG_FILE).get("kind") == KIND
        except CheckpointError:
            return False
    if not (folder / STATE_FILE).is_file():
        return False
    try:
        _, metadata = read_tensors(folder / STATE_FILE)
    except CheckpointError:
        return False
    return f'"kind": "{KIND}"' in metadata.get("identity", "")


def load_inverter(path: str | Path) -> TrainedInverter:
    """Read a finished training of an inverter.

    Args:
        path: The folder that `graftscope train inverter` was told to write.

    Raises:
        CheckpointNotFoundError: If the folder or one of its files is missing.
        CheckpointError: If the training is unfinished, or a file is damaged, of another format or
            kind, or does not fit the others.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise CheckpointNotFoundError(f"inverter {str(folder)!r} does not exist")
    config_file = folder / CONFIG_FILE
    if not config_file.is_file() and (folder / STATE_FILE).is_file():
        raise CheckpointError(
            f"inverter {str(folder)!r} is unfinished; continue its training with --resume"
        )
    plain = read_json_of(config_file, FORMAT)
    if plain.pop("kind", None) != KIND:
        raise CheckpointError(f"{str(folder)!r} holds the training of a generator, no inverter")
    config = read_as(InverterConfig, config_file, plain)
    metrics = read_as(InverterMetrics, folder / METRICS_FILE, read_json(folder / METRICS_FILE))
    network = Inverter(config.generator, config.recipe)
    tensors, _ = read_tensors(folder / WEIGHTS_FILE)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder / WEIGHTS_FILE} does not fit {CONFIG_FILE}: {error}"
        ) from error
    return TrainedInverter(folder, config, network.eval(), metrics)


def write_inverter(
    folder: Path, config: InverterConfig, network: nn.Module, metrics: InverterMetrics
) -> None:
    """Write a finished training; the configuration comes last and so says that it is whole."""
    write_tensors(folder / WEIGHTS_FILE, network.state_dict())
    write_json(folder / METRICS_FILE, to_plain(metrics))
    write_json(folder / CONFIG_FILE, {"format": FORMAT, **identity_of(config)})


def identity_of(config: InverterConfig) -> dict[str, object]:
    """Return what a training must have in common with the one that it resumes."""
    plain = to_plain(config)
    assert isinstance(plain, dict)
    return {"kind": KIND, **plain}
