"""The verb that trains a generator: train. It hands over to its room and shows the progress."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graftscope.client.calls import import_room, translated
from graftscope.client.cli._output import note, say, say_json
from graftscope.client.cli._progress import Shown, shown
from graftscope.client.cli._shared_options import JsonOption
from graftscope.client.display import Advance
from graftscope.client.errors import StoppedError
from graftscope.client.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from graftscope.training import TrainPlan, TrainProgress, TrainResult

OutFolder = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")]


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="vae-celeba, gan-celeba, vae-cifar10 or gan-cifar10."
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="PATH",
            help="A folder or zip of images, an .npz, CIFAR-10's own archive, or hf:DATASET_ID.",
        ),
    ],
    out: OutFolder,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", metavar="N", min=1, help="Optimiser steps. Default: the recipe's epochs."
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
    json: JsonOption = False,
) -> None:
    """Train a generator: one of Table 1's four recipes."""
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
    for skipped in result.skipped[:5]:
        note(f"skipped {skipped.name}: {skipped.reason}")
    if len(result.skipped) > 5:
        note(f"skipped {len(result.skipped)} images in all; {out}/skipped.csv lists them")
    if json:
        say_json({"checkpoint": result.checkpoint, "skipped": len(result.skipped)})
    else:
        say(f"trained {recipe} -> {result.checkpoint}")


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
