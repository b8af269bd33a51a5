"""The verb invert: latents of photographs, by optimisation. It hands over to its room."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from graftscope.client.arrays import write_npz
from graftscope.client.calls import import_room, translated
from graftscope.client.cli._output import note, say, say_json
from graftscope.client.cli._progress import shown
from graftscope.client.cli._session import check_target
from graftscope.client.cli._shared_options import JsonOption, NpzOption
from graftscope.client.cli._train import (
    TorchOption,
    TorchWeightsOption,
    of_reconstruction,
    of_training,
)
from graftscope.client.errors import InputError, UsageError
from graftscope.client.words import counted

if TYPE_CHECKING:
    from graftscope.exporter import InvertedPhotographs

_BESIDE = ("error", "start_error", "mean_square", "names")
"""Arrays beside the latents."""
_NAMED_SKIPPED = 5


def invert(
    images: Annotated[
        Path,
        typer.Argument(metavar="IMAGES", help="An image, a folder or zip of images, or an .npz."),
    ],
    bundle: Annotated[
        str,
        typer.Option(
            "--bundle",
            metavar="NAME|PATH",
            help="The generator: a bundle's folder, or the name of one that comes with Graftscope.",
        ),
    ],
    out: NpzOption = None,
    steps: Annotated[
        int,
        typer.Option(
            "--steps", metavar="N", min=0, help="Steps for each image; 0 leaves them at the start."
        ),
    ] = 200,
    learning_rate: Annotated[
        float,
        typer.Option(
            "--rate",
            metavar="R",
            min=1e-6,
            help="Size of the first steps, in standard deviations of the prior; it falls to 0.",
        ),
    ] = 0.05,
    prior_weight: Annotated[
        float,
        typer.Option(
            "--prior-weight",
            metavar="W",
            min=0.0,
            help="Holds latents near the prior: weight of their mean square, beside the mean "
            "square of the pixels' error as a share of the range; such as 0.001.",
        ),
    ] = 0.0,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            metavar="FILE.safetensors",
            help="Compare the features of a network that `measure` trained, too.",
        ),
    ] = None,
    feature_weight: Annotated[
        float,
        typer.Option("--feature-weight", metavar="W", min=0.0, help="Weight of their mean square."),
    ] = 0.01,
    from_samples: Annotated[
        bool,
        typer.Option(
            "--from-samples",
            help="Start from the nearest of --draws samples. Default: from the bundle's encoder, "
            "if it has one.",
        ),
    ] = False,
    draws: Annotated[
        int, typer.Option("--draws", metavar="N", min=1, help="How many samples are looked at.")
    ] = 256,
    seed: Annotated[
        int, typer.Option("--seed", metavar="S", min=0, help="Decides them, from 0.")
    ] = 0,
    torch: TorchOption = None,
    weights: TorchWeightsOption = None,
    json: JsonOption = False,
) -> None:
    """Find latents from which a generator makes given images.

    The file is what --latents1 and --latents2 take. Each image has the best latents that it had
    at any step, so it is never worse off than at its start. Images are cut to their centre and
    resized as for `encode`.
    """
    if out is None:
        raise UsageError("say where the latents go: --out FILE.npz")
    check_target(out, ".npz")
    room = import_room("graftscope.exporter", "export")
    with translated("graftscope."), shown("invert", "done") as show:
        done: InvertedPhotographs = room.invert_photographs(
            bundle,
            images,
            steps=steps,
            learning_rate=learning_rate,
            prior_weight=prior_weight,
            features=features,
            feature_weight=feature_weight,
            from_samples=from_samples,
            draws=draws,
            seed=seed,
            torch_source=torch,
            weights=weights,
            on_progress=lambda progress: show(of_training(progress)),
        )
    for skipped in done.skipped[:_NAMED_SKIPPED]:
        note(f"skipped {skipped.name}: {skipped.reason}")
    if len(done.skipped) > _NAMED_SKIPPED:
        note(f"skipped {len(done.skipped)} images in all")
    _write(out, done)
    _tell(out, done, steps, json)


def _write(out: Path, done: "InvertedPhotographs") -> None:
    if done.input in _BESIDE:
        raise InputError(f"the latent is called {done.input!r}, as an array beside it is")
    found = done.found
    beside = (found.errors, found.start_errors, found.mean_square, np.array(done.names))
    write_npz(out, {done.input: done.latents, **dict(zip(_BESIDE, beside, strict=True))})


def _tell(out: Path, done: "InvertedPhotographs", steps: int, json: bool) -> None:
    found = done.found
    if json:
        errors = dict(zip(done.names, found.errors.tolist(), strict=True))
        say_json(
            {
                "model": done.model,
                "start": done.start,
                "steps": steps,
                **vars(done.reconstruction),
                "start_error": float(np.sqrt(np.square(found.start_errors).mean())),
                "errors": errors,
                "out": out,
            }
        )
        return
    count = counted(len(done.names), "image")
    say(f"latents of {count} for {done.model}: {done.input} {done.latents.shape} -> {out}")
    start = float(np.sqrt(np.square(found.start_errors).mean()))
    before = f"at the start, from the {done.start}, {start:.2%}"
    say(f"{of_reconstruction(done.reconstruction)}; {before}")
    far = float(np.sqrt(found.mean_square.mean()))
    say(f"root mean square of the latents: {far:.2f} standard deviations of the prior (samples: 1)")
