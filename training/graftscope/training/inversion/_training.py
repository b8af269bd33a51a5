"""The training of an inverter, top to bottom: photographs, steps, errors, files.

Every step draws new samples, keyed by the seed and the step, so a resumed training sees the ones
that an uninterrupted one would.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from graftscope.training._curves import open_curves
from graftscope.training._device import TrainingDevice, open_device
from graftscope.training._files import write_csv
from graftscope.training._learners import (
    require_finite_values,
    require_finite_weights,
    set_learning_rate,
)
from graftscope.training._randomness import Purpose, batch_positions, seed_of
from graftscope.training._state import Clock, Position, restore_state, save_state
from graftscope.training.data import SkippedImage
from graftscope.training.errors import RecipeError
from graftscope.training.inversion._checkpoint import (
    InverterConfig,
    InverterMetrics,
    identity_of,
)
from graftscope.training.inversion._evaluation import InverterTraining, finish, write_samples
from graftscope.training.inversion._generator import SampledGenerator
from graftscope.training.inversion._learner import InverterLearner
from graftscope.training.inversion._photographs import (
    in_range,
    load_photographs,
)
from graftscope.training.inversion._settings import STEPS, InverterSettings, inverter_settings
from graftscope.training.loop import (
    FEWEST_STEPS_TO_TIME,
    SKIPPED_FILE,
    TRIAL_STEPS,
    check_arguments,
    chosen_precision,
    is_due,
)
from graftscope.training.progress import (
    PlanCallback,
    ProgressCallback,
    TrainPlan,
    ignore_plan,
    ignore_progress,
)


@dataclass(frozen=True)
class InverterResult:
    """What a training of an inverter left.

    Attributes:
        checkpoint: The folder; `load_inverter` reads it.
        metrics: What was measured at the end.
        skipped: The photographs that could not be read; also in `skipped.csv`.
    """

    checkpoint: Path
    metrics: InverterMetrics
    skipped: tuple[SkippedImage, ...]


def train_inverter(
    generator: SampledGenerator,
    out: str | Path,
    *,
    data: str | Path | None = None,
    steps: int | None = None,
    seed: int = 0,
    resume: bool = False,
    overrides: Sequence[str] = (),
    on_plan: PlanCallback = ignore_plan,
    on_progress: ProgressCallback | None = None,
) -> InverterResult:
    """Train an encoder for a generator that has none, on samples of the generator.

    Args:
        generator: The generator; where it is differentiable, pixels of the reconstruction are
            compared too.
        out: The folder to write.
        data: Photographs to measure reconstructions of, and to learn from where
            `photograph_weight` is above 0; None for none.
        steps: Number of optimiser steps; None takes 3,000.
        seed: Seed of weights, latents and order, at least 0.
        resume: Whether to continue the training in `out` from its last state.
        overrides: Settings to change, as `KEY=VALUE`; see `InverterSettings` for the keys.
        on_plan: As of `graftscope.training.train`.
        on_progress: Likewise.

    Returns:
        What was left.

    Raises:
        TrainingError: As `graftscope.training.train`; of a setting that takes photographs or a
            differentiable generator where there are none, a RecipeError.
    """
    report, folder = on_progress or ignore_progress, Path(out)
    settings = inverter_settings(overrides)
    check_arguments(folder, steps, seed, resume=resume)
    _require_possible(settings, generator, data)
    photographs = None
    if data is not None:
        photographs = load_photographs(str(data), generator.description, settings, report)
        if photographs.skipped:
            rows = ((each.name, each.reason) for each in photographs.skipped)
            write_csv(folder / SKIPPED_FILE, [("name", "reason"), *rows])
    arithmetic = chosen_precision(settings.precision, folder if resume else None)
    config = InverterConfig(
        replace(settings, precision=arithmetic.precision),
        generator.description,
        None if photographs is None else photographs.description,
        seed,
        steps or STEPS,
    )
    device = open_device(arithmetic.precision)
    learner = InverterLearner(generator, config.recipe, seed, device)
    training = InverterTraining(
        config, generator, photographs, learner, folder, device.device, report
    )
    start = Position(0, 0.0, {})
    if resume:
        start = restore_state(folder, identity_of(config), learner)
    left = config.step - start.step
    on_plan(
        TrainPlan(
            device=str(device.device),
            precision=arithmetic.precision.value,
            reason=arithmetic.reason,
            steps=left,
            expected_s=_expected_s(training, device, left),
        )
    )
    metrics = finish(training, _run(training, start))
    return InverterResult(folder, metrics, () if photographs is None else photographs.skipped)


def _require_possible(
    settings: InverterSettings, generator: SampledGenerator, data: str | Path | None
) -> None:
    if settings.photograph_weight and data is None:
        raise RecipeError("photograph_weight is above 0, but there are no photographs (--data)")
    if generator.network is not None:
        return
    if settings.photograph_weight:
        raise RecipeError(
            "photograph_weight must be 0 for a generator that comes as a graph alone: how pixels "
            "depend on latents is only known through PyTorch"
        )
    if not settings.latent_weight:
        raise RecipeError(
            "latent_weight must be above 0 for a generator that comes as a graph alone: there is "
            "nothing else to learn from"
        )


def _expected_s(training: InverterTraining, device: TrainingDevice, steps: int) -> float | None:
    """Time a step of a network that is thrown away, and return the seconds of so many."""
    if steps < FEWEST_STEPS_TO_TIME:
        return None
    trial = InverterLearner(training.generator, training.settings, training.config.seed, device)
    for _ in range(TRIAL_STEPS):
        began = time.perf_counter()
        trial.update(*_batch(training, 0))
    return (time.perf_counter() - began) * steps


def _batch(
    training: InverterTraining, step: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return latents, their images, and photographs, of a step (from 0)."""
    seed, size = training.config.seed, training.settings.batch_size
    latents = training.generator.draw(seed_of(seed, Purpose.INVERTED_SAMPLES, step), size)
    images = training.generator.generate(latents)
    photographs = None
    if training.photographs is not None and training.settings.photograph_weight:
        pixels = training.photographs.training
        chosen = batch_positions(seed, step, len(pixels), size, Purpose.PHOTOGRAPH_ORDER).numpy()
        shown = in_range(pixels[chosen], training.generator.description)
        photographs = torch.from_numpy(shown).to(training.device)
    given, made = (torch.from_numpy(each).to(training.device) for each in (latents, images))
    return given, made, photographs


def _run(training: InverterTraining, position: Position) -> Position:
    """Do the steps from the position to the last one."""
    settings, steps, learner = training.settings, training.config.step, training.learner
    identity = identity_of(training.config)
    curves = open_curves(training.folder, position.step, tensorboard=settings.tensorboard)
    # Whatever happens before the first state is due, the training can be resumed.
    save_state(training.folder, identity, learner, position)
    saved_step = position.step
    clock = Clock(position, settings.batch_size, steps)
    training.on_progress(clock.progress(position, 0, saved_step))
    for step in range(position.step, steps):
        rate = settings.learning_rate
        set_learning_rate(learner.optimizers["inverter"], rate, settings.schedule, step, steps)
        position = clock.position(step + 1, learner.update(*_batch(training, step)))
        require_finite_values(position.step, position.losses)
        if saves := is_due(position.step, steps, settings.checkpoint_every):
            require_finite_weights(position.step, learner.networks)
            saved_step = position.step
        progress = clock.progress(position, 0, saved_step)
        if is_due(position.step, steps, settings.report_every):
            for curve in curves:
                curve.add(position.step, {**position.losses, "images_per_s": progress.images_per_s})
        if is_due(position.step, steps, settings.sample_every):
            write_samples(training, position.step)
        # After its row, so that the curves of what is saved are whole; before its report, which
        # says what is saved.
        if saves:
            save_state(training.folder, identity, learner, position)
        training.on_progress(progress)
    return position
