"""The verb that makes a bundle of a generator: export. It hands over to its rooms."""

import re
from pathlib import Path
from typing import Annotated

import typer

from graftscope.client.arrays import finite_number
from graftscope.client.calls import import_room, translated
from graftscope.client.cli._export_pace import ExportPace
from graftscope.client.cli._models import model_of_manifest, say_chain
from graftscope.client.cli._output import note, say, say_json, writing
from graftscope.client.cli._progress import shown
from graftscope.client.cli._shared_options import JsonOption
from graftscope.client.cli._triton import (
    MaxBatchOption,
    ToTriton,
    TritonOption,
    document_of,
    is_bundle,
    require_bare,
    say_repository,
)
from graftscope.client.errors import InputError, UsageError
from graftscope.client.words import counted
from graftscope.v1 import bundle_pb2

ENCODER = "The encoder"
"""The heading of options."""


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A checkpoint's folder; an .onnx file; or package.module:function, which returns "
            "a PyTorch module, or a module, a method's name, its keyword arguments and a selector "
            "of its output. With --triton alone, or to add an encoder: a bundle.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="BUNDLE",
            help="The folder to write. Required, unless SOURCE is a bundle and --triton is given.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="The bundle's name: lowercase letters, digits, '-', '_' and '.'. Default: the "
            "folder's.",
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence",
            metavar="TEXT",
            help="The terms of the training images. Default: the terms of the recipe's images.",
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=DISTRIBUTION",
            help="How an input's values are drawn: normal, normal:MEAN,DEVIATION, "
            "uniform:LOW,HIGH, truncated:T; choice:0.5,1,80 or choice:1..100 (one of these "
            "numbers), classes:N (a label, 0 to N - 1), onehot:N (the same as 1 among "
            "zeros); constant:NUMBER or constant:FILE (the same in every sample), "
            "file:FILE (one of its rows per sample; FILE: .npz or .npy), "
            "images:FOLDER,LOW,HIGH (an image of a folder or zip, black as LOW and white "
            "as HIGH). For a PyTorch method, styles.0=normal is the first of a list, "
            "n=count the number of samples. May be repeated. Default: guessed where the graph "
            "allows it.",
        ),
    ] = None,
    shapes: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            metavar="NAME=100,1,1",
            help="The shape of an input of a PyTorch module, without the batch; may be repeated.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", metavar="NAME", help="Which of an ONNX file's outputs is the image."
        ),
    ] = None,
    image_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW,HIGH",
            help="The least and the largest value of an image's pixel: -1,1 or 0,1 or 0,255. "
            "Default: guessed from samples.",
        ),
    ] = None,
    image_shape: Annotated[
        str | None,
        typer.Option(
            "--image-shape",
            metavar="C,H,W",
            help="The image's channels, height and width, if the generator returns it as a row "
            "of numbers: 1,28,28 for (B, 784).",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="FILE[:KEY]",
            help="Weights for the PyTorch module: .safetensors, or a .pt, .pth or .ckpt file, "
            "from which only tensors are read. KEY: a dictionary in the file, such as "
            "g_ema, or the prefix of its tensors' names. Default: the one that fits.",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            metavar="SOURCE",
            help="The encoder that belongs to the generator: an .onnx file, "
            "package.module:function as for SOURCE, or the folder of a `train inverter`. It takes "
            "one input, images of the generator's size, and gives the posterior's mean, or mean "
            "and log-variance (two outputs, or one twice as wide); a line says which output was "
            "taken for which. A checkpoint brings its own.",
            rich_help_panel=ENCODER,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="Photographs whose encodings' mean and covariance become the bundle's "
            "originals (--originals encoded): a folder or zip of images, an .npz or "
            "hf:DATASET_ID. Each is cropped to its centre in the image's proportions and "
            "resized (Lanczos), as in `graftscope encode`.",
            rich_help_panel=ENCODER,
        ),
    ] = None,
    encoder_outputs: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder-outputs",
            metavar="MEAN[,LOG_VARIANCE]",
            help="Which of the encoder's outputs to use, if names and shapes do not decide it; "
            "with commas or by repeating the option.",
            rich_help_panel=ENCODER,
        ),
    ] = None,
    encoder_range: Annotated[
        str | None,
        typer.Option(
            "--encoder-range",
            metavar="LOW,HIGH",
            help="The range in which the encoder expects pixels; images are rescaled inside its "
            "graph. Default: the generator's range.",
            rich_help_panel=ENCODER,
        ),
    ] = None,
    encoder_weights: Annotated[
        str | None,
        typer.Option(
            "--encoder-weights",
            metavar="FILE[:KEY]",
            help="Weights for the PyTorch encoder, like --weights; may be the same file.",
            rich_help_panel=ENCODER,
        ),
    ] = None,
    replace_encoder: Annotated[
        bool,
        typer.Option(
            "--replace-encoder",
            help="Allow a SOURCE that is a bundle with an encoder already.",
            rich_help_panel=ENCODER,
        ),
    ] = False,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="N|NAME,...",
            help="Which layers to keep: a number keeps that many, spread evenly from the latents "
            "to the image, unless a layer has that name; names or patterns such as "
            "'up.*' keep those. May be repeated. Default: all, "
            "which takes long if there are hundreds.",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace an existing bundle, and its models in --triton's DIR."
        ),
    ] = False,
    triton: TritonOption = None,
    max_batch: MaxBatchOption = None,
    json: JsonOption = False,
) -> None:
    """Split a generator at its layers and write it as a bundle, with proof that the parts fit.

    With --triton it is written for NVIDIA's Triton Inference Server too, checked against the
    bundle: graftscope export bundles/mine --triton models
    """
    if triton is None and max_batch is not None:
        raise UsageError("--max-batch is for --triton DIR, which is missing")
    target = None if triton is None else ToTriton(triton, max_batch, overwrite)
    if out is None:
        if target is None or not is_bundle(source):
            why = " (a Triton repository is written from a bundle: say where)" if target else ""
            raise UsageError(f"--out is missing{why} (see --help)")
        require_bare(
            {
                "--name": name,
                "--licence": licence,
                "--input": inputs,
                "--shape": shapes,
                "--output": output,
                "--range": image_range,
                "--image-shape": image_shape,
                "--weights": weights,
                "--encoder": encoder,
                "--data": data,
                "--encoder-outputs": encoder_outputs,
                "--encoder-range": encoder_range,
                "--encoder-weights": encoder_weights,
                "--replace-encoder": replace_encoder,
            }
        )
        written = target.write(source, layers or [])
        if json:
            say_json({**_facts(written.manifest), "triton": document_of(written)})
        else:
            say_repository(written)
        return
    if target is not None:
        target.check()
    wide = None if image_range is None else parse_range(image_range)
    expected = None
    if encoder_range is not None:
        expected = parse_range(encoder_range, "--encoder-range")
    room = import_room("graftscope.exporter", "export")
    with writing(out), translated("graftscope."), shown("export", "done") as show:
        exported = room.export(
            source,
            out,
            name=name,
            licence=licence,
            inputs=inputs or [],
            shapes=shapes or [],
            output=output,
            image_range=wide,
            image_shape=None if image_shape is None else parse_extents(image_shape),
            weights=weights,
            encoder=encoder,
            encoder_outputs=[name for text in encoder_outputs or [] for name in text.split(",")],
            encoder_range=expected,
            encoder_weights=encoder_weights,
            data=data,
            layers=layers or [],
            replace_encoder=replace_encoder,
            overwrite=overwrite,
            on_progress=ExportPace(show),
        )
    manifest = exported.manifest
    for line in exported.notes:
        note(line)
    served = None if target is None else target.write(out)
    if json:
        document = {"bundle": out, **_facts(manifest), "notes": exported.notes}
        say_json(document | ({} if served is None else {"triton": document_of(served)}))
        return
    count = counted(len(manifest.layers), "layer")
    say(f"exported {manifest.name} with {count} -> {out}")
    if served is not None:
        say_repository(served)
    say("")
    say_chain(model_of_manifest(manifest), carried=False)


def _facts(manifest: bundle_pb2.Bundle) -> dict[str, object]:
    layers = [layer.name for layer in manifest.layers]
    return {"name": manifest.name, "digest": manifest.digest, "layers": layers}


def parse_extents(text: str) -> tuple[int, ...]:
    """Read whole numbers with commas, as of `--image-shape`.

    Args:
        text: Such as 1,28,28.

    Raises:
        InputError: If it is something else.
    """
    if not re.fullmatch(r"\d{1,9}(,\d{1,9}){2}", text, re.ASCII):
        raise InputError(f"--image-shape {text!r} is not three numbers with commas, like 1,28,28")
    return tuple(map(int, text.split(",")))


def parse_range(text: str, option: str = "--range") -> tuple[float, float]:
    """Read the range of an image's pixels.

    Args:
        text: Two numbers with a comma.
        option: The option that they were given with, for messages.

    Raises:
        InputError: If it is not two numbers, the first of them lower.
    """
    try:
        low, high = (finite_number(option, part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{option} {text!r} is not two numbers with a comma, like -1,1") from error
    if not low < high:
        raise InputError(f"{option} {text!r} is empty: the first number must be the lower one")
    return low, high
