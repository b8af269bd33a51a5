"""What a training says of itself while it runs; showing it is the caller's business."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Stage(Enum):
    """What a training is doing."""

    DECODING = "decoding"
    FEATURES = "training the feature network"
    TRAINING = "training"
    MEASURING = "measuring"


@dataclass(frozen=True)
class TrainProgress:
    """One report.

    Attributes:
        stage: What is being done.
        step: How much of it is done: optimiser steps while training, else images.
        steps: How much there is to do, in the same unit.
        epoch: The epoch while training, from 0; else 0.
        images_per_s: The rate since this stage began in this process, in images a second; 0
            before the first step.
        eta_s: Seconds left in this stage at that rate; None before the first step.
        losses: The last batch's losses by name while a network is trained, else empty.
        saved_step: The optimiser step from which a resumption would go on; None before this
            process has saved or restored a state.
    """

    stage: Stage
    step: int
    steps: int
    epoch: int
    images_per_s: float
    eta_s: float | None
    losses: Mapping[str, float] = field(default_factory=dict)
    saved_step: int | None = None


class ProgressCallback(Protocol):
    """What a caller supplies to hear of progress; an exception it raises stops the training.

    It hears of every step, so that it can choose by time what it shows.
    """

    def __call__(self, progress: TrainProgress, /) -> None:
        """Take one report."""


def ignore_progress(progress: TrainProgress, /) -> None:
    """Take a report and do nothing."""
