"""The training loop, top to bottom.

It brings the room's parts together: images, networks, one step, schedule, files. It knows
nothing of who asked for the training or how its progress is shown.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, from_numpy

from graftscope.training._curves import open_curves
from graftscope.training._device import (
    ChosenPrecision,
    TrainingDevice,
    choose_precision,
    open_device,
)
from graftscope.training._evaluation import finish
from graftscope.training._files import write_csv
from graftscope.training._learners import (
    create_learner,
    require_finite_values,
    require_finite_weights,
    set_learning_rates,
)
from graftscope.training._pictures import to_images, write_samples
from graftscope.training._randomness import Purpose, batch_positions, randomness
from graftscope.training._state import (
    Clock,
    Position,
    Training,
    restore_state,
    save_state,
    saved_precision,
)
from graftscope.training.checkpoint import (
    CONFIG_FILE,
    STATE_FILE,
    CheckpointConfig,
    Metrics,
    config_to_plain,
)
from graftscope.training.data import SkippedImage, load_images
from graftscope.training.errors import (
    CheckpointError,
    CheckpointExistsError,
    CheckpointNotFoundError,
    RecipeError,
)
from graftscope.training.progress import (
    PlanCallback,
    ProgressCallback,
    TrainPlan,
    TrainProgress,
    ignore_plan,
    ignore_progress,
)
from graftscope.training.recipes import Precision, find_recipe
from graftscope.training.settings import apply_overrides

SKIPPED_FILE = "skipped.csv"

# The first step also prepares kernels.
TRIAL_STEPS = 2
FEWEST_STEPS_TO_TIME = 50


@dataclass(frozen=True)
class TrainResult:
    """What a training left.

    Attributes:
        checkpoint: The folder; `load_checkpoint` reads it.
        metrics: What was measured at the end.
        skipped: The images that could not be read; also in `skipped.csv`.
    """

    checkpoint: Path
    metrics: Metrics
    skipped: tuple[SkippedImage, ...]


def train(
    recipe_name: str,
    data: str | Path,
    out: str | Path,
    *,
    steps: int | None = None,
    seed: int = 0,
    resume: bool = False,
    overrides: Sequence[str] = (),
    on_plan: PlanCallback = ignore_plan,
    on_progress: ProgressCallback | None = None,
) -> TrainResult:
    """Train the networks of a recipe, or continue to train them.

    The same recipe, images, seed and device give the same weights, whether or not the training
    was interrupted and resumed in between.

    Args:
        recipe_name: One of `RECIPES`.
        data: A folder or zip of images, an .npz, CIFAR-10's archive, or `hf:DATASET_ID`.
        out: The folder to write; see `graftscope.training.checkpoint` for its files.
        steps: Number of optimiser steps; None trains for the recipe's epochs.
        seed: Seed of weights, order and noise, at least 0.
        resume: Whether to continue the training in `out` from its last state.
        overrides: Settings to change, as `KEY=VALUE`; see `Recipe` for the keys.
        on_plan: Hears, before the first step, where and in which arithmetic the training computes
            and how long it is expected to take.
        on_progress: Hears of progress: while training, at the start and after every step.

    Returns:
        What was left.

    Raises:
        RecipeError: If the recipe, a setting, `steps` or `seed` is not allowed.
        DataError: If the images cannot be used.
        CheckpointError: If the file system does not take the name of `out`.
        CheckpointExistsError: If `out` holds a training and `resume` is false.
        CheckpointNotFoundError: If `resume` is true and `out` holds nothing to resume.
        ResumeMismatchError: If the training in `out` had other settings or images.
        DivergedError: If a loss, a weight or what is measured is no longer finite; the last saved
            state stays as it is.
        MissingExtraError: If a library is asked for that is not installed.
    """
    report = on_progress or ignore_progress
    recipe = apply_overrides(find_recipe(recipe_name), overrides)
    folder = Path(out)
    check_arguments(folder, steps, seed, resume=resume)

    images = load_images(str(data), recipe, report)
    if images.skipped:
        _write_skipped(folder, images.skipped)
    steps = steps or recipe.epochs * (len(images.training) // recipe.batch_size)
    arithmetic = chosen_precision(recipe.precision, folder if resume else None)
    recipe = replace(recipe, precision=arithmetic.precision)
    config = CheckpointConfig(recipe, images.description, seed, steps)
    device = open_device(recipe.precision)
    learner = create_learner(recipe, seed, device)
    training = Training(config, images, learner, folder, device.device, report)

    identity, start = config_to_plain(config), Position(0, 0.0, {})
    if resume:
        start = restore_state(folder, identity, learner)
    left = steps - start.step
    on_plan(
        TrainPlan(
            device=str(device.device),
            precision=arithmetic.precision.value,
            reason=arithmetic.reason,
            steps=left,
            expected_s=_expected_s(training, device, left),
        )
    )
    end = _run(training, identity, start)
    return TrainResult(folder, finish(training, end), images.skipped)


def chosen_precision(wanted: Precision, resumed: Path | None) -> ChosenPrecision:
    """Choose the arithmetic: what is asked for, or what the resumed training began with."""
    if wanted is not Precision.AUTO:
        return ChosenPrecision(wanted, "as was asked")
    if resumed is not None:
        # Another processor would choose otherwise, and end with other weights.
        return ChosenPrecision(saved_precision(resumed), "as the training began")
    return choose_precision()


def _expected_s(training: Training, device: TrainingDevice, steps: int) -> float | None:
    """Time a step of networks that are thrown away, and return the seconds of so many."""
    if steps < FEWEST_STEPS_TO_TIME:
        return None
    recipe, pixels = training.config.recipe, training.images.training
    learner = create_learner(recipe, training.config.seed, device)
    batch = to_images(pixels[: recipe.batch_size], training.device)  # (B, 3, H, W)
    for attempt in range(TRIAL_STEPS):
        began = time.perf_counter()
        labels = _labels(training, torch.arange(recipe.batch_size))
        learner.update(batch, labels, randomness(training.config.seed, Purpose.NOISE, attempt))
    return (time.perf_counter() - began) * steps


def _run(training: Training, identity: Mapping[str, object], position: Position) -> Position:
    """Do the steps from the position to the last one."""
    recipe, seed, steps = training.config.recipe, training.config.seed, training.config.step
    pixels, learner = training.images.training, training.learner
    curves = open_curves(training.folder, position.step, tensorboard=recipe.tensorboard)
    # Whatever happens before the first state is due, the training can be resumed.
    save_state(training.folder, identity, learner, position)
    saved_step, steps_per_epoch = position.step, len(pixels) // recipe.batch_size
    clock = Clock(position, recipe.batch_size, steps)
    training.on_progress(clock.progress(position, position.step // steps_per_epoch, saved_step))
    for step in range(position.step, steps):
        chosen = batch_positions(seed, step, len(pixels), recipe.batch_size)
        batch = to_images(pixels[chosen.numpy()], training.device)  # (B, 3, H, W)
        set_learning_rates(learner.optimizers, recipe, step, steps)
        labels = _labels(training, chosen)
        losses = learner.update(batch, labels, randomness(seed, Purpose.NOISE, step))

        position = clock.position(step + 1, losses)
        require_finite_values(position.step, losses)
        if saves := is_due(position.step, steps, recipe.checkpoint_every):
            require_finite_weights(position.step, learner.networks)
            saved_step = position.step
        progress = clock.progress(position, step // steps_per_epoch, saved_step)
        if is_due(position.step, steps, recipe.report_every):
            for curve in curves:
                curve.add(position.step, _point(progress))
        if is_due(position.step, steps, recipe.sample_every):
            write_samples(training, position.step)
        # After its row, so that the curves of what is saved are whole; before its report, which
        # says what is saved.
        if saves:
            save_state(training.folder, identity, learner, position)
        training.on_progress(progress)
    return position


def _labels(training: Training, chosen: Tensor) -> Tensor | None:
    """The classes (B,) of the training images at some positions, where the recipe has classes."""
    labels = training.images.training_labels
    return None if labels is None else from_numpy(labels)[chosen].to(training.device)


def is_due(done: int, steps: int, every: int) -> bool:
    """Tell whether something is done after so many of the steps; the last one always is."""
    return done % every == 0 or done == steps


def _point(progress: TrainProgress) -> dict[str, float]:
    return {
        "epoch": progress.epoch,
        **progress.losses,
        "images_per_s": progress.images_per_s,
    }


def check_arguments(folder: Path, steps: int | None, seed: int, *, resume: bool) -> None:
    """Refuse numbers, and a folder, with which no training can begin or go on.

    Raises:
        RecipeError: If a number is too small.
        CheckpointError: If the file system does not take the folder's name.
        CheckpointExistsError: If the folder holds a training that is not to be resumed.
        CheckpointNotFoundError: If it holds none that could be.
    """
    if steps is not None and steps < 1:
        raise RecipeError(f"steps must be at least 1, not {steps}")
    if seed < 0:
        raise RecipeError(f"seed must be at least 0, not {seed}")
    state = folder / STATE_FILE
    try:
        held = state.is_file() or (folder / CONFIG_FILE).is_file()
    except OSError as error:
        raise CheckpointError(f"cannot write {str(folder)!r}: {error.strerror}") from error
    if resume and not state.is_file():
        raise CheckpointNotFoundError(f"there is no training to resume in {str(folder)!r}")
    if not resume and held:
        raise CheckpointExistsError(
            f"{str(folder)!r} already holds a training; resume it, or choose another folder"
        )


def _write_skipped(folder: Path, skipped: Sequence[SkippedImage]) -> None:
    rows = ((image.name, image.reason) for image in skipped)
    write_csv(folder / SKIPPED_FILE, [("name", "reason"), *rows])
