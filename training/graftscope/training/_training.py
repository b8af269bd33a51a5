"""One training as the parts of the loop hand it to each other, and its clock."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from graftscope.training._learners import Learner
from graftscope.training._state import Position
from graftscope.training.checkpoint import CheckpointConfig
from graftscope.training.data import ImageData
from graftscope.training.progress import ProgressCallback, Stage, TrainProgress


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
