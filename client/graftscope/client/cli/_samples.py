"""Verbs that generate samples and encode images while one waits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from graftscope.client._encodings import GenerateOptions, SampleFiles
from graftscope.client._execution import Execution, Precision, checked_precision
from graftscope.client._files import write_bytes
from graftscope.client._models import ImageFormat, Model
from graftscope.client._results import Samples
from graftscope.client.cli._conditions import parse_fix
from graftscope.client.cli._encoding import EncodingOption, parse_encoding, saved
from graftscope.client.cli._options import (
    FixOption,
    JsonOption,
    ModelOptions,
    NpzOption,
    PairOptions,
    PictureOption,
    PrecisionOption,
    ServerOptions,
)
from graftscope.client.cli._output import counted, say, say_json, tell_large, written
from graftscope.client.cli._places import chosen_model
from graftscope.client.cli._session import (
    check_target,
    chosen_originals,
    opened,
    read_latents,
    read_pictures,
)
from graftscope.client.errors import UsageError

CountOption = Annotated[
    int, typer.Option("--count", metavar="N", help="How many samples, at least 1.")
]
SeedOption = Annotated[
    int, typer.Option("--seed", metavar="S", help="Decides the samples, 0 to 4294967295.")
]
OriginalsOption = Annotated[
    str | None,
    typer.Option(
        "--originals",
        metavar="prior|encoded|PATH",
        help="Where latents come from; PATH: images through the encoder (an image, a folder or a "
        "zip). Default: encoded where the model has an encoder, else prior.",
    ),
]
LatentsOption = Annotated[
    Path | None,
    typer.Option("--latents", metavar="A.npz", help="The latents, by the inputs' names."),
]


def generate(
    server: ServerOptions,
    which: ModelOptions,
    count: CountOption = 16,
    seed: SeedOption = 0,
    originals: OriginalsOption = None,
    latents: LatentsOption = None,
    fix: FixOption = None,
    precision: PrecisionOption = "fp32",
    encoding: EncodingOption = None,
    out: PictureOption = None,
    json: JsonOption = False,
) -> None:
    """Generate samples."""
    as_files = parse_encoding(encoding, out)
    if latents is not None and originals is not None:
        raise UsageError("give either --latents or --originals")
    if latents is not None and fix:
        raise UsageError("give either --latents, which hold every input, or --fix")
    fixed = parse_fix(fix)
    with opened(server) as client:
        model = chosen_model(client, which.model)
        tell_images(model, count)
        asked: GenerateOptions = {
            "count": count,
            "seed": seed,
            "originals": chosen_originals(PairOptions(originals=originals), model),
            "latents": None if latents is None else read_latents(latents, model),
            "fix": fixed,
            "precision": checked_precision(precision),
        }
        if as_files:
            files = client.generate(model.name, encoding=as_files, **asked)
            _tell_samples(model, files, saved(files, out), json)
            return
        samples = client.generate(model.name, **asked)
    if out and out.suffix == ".png":
        from graftscope.client._pictures import in_rows

        write_bytes(out, drawn_picture(in_rows(samples.images), (), model.image))
    elif out:
        samples.save(out)
    _tell_samples(model, samples, {"out": out}, json)


def _tell_samples(
    model: Model, samples: Samples | SampleFiles, facts: Mapping[str, object], json: bool
) -> None:
    count, out = len(samples.images), facts["out"]
    if json:
        say_json({**head(model, samples.execution), "count": count, **facts})
        return
    say(f"{counted(count, 'sample')} of {model.name}{f' -> {out}' if out else ''}")
    tell_how(samples.execution)


def encode(
    server: ServerOptions,
    which: ModelOptions,
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="An image, or a folder or zip of images.")
    ],
    precision: PrecisionOption = "fp32",
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Encode images to latents, as --latents1 and --latents2 take them.

    Images are cut to their centred square and resized to the model's size.
    """
    check_target(out, ".npz")
    with opened(server) as client:
        model = chosen_model(client, which.model)
        pictures = read_pictures(images, model)
        posterior = client.encode(model.name, pictures, precision=checked_precision(precision))
    if out:
        posterior.save(out)
    shapes = {name: list(array.shape) for name, array in posterior.mean.items()}
    if json:
        say_json({**head(model, posterior.execution), "shapes": shapes, "out": out})
    else:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        say(f"posterior means of {model.name}: {listed}{written(out)}")
        tell_how(posterior.execution)


def tell_images(model: Model, count: int) -> None:
    """Say that images are going to be received, if they are many."""
    image = model.image
    size = image.channels * image.height * image.width * np.dtype(np.float32).itemsize
    tell_large(f"{counted(count, 'image')} to receive", count * size)


def drawn_picture(
    rows: Sequence[NDArray[np.float32]], labels: Sequence[str], image: ImageFormat
) -> bytes:
    """Draw images in labelled rows: the bytes of a PNG file."""
    # Pillow is for the few verbs that draw pictures.
    from graftscope.client._pictures import image_grid_png

    return image_grid_png(rows, labels, image_range=image.range)


def head(model: Model, execution: Execution) -> dict[str, object]:
    """What every verb's document begins with."""
    return {
        "model": model.name,
        "model_digest": execution.model_digest,
        **how(execution),
    }


def how(execution: Execution) -> dict[str, object]:
    """What every document of computed numbers says of their arithmetic."""
    deviation = execution.deviation
    return {
        "precision": execution.precision,
        "provider": execution.provider,
        "rewrites": execution.rewrites,
        "deviation": None if deviation is None else vars(deviation),
    }


def tell_how(execution: Execution) -> None:
    """Say what ran, where that was not float32."""
    if execution.precision is not Precision.FP32:
        say(f"computed in {execution.precision} by {execution.provider}: {execution.deviation}")
