"""The training of an encoder for a bundle."""

from collections.abc import Sequence
from pathlib import Path

from graftscope.exporter._added_encoder import require_no_encoder
from graftscope.exporter.inversion._bundle_generator import bundle_generator, open_bundle
from graftscope.training import PlanCallback, ProgressCallback
from graftscope.training.inversion import InverterResult
from graftscope.training.inversion import train_inverter as train_for
from graftscope.training.progress import ignore_plan


def train_inverter(
    bundle: str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    steps: int | None = None,
    seed: int = 0,
    resume: bool = False,
    overrides: Sequence[str] = (),
    torch_source: str | None = None,
    weights: str | None = None,
    replace_encoder: bool = False,
    on_plan: PlanCallback = ignore_plan,
    on_progress: ProgressCallback | None = None,
) -> InverterResult:
    """Train an encoder on samples of a bundle's generator.

    Args:
        bundle: The name of a generator that ships, or a bundle's folder.
        out: The folder to write.
        data: As of `graftscope.training.inversion.train_inverter`; so are `steps`, `seed`,
            `resume`, `overrides`, `on_plan` and `on_progress`.
        steps: Optimiser steps.
        seed: Decides weights, latents and order.
        resume: Whether to continue.
        overrides: Settings to change.
        torch_source: As of `bundle_generator`; so is `weights`.
        weights: Weights for what a factory makes.
        replace_encoder: Whether the bundle may have an encoder already.
        on_plan: Hears of the plan.
        on_progress: Hears of progress.

    Returns:
        What was left.

    Raises:
        BundleError: If there is no such bundle, or it is damaged.
        SourceError: If it has an encoder, which is not to be replaced, or cannot be inverted.
        TrainingError: If settings, photographs or the folder cannot be used, or it diverges.
    """
    require_no_encoder(open_bundle(bundle), replace_encoder=replace_encoder)
    generator = bundle_generator(bundle, torch_source=torch_source, weights=weights)
    return train_for(
        generator,
        out,
        data=data,
        steps=steps,
        seed=seed,
        resume=resume,
        overrides=overrides,
        on_plan=on_plan,
        on_progress=on_progress,
    )
