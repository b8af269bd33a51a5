"""A training as the parts of the loop share it, its clock, and the state that resumes it.

The state resumes a training bit for bit. It is one safetensors file, because two could be torn
apart by a crash between them. Randomness and the order of the images follow from the seed and the
step (see `_randomness`), so neither is in it.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel

from graftscope.training._files import read_tensors, write_tensors
from graftscope.training._learners import Learner
from graftscope.training.checkpoint import (
    STATE_FILE,
    CheckpointConfig,
    config_from_plain,
    config_to_plain,
)
from graftscope.training.data import ImageData
from graftscope.training.errors import CheckpointError, ResumeMismatchError
from graftscope.training.progress import ProgressCallback, Stage, TrainProgress
from graftscope.training.recipes import Precision


class Resumable(Protocol):
    """What a state is of.

    Attributes:
        networks: The networks by the name of their file.
        averages: Averages of weights by the name of their network.
        optimizers: Their optimisers by name.
    """

    networks: dict[str, nn.Module]
    averages: dict[str, AveragedModel]
    optimizers: dict[str, Adam]


_IN_WORDS = {"step": "the number of steps (--steps)"}
_LENGTH_IS_FIXED = (
    "; a training cannot be made longer or shorter, even when it is finished, because the "
    "schedule of its learning rates (a cosine by default) ends with its last step"
)


@dataclass(frozen=True)
class Position:
    """How far a training came.

    Attributes:
        step: Optimiser steps done.
        elapsed_s: Seconds spent on them.
        losses: The last batch's losses by name.
    """

    step: int
    elapsed_s: float
    losses: Mapping[str, float]


@dataclass(frozen=True)
class Training:
    """A training.

    Attributes:
        config: What decides its weights.
        images: The decoded images.
        learner: The networks and optimisers; the loop changes them.
        folder: Where its files go.
        device: Where it computes.
        on_progress: Hears of progress.
    """

    config: CheckpointConfig
    images: ImageData
    learner: Learner
    folder: Path
    device: torch.device
    on_progress: ProgressCallback


class Clock:
    """Time since the training began, in this process and in those that it resumes."""

    def __init__(self, start: Position, batch_size: int, steps: int) -> None:
        """Start the clock at a position of a training of so many steps."""
        self._start, self._batch_size, self._steps = start, batch_size, steps
        self._began = time.monotonic()

    def position(self, step: int, losses: Mapping[str, float]) -> Position:
        """Return the position after so many steps."""
        elapsed_s = self._start.elapsed_s + time.monotonic() - self._began
        return Position(step, elapsed_s, losses)

    def progress(self, position: Position, epoch: int, saved_step: int) -> TrainProgress:
        """Return the report at a position, where the last saved state is that of `saved_step`."""
        here_s = max(position.elapsed_s - self._start.elapsed_s, 1e-9)
        steps_per_s = (position.step - self._start.step) / here_s
        return TrainProgress(
            stage=Stage.TRAINING,
            step=position.step,
            steps=self._steps,
            epoch=epoch,
            images_per_s=steps_per_s * self._batch_size,
            eta_s=(self._steps - position.step) / steps_per_s if steps_per_s else None,
            losses=position.losses,
            saved_step=saved_step,
        )


def save_state(
    folder: Path, identity: Mapping[str, object], learner: Resumable, position: Position
) -> None:
    """Replace the state in the folder by the learner's present one."""
    tensors = dict(_network_tensors(learner))
    for name, optimizer in learner.optimizers.items():
        tensors |= dict(_optimizer_tensors(name, optimizer))
    metadata = {
        "identity": json.dumps(identity),
        "step": str(position.step),
        "elapsed_s": repr(position.elapsed_s),
        "losses": json.dumps(dict(position.losses)),
    }
    write_tensors(folder / STATE_FILE, tensors, metadata)


def saved_precision(folder: Path) -> Precision:
    """Return the arithmetic of the training whose state is in the folder.

    Raises:
        CheckpointNotFoundError: If there is no state to resume.
        CheckpointError: If it is damaged.
    """
    path = folder / STATE_FILE
    _, metadata = read_tensors(path)
    try:
        return Precision(json.loads(metadata["identity"])["recipe"]["precision"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: its description cannot be read") from error


def restore_state(folder: Path, identity: Mapping[str, object], learner: Resumable) -> Position:
    """Put the saved state into the learner.

    Raises:
        CheckpointNotFoundError: If there is no state to resume.
        CheckpointError: If it is damaged.
        ResumeMismatchError: If it belongs to a training of another identity.
    """
    path = folder / STATE_FILE
    tensors, metadata = read_tensors(path)
    try:
        saved = json.loads(metadata["identity"])
        position = Position(
            int(metadata["step"]), float(metadata["elapsed_s"]), json.loads(metadata["losses"])
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: its description cannot be read") from error
    _require_same(folder, saved, identity)
    try:
        _restore_tensors(learner, tensors)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    return position


def _require_same(folder: Path, saved: object, wanted: Mapping[str, object]) -> None:
    before, now = dict(_flatten("", _with_later_settings(saved))), dict(_flatten("", wanted))
    differences = [
        f"{_IN_WORDS.get(key, key)} was {before.get(key)!r} and is now {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if differences:
        raise ResumeMismatchError(
            f"the training in {str(folder)!r} cannot be resumed as another one: "
            + "; ".join(differences)
            + (_LENGTH_IS_FIXED if before.get("step") != now.get("step") else "")
        )


def _with_later_settings(saved: object) -> object:
    """Return an identity with the settings that are younger than it, at what they then did."""
    try:
        return config_to_plain(config_from_plain(saved))
    except ValueError:
        # What cannot be read is told by its differences.
        return saved


def _flatten(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    if not isinstance(value, Mapping):
        yield prefix, value
        return
    for key, item in value.items():
        yield from _flatten(f"{prefix}.{key}" if prefix else str(key), item)


def _network_tensors(learner: Resumable) -> Iterator[tuple[str, Tensor]]:
    for name, network in learner.networks.items():
        for key, tensor in network.state_dict().items():
            yield f"network.{name}.{key}", tensor
    for name, average in learner.averages.items():
        for key, tensor in average.state_dict().items():
            yield f"average.{name}.{key}", tensor


def _optimizer_tensors(name: str, optimizer: Adam) -> Iterator[tuple[str, Tensor]]:
    for index, values in optimizer.state_dict()["state"].items():
        for key, tensor in values.items():
            yield f"optimizer.{name}.{index}.{key}", tensor


def _restore_tensors(learner: Resumable, tensors: Mapping[str, Tensor]) -> None:
    for name, network in learner.networks.items():
        network.load_state_dict(_under(f"network.{name}.", tensors))
    for name, average in learner.averages.items():
        average.load_state_dict(_under(f"average.{name}.", tensors))
    for name, optimizer in learner.optimizers.items():
        _restore_optimizer(optimizer, _under(f"optimizer.{name}.", tensors))


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): tensor
        for key, tensor in tensors.items()
        if key.startswith(prefix)
    }


def _restore_optimizer(optimizer: Adam, tensors: Mapping[str, Tensor]) -> None:
    # Before the first step an optimiser has no state, and so none was saved.
    if not tensors:
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = {
        index: {
            "step": tensors[f"{index}.step"],
            "exp_avg": _laid_out_as(parameter, tensors[f"{index}.exp_avg"]),
            "exp_avg_sq": _laid_out_as(parameter, tensors[f"{index}.exp_avg_sq"]),
        }
        for index, parameter in enumerate(parameters)
    }
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def _laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    # In another memory format the same sums would take another path, with other last bits.
    return torch.empty_like(parameter, requires_grad=False).copy_(tensor)
