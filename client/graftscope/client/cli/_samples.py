"""Verbs that answer while one waits: generate, encode, hybridize."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from graftscope.client._checks import module_labels
from graftscope.client._files import write_bytes
from graftscope.client._models import ImageFormat, Model
from graftscope.client._originals import ImagePairs, Originals
from graftscope.client._results import Execution, HybridResult
from graftscope.client.cli._options import (
    CHANNELS,
    HYBRID_PAIRS,
    PAIRS,
    ChannelOptions,
    HybridPairOptions,
    JsonOption,
    ModelOptions,
    ModulesLayerOption,
    NpzOption,
    PairOptions,
    PictureOption,
    ServerOptions,
)
from graftscope.client.cli._output import counted, say, say_json, tell_large, written
from graftscope.client.cli._places import chosen_model, chosen_place
from graftscope.client.cli._session import (
    check_target,
    chosen_channels,
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
Image1Option = Annotated[
    Path | None,
    typer.Option(
        "--image1",
        metavar="PATH",
        help="Original 1 through the encoder: an image, or a folder or zip, in order of names.",
        rich_help_panel=PAIRS,
    ),
]
Image2Option = Annotated[
    Path | None,
    typer.Option(
        "--image2",
        metavar="PATH",
        help="Original 2, as many images as --image1.",
        rich_help_panel=PAIRS,
    ),
]
ModuleOption = Annotated[
    int | None,
    typer.Option(
        "--module",
        metavar="J",
        help="Which module of --modules, counted from 0.",
        rich_help_panel=CHANNELS,
    ),
]


def generate(
    server: ServerOptions,
    which: ModelOptions,
    count: CountOption = 16,
    seed: SeedOption = 0,
    originals: OriginalsOption = None,
    latents: LatentsOption = None,
    out: PictureOption = None,
    json: JsonOption = False,
) -> None:
    """Generate samples."""
    check_target(out, ".npz", ".png")
    if latents is not None and originals is not None:
        raise UsageError("give either --latents or --originals")
    with opened(server) as client:
        model = chosen_model(client, which.model)
        _tell_images(model, count)
        samples = client.generate(
            model.name,
            count=count,
            seed=seed,
            originals=chosen_originals(PairOptions(originals=originals), model),
            latents=None if latents is None else read_latents(latents, model),
        )
    if out and out.suffix == ".png":
        from graftscope.client._pictures import in_rows

        write_bytes(out, _picture(in_rows(samples.images), (), model.image))
    elif out:
        samples.save(out)
    if json:
        say_json({**_head(model, samples.execution), "count": len(samples.images), "out": out})
    else:
        say(f"{counted(len(samples.images), 'sample')} of {model.name}{written(out)}")


def encode(
    server: ServerOptions,
    which: ModelOptions,
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="An image, or a folder or zip of images.")
    ],
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Encode images to latents, as --latents1 and --latents2 take them.

    Images are cut to their centred square and resized to the model's size.
    """
    check_target(out, ".npz")
    with opened(server) as client:
        model = chosen_model(client, which.model)
        posterior = client.encode(model.name, read_pictures(images, model))
    if out:
        posterior.save(out)
    shapes = {name: list(array.shape) for name, array in posterior.mean.items()}
    if json:
        say_json({**_head(model, posterior.execution), "shapes": shapes, "out": out})
    else:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        say(f"posterior means of {model.name}: {listed}{written(out)}")


def hybridize(
    server: ServerOptions,
    which: ModelOptions,
    chosen: ChannelOptions,
    drawn: HybridPairOptions,
    layer: ModulesLayerOption = None,
    module: ModuleOption = None,
    image1: Image1Option = None,
    image2: Image2Option = None,
    out: PictureOption = None,
    json: JsonOption = False,
) -> None:
    """Make hybrids: original 1 with some channels' values from original 2.

    Say which channels with --channels, which may be empty, or with --modules and --module.
    """
    check_target(out, ".npz", ".png")
    channels, labels = chosen_channels(chosen)
    _check_target(channels, labels, module)
    with opened(server) as client:
        model, at = chosen_place(client, which.model, layer, chosen.modules)
        pairs = HYBRID_PAIRS if drawn.pairs is None else drawn.pairs
        _tell_images(model, 3 * pairs)
        result = client.hybridize(
            model.name,
            at,
            channels,
            labels=labels,
            module=module,
            pairs=pairs,
            seed=drawn.seed,
            originals=_image_pairs(image1, image2, drawn, model) or chosen_originals(drawn, model),
        )
    _write_hybrids(result, out, model.image)
    low, high = model.image.range
    change = float(np.abs(result.hybrid - result.original1).mean()) / (high - low)
    if json:
        facts = {"layer": at, "pairs": len(result.hybrid), "change_share": change, "out": out}
        say_json({**_head(model, result.execution), **facts})
    else:
        say(
            f"{counted(len(result.hybrid), 'hybrid')} of {model.name} at {at}, on average"
            f" {change:.2%} of the range away from original 1{written(out)}"
        )


def _check_target(
    channels: Sequence[int] | None, labels: NDArray[np.integer] | None, module: int | None
) -> None:
    if labels is not None and module is None:
        last = module_labels(labels).max()
        raise UsageError(f"say which module: --module {f'0 to {last}' if last else 0}")
    if channels is None and labels is None:
        raise UsageError("say which channels: --channels 1,5,9, or --modules FILE.npz --module J")


def _tell_images(model: Model, count: int) -> None:
    image = model.image
    size = image.channels * image.height * image.width * np.dtype(np.float32).itemsize
    tell_large(f"{counted(count, 'image')} to receive", count * size)


def _write_hybrids(result: HybridResult, out: Path | None, image: ImageFormat) -> None:
    if out and out.suffix == ".png":
        rows = (result.original1, result.original2, result.hybrid)
        write_bytes(out, _picture(rows, ("original 1", "original 2", "hybrid"), image))
    elif out:
        result.save(out)


def _picture(
    rows: Sequence[NDArray[np.float32]], labels: Sequence[str], image: ImageFormat
) -> bytes:
    # Pillow is for the few verbs that draw pictures.
    from graftscope.client._pictures import image_grid_png

    return image_grid_png(rows, labels, image_range=image.range)


def _head(model: Model, execution: Execution) -> dict[str, object]:
    """What every verb's document begins with."""
    return {
        "model": model.name,
        "model_digest": execution.model_digest,
        "precision": execution.precision,
        "provider": execution.provider,
    }


def _image_pairs(
    image1: Path | None, image2: Path | None, drawn: HybridPairOptions, model: Model
) -> Originals | None:
    if image1 is None and image2 is None:
        return None
    if image1 is None or image2 is None:
        raise UsageError("--image1 and --image2 go together: a pair needs both originals")
    if drawn != HybridPairOptions():
        raise UsageError("--image1 and --image2 are all the pairs: leave out other originals")
    return ImagePairs(read_pictures(image1, model), read_pictures(image2, model))
