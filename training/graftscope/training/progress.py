"""What a training says of itself while it runs; showing it is the caller's business."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Stage(Enum):
    """What a training is doing."""

    DECODING = "decoding"
    FEATURES = "training the feature network"
    CLASSIFIER = "training the classifier"
    TRAINING = "training"
    MEASURING = "measuring"
    INVERTING = "inverting"


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


@dataclass(frozen=True)
class TrainPlan:
    """What is known of a training before its first step.

    Attributes:
        device: Where it computes, in torch's words.
        precision: In which arithmetic: ``float32`` or ``bfloat16``.
        reason: Why in that one, in a few words.
        steps: Optimiser steps from here to the end.
        expected_s: Seconds that they will take, from a step tried on networks that were thrown
            away; None where there are too few to try one.
    """

    device: str
    precision: str
    reason: str
    steps: int
    expected_s: float | None


class PlanCallback(Protocol):
    """What a caller supplies to hear of the plan; an exception it raises stops the training."""

    def __call__(self, plan: TrainPlan, /) -> None:
        """Take the plan, once, before the first step."""


class ProgressCallback(Protocol):
    """What a caller supplies to hear of progress; an exception it raises stops the training.

    It hears of every step, so that it can choose by time what it shows.
    """

    def __call__(self, progress: TrainProgress, /) -> None:
        """Take one report."""


def ignore_plan(plan: TrainPlan, /) -> None:
    """Take a plan and do nothing."""


def ignore_progress(progress: TrainProgress, /) -> None:
    """Take a report and do nothing."""


class ImageCounter:
    """Counts images and reports what is done, with its rate and the time that is left."""

    def __init__(
        self,
        stage: Stage,
        total: int,
        on_progress: ProgressCallback,
        *,
        every: int = 1,
        saved_step: int | None = None,
    ) -> None:
        """Start the clock of a stage.

        Args:
            stage: The stage.
            total: How many images it has.
            on_progress: Hears of every so many images, and of the last.
            every: So many.
            saved_step: See `TrainProgress`.
        """
        self._stage, self._total, self._on_progress = stage, total, on_progress
        self._every, self._saved_step = every, saved_step
        self._began, self._done = time.monotonic(), 0

    def __call__(
        self, more: int, losses: Mapping[str, float] | None = None, epoch: int = 0
    ) -> None:
        """Count so many more images."""
        self._done += more
        if self._done % self._every and self._done < self._total:
            return
        rate = self._done / max(time.monotonic() - self._began, 1e-9)
        self._on_progress(
            TrainProgress(
                stage=self._stage,
                step=self._done,
                steps=self._total,
                epoch=epoch,
                images_per_s=rate,
                eta_s=(self._total - self._done) / rate,
                losses=losses or {},
                saved_step=self._saved_step,
            )
        )
