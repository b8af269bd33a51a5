"""The verb that trains a generator, or an encoder for one: train. It shows the progress."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graftscope.client.calls import import_room, translated
from graftscope.client.cli._output import note, say, say_json
from graftscope.client.cli._progress import Shown, shown
from graftscope.client.cli._shared_options import JsonOption
from graftscope.client.display import Advance
from graftscope.client.errors import StoppedError, UsageError
from graftscope.client.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from graftscope.training import TrainPlan, TrainProgress, TrainResult
    from graftscope.training.data import SkippedImage
    from graftscope.training.inversion import InverterResult, Reconstruction

INVERTER = "inverter"
"""What stands in a recipe's place where an encoder is trained."""

AN_ENCODER = "An encoder: train inverter"
"""The heading of options."""

_RECONSTRUCTED = {
    "samples": "{:,} samples that it never saw",
    "photographs": "{:,} photographs that it never saw",
}

TorchOption = Annotated[
    str | None,
    typer.Option(
        "--torch",
        metavar="SOURCE",
        help="What the bundle was exported from, if not with `graftscope train`: a checkpoint's "
        "folder or package.module:function. Errors of pixels reach latents through its PyTorch "
        "module alone.",
        rich_help_panel=AN_ENCODER,
    ),
]
TorchWeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FILE[:KEY]",
        help="Weights for what the function of --torch makes, as for `export`.",
        rich_help_panel=AN_ENCODER,
    ),
]
ReplaceEncoderOption = Annotated[
    bool,
    typer.Option(
        "--replace-encoder",
        help="Allow a bundle that has an encoder already.",
        rich_help_panel=AN_ENCODER,
    ),
]

OutFolder = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")]


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="vae-celeba, gan-celeba, vae-cifar10, gan-cifar10 or cgan-cifar10; or inverter: "
            "an encoder for the generator of --bundle.",
        ),
    ],
    out: OutFolder,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="A folder or zip of images, an .npz, CIFAR-10's own archive, or hf:DATASET_ID. "
            "Required, but for an inverter, which it measures on those that are held out.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            min=1,
            help="Optimiser steps. Default: the recipe's epochs; 3000 for an inverter.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", min=0, help="Decides weights, order and noise, from 0."
        ),
    ] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the training in --out.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated."),
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle",
            metavar="NAME|PATH",
            help="The generator to train an encoder for: a bundle's folder, or the name of one "
            "that comes with Graftscope.",
            rich_help_panel=AN_ENCODER,
        ),
    ] = None,
    torch: TorchOption = None,
    weights: TorchWeightsOption = None,
    replace_encoder: ReplaceEncoderOption = False,
    json: JsonOption = False,
) -> None:
    """Train a generator, one of Table 1's four recipes, or an encoder for a generator without one.

    graftscope train inverter --bundle gan-celeba --data faces.zip --out runs/inverter
    """
    if recipe == INVERTER:
        if bundle is None:
            raise UsageError("train inverter needs --bundle: the generator to invert")
        room = import_room("graftscope.exporter", "export")
        with translated("graftscope."), shown("train", "done") as show, _following(show) as follow:
            trained: InverterResult = room.train_inverter(
                bundle,
                out,
                data=data,
                steps=steps,
                seed=seed,
                resume=resume,
                overrides=changes or [],
                torch_source=torch,
                weights=weights,
                replace_encoder=replace_encoder,
                on_plan=_say_plan,
                on_progress=follow,
            )
        _say_skipped(trained.skipped, out)
        _say_inverter(bundle, trained, json)
        return
    of_an_encoder = {
        "--bundle": bundle,
        "--torch": torch,
        "--weights": weights,
        "--replace-encoder": replace_encoder,
    }
    if given := [option for option, value in of_an_encoder.items() if value]:
        raise UsageError(f"{given[0]} is for train inverter, not for recipe {recipe!r}")
    if data is None:
        raise UsageError(f"train {recipe} needs --data: the images to train on")
    room = import_room("graftscope.training", "train")
    with translated("graftscope."), shown("train", "done") as show, _following(show) as follow:
        result: TrainResult = room.train(
            recipe,
            data,
            out,
            steps=steps,
            seed=seed,
            resume=resume,
            overrides=changes or [],
            on_plan=_say_plan,
            on_progress=follow,
        )
    _say_skipped(result.skipped, out)
    if json:
        say_json({"checkpoint": result.checkpoint, "skipped": len(result.skipped)})
    else:
        say(f"trained {recipe} -> {result.checkpoint}")


def _say_skipped(skipped: "Sequence[SkippedImage]", out: Path) -> None:
    for each in skipped[:5]:
        note(f"skipped {each.name}: {each.reason}")
    if len(skipped) > 5:
        note(f"skipped {len(skipped)} images in all; {out}/skipped.csv lists them")


def _say_inverter(bundle: str, trained: "InverterResult", json: bool) -> None:
    metrics = trained.metrics
    measured = {"samples": metrics.samples, "photographs": metrics.photographs}
    if json:
        say_json(
            {
                "checkpoint": trained.checkpoint,
                "skipped": len(trained.skipped),
                "latent_error": metrics.latent_error,
                **{name: None if x is None else vars(x) for name, x in measured.items()},
            }
        )
        return
    say(f"trained an encoder for {bundle} -> {trained.checkpoint}")
    for name, found in measured.items():
        if found is not None:
            say(f"{_RECONSTRUCTED[name].format(found.images)}: {of_reconstruction(found)}")
    say(
        f"add it to the bundle: graftscope export {bundle} --encoder {trained.checkpoint} --out "
        "BUNDLE"
    )


def of_reconstruction(found: "Reconstruction") -> str:
    """Tell errors of reconstructions in words."""
    if found.images == 1:
        # One image has no standard error, and is its own mean.
        return f"the reconstruction is off by {found.error:.2%} of the range (root mean square)"
    return (
        f"reconstructions off by {found.error:.2%} ± {found.error_stderr:.2%} of the range (root "
        f"mean square), the mean image by {found.mean_image_error:.2%}"
    )


def _say_plan(plan: "TrainPlan") -> None:
    expected = "" if plan.expected_s is None else f", about {duration(plan.expected_s)}"
    note(
        f"training on {plan.device} in {plan.precision} ({plan.reason}):"
        f" {counted(plan.steps, 'step')}{expected}"
    )


@contextmanager
def _following(show: Shown) -> "Iterator[Callable[[TrainProgress], None]]":
    """Show a training's progress, and where the user interrupts it, say what is saved."""
    last: TrainProgress | None = None

    def take(progress: "TrainProgress") -> None:
        nonlocal last
        last = progress
        show(of_training(progress))

    try:
        yield take
    except KeyboardInterrupt:
        raise StoppedError(_stopped(last)) from None


def _stopped(last: "TrainProgress | None") -> str:
    if last is None or last.saved_step is None:
        return "interrupted before the first step: start the same command again"
    # While it measures, a report counts images.
    step = last.step if last.stage.value == "training" else last.saved_step
    return (
        f"interrupted after step {step}; step {last.saved_step} is saved, and the same command"
        " with --resume goes on from there"
    )


def of_training(progress: "TrainProgress") -> Advance:
    """Turn a report of the training room into what is shown."""
    losses = " ".join(f"{name} {value:.4g}" for name, value in progress.losses.items())
    rate = f"{progress.images_per_s:,.0f} images/s" if progress.images_per_s else ""
    return Advance(
        done=progress.step,
        total=progress.steps,
        rate=", ".join(part for part in (rate, losses) if part),
        eta_s=progress.eta_s,
        stage=progress.stage.value,
    )
