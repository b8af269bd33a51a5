"""Verbs that generate samples and encode images while one waits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from graftscope.client.arrays import write_bytes
from graftscope.client.cli._documents import head
from graftscope.client.cli._model_and_layer import chosen_model
from graftscope.client.cli._output import say, say_json, tell_how, tell_large, written
from graftscope.client.cli._request_options import As, Given, Offer
from graftscope.client.cli._session import (
    check_target,
    named_originals,
    opened,
    read_latents,
    read_pictures,
)
from graftscope.client.cli._shared_options import (
    JsonOption,
    ModelOptions,
    NpzOption,
    PictureOption,
    ServerOptions,
)
from graftscope.client.errors import UsageError
from graftscope.client.models import Model
from graftscope.client.values import (
    HybridFiles,
    ImageEncoding,
    PosteriorTask,
    SampleFiles,
    Samples,
    SamplesTask,
)
from graftscope.client.words import counted

OriginalsOption = Annotated[
    str | None,
    typer.Option(
        "--originals",
        metavar="prior|encoded|PATH",
        help="Where latents come from; PATH: images through the encoder (an image, a folder or "
        "a zip). Default: encoded if the bundle has encodings, else prior.",
    ),
]
LatentsOption = Annotated[
    Path | None,
    typer.Option("--latents", metavar="A.npz", help="The latents, by the inputs' names."),
]


def generate(
    server: ServerOptions,
    which: ModelOptions,
    asked: Annotated[Given[SamplesTask], Offer(changed={"count": As(default=16)})],
    originals: OriginalsOption = None,
    latents: LatentsOption = None,
    out: PictureOption = None,
    json: JsonOption = False,
) -> None:
    """Generate samples."""
    if out is None:
        kinds = "FILE.npz or FILE.png" if asked["encoding"] is None else "FOLDER"
        raise UsageError(f"say where the samples go: --out {kinds}")
    check_pictures(asked["encoding"], out)
    if latents is not None:
        _refuse_beside_latents(asked, originals)
    with opened(server) as client:
        model = chosen_model(client, which.model)
        tell_images(model, asked["count"])
        given = None if latents is None else read_latents(latents, model)
        drawn = named_originals(originals, model)
        made = client.generate(model.name, originals=drawn, latents=given, **asked.values)
    facts: Mapping[str, object] = {"out": out}
    if isinstance(made, SampleFiles):
        facts = saved(made, out)
    elif out.suffix == ".png":
        # Pillow takes a while to import.
        from graftscope.client.pictures import image_grid_png, in_rows

        write_bytes(out, image_grid_png(in_rows(made.images), (), image_range=model.image.range))
    else:
        made.save(out)
    _tell_samples(model, made, facts, json)


def _refuse_beside_latents(asked: Given[SamplesTask], originals: str | None) -> None:
    """Refuse what says which latents, where they are given."""
    said = asked.options("count", "seed", "original", "fix")
    said += [] if originals is None else ["--originals"]
    if said:
        raise UsageError(
            f"--latents already gives all the samples, with every input: leave out {said[0]}"
        )


def _tell_samples(
    model: Model, samples: Samples | SampleFiles, facts: Mapping[str, object], json: bool
) -> None:
    count, out = len(samples.images), facts["out"]
    if json:
        say_json({**head(model, samples.execution), "count": count, **facts})
        return
    say(f"{counted(count, 'sample')} of {model.name} -> {out}")
    tell_how(samples.execution)


def encode(
    server: ServerOptions,
    which: ModelOptions,
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="An image, or a folder or zip of images.")
    ],
    asked: Given[PosteriorTask],
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Encode images to latents, as --latents1 and --latents2 take them.

    Images are cut to their centred square and resized to the model's size.
    """
    if out is None:
        raise UsageError("say where the latents go: --out FILE.npz")
    check_target(out, ".npz")
    with opened(server) as client:
        model = chosen_model(client, which.model)
        pictures = read_pictures(images, model)
        posterior = client.encode(model.name, pictures, **asked.values)
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


def check_pictures(encoding: ImageEncoding | None, out: Path | None) -> None:
    """Check what --out names before any work.

    Raises:
        InputError: If --out ends otherwise than it must.
        UsageError: If files have no folder to go to.
        OutputError: If --out cannot be written.
    """
    if encoding is None:
        check_target(out, ".npz", ".png")
    elif out is None or out.is_file() or out.suffix in (".npz", ".png"):
        raise UsageError(f"--encoding {encoding} writes several files: name a folder with --out")


def saved(files: SampleFiles | HybridFiles, out: Path | None) -> dict[str, object]:
    """Write files into a folder; gives what a document says of them."""
    assert out is not None
    names = [path.name for path in files.save(out)]
    return {"encoding": files.encoding, "out": out, "files": names}
