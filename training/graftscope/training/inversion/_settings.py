"""What decides how an inverter is trained, beside the generator, the photographs and the seed."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Final, get_type_hints

from graftscope.training.errors import RecipeError
from graftscope.training.recipes import HeldOutRule, Precision, Schedule
from graftscope.training.settings import parse_overrides

STEPS: Final = 3000
"""Optimiser steps, unless a number is given."""

_MOST_CHANNELS: Final = 4096
_LARGEST_KERNEL: Final = 101


@dataclass(frozen=True)
class InverterSettings:
    """The settings of an inverter's training.

    Attributes:
        channels: Channels of its convolutions, each of which halves height and width; the one that
            sees the image first.
        kernel_size: Height and width of their kernels in pixels, odd.
        batch_size: Samples a step, and as many photographs where they are learnt from.
        learning_rate: Adam's rate.
        schedule: How the rate changes.
        latent_weight: Weight of the latents' error.
        pixel_weight: Weight of the pixels' error of samples; it takes a differentiable generator.
        photograph_weight: Weight of the pixels' error of photographs; likewise. With 0 they are
            only measured.
        held_out: Which photographs are never trained on.
        precision: The arithmetic of the networks; see `Recipe`.
        report_every: Steps from one row of the curves to the next.
        sample_every: Steps from one grid of reconstructions to the next.
        checkpoint_every: Steps from one resumable state to the next.
        tensorboard: Whether the curves also go to TensorBoard.

    Raises:
        RecipeError: If a number is out of its range.
    """

    channels: tuple[int, ...] = (16, 32, 64, 128)
    kernel_size: int = 5
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: Schedule = Schedule.COSINE
    latent_weight: float = 1.0
    pixel_weight: float = 1.0
    photograph_weight: float = 0.0
    held_out: HeldOutRule = HeldOutRule.NUMBER_DIVISIBLE_BY_10
    precision: Precision = Precision.AUTO
    report_every: int = 20
    sample_every: int = 500
    checkpoint_every: int = 500
    tensorboard: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing could be trained."""
        for name in ("report_every", "sample_every", "checkpoint_every"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        # Batch normalisation has no variance to divide by in a batch of one.
        _require("batch_size", self.batch_size, self.batch_size >= 2, "at least 2")
        _require("learning_rate", self.learning_rate, 0 < self.learning_rate < 1, "in (0, 1)")
        for name in ("latent_weight", "pixel_weight", "photograph_weight"):
            given = getattr(self, name)
            _require(name, given, 0 <= given < math.inf, "at least 0 and finite")
        if not self.latent_weight + self.pixel_weight + self.photograph_weight:
            raise RecipeError("latent_weight, pixel_weight and photograph_weight are all 0")
        fitting = bool(self.channels) and 1 <= min(self.channels) <= max(self.channels)
        fitting = fitting and max(self.channels) <= _MOST_CHANNELS
        _require("channels", self.channels, fitting, f"numbers from 1 to {_MOST_CHANNELS}")
        odd = self.kernel_size % 2 == 1 and 1 <= self.kernel_size <= _LARGEST_KERNEL
        _require("kernel_size", self.kernel_size, odd, f"odd, from 1 to {_LARGEST_KERNEL}")


def _require(name: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise RecipeError(f"{name} must be {allowed}, not {value}")


def inverter_settings(overrides: Iterable[str]) -> InverterSettings:
    """Return the usual settings with some changed.

    Args:
        overrides: Strings `KEY=VALUE`, as `graftscope.training.settings.apply_overrides` has them.

    Raises:
        RecipeError: If a key does not exist or is given twice, or a value cannot be read or is not
            allowed.
    """
    hints = get_type_hints(InverterSettings)
    kinds = {field.name: hints[field.name] for field in fields(InverterSettings)}
    return replace(InverterSettings(), **parse_overrides(kinds, overrides))  # type: ignore[arg-type]
