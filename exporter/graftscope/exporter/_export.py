"""The two ways in: what a source is, and what becomes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from graftscope.exporter._checkpoint import subject_from_checkpoint
from graftscope.exporter._factory import subject_from_factory
from graftscope.exporter._inputs import parse_inputs
from graftscope.exporter._making import is_factory
from graftscope.exporter._module import EncoderModule, subject_from_modules
from graftscope.exporter._onnx_file import subject_from_onnx
from graftscope.exporter._pipeline import Exported, require_name, write_bundle
from graftscope.exporter._subject import Subject
from graftscope.exporter._target import require_target
from graftscope.exporter._wishes import Wishes
from graftscope.exporter.errors import SourceError, SourceNotFoundError
from graftscope.exporter.progress import ExportCallback, ignore_progress
from graftscope.v1 import bundle_pb2


def export(
    source: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    licence: str | None = None,
    inputs: Sequence[str] = (),
    shapes: Sequence[str] = (),
    output: str | None = None,
    image_range: tuple[float, float] | None = None,
    weights: Path | None = None,
    overwrite: bool = False,
    on_progress: ExportCallback | None = None,
) -> Exported:
    """Split a trained generator at its layers and write it as a bundle, with proof.

    Args:
        source: The folder of a checkpoint that `graftscope train` has finished, or the .onnx
            file of a generator, or `package.module:function`, a function that returns a module.
        out: The bundle's folder.
        name: The bundle's name; None takes the last part of `out`.
        licence: The terms of the images it was trained on; None takes those of the images that
            a checkpoint's recipe is for.
        inputs: How inputs' values come about, such as `z=normal` or `label=classes:10`; what is
            not given is guessed where the graph tells. A checkpoint's are known.
        shapes: Shapes of inputs behind the batch, such as `z=100,1,1`, where the source does not
            tell them.
        output: Which of several outputs is the image; None takes the only image there is.
        image_range: The least and the largest value of an image's pixel; None takes what the
            graph tells, or guesses it from samples.
        weights: Weights for what a factory makes; other sources hold their own.
        overwrite: Whether a bundle that is there already is replaced.
        on_progress: Hears of every step.

    Returns:
        The bundle's manifest, and notes on what was guessed or left out.

    Raises:
        SourceNotFoundError: If there is nothing at that path.
        SourceError: If what is there cannot be exported, or the name cannot be a bundle's.
        TrainingError: If the checkpoint is unfinished or damaged.
        GraphError: If the generator has no layers, or cannot be cut at any.
        ProofError: If the graphs do not compute what they should; nothing is written then.
        TargetExistsError: If `out` exists and is not to be overwritten, or is anything but a
            bundle's own folder.
    """
    target, report = Path(out), on_progress or ignore_progress
    require_target(target, overwrite=overwrite)
    name = require_name(target.name if name is None else name)
    wishes = Wishes(parse_inputs(inputs), tuple(shapes), output, image_range, weights)
    subject = _subject(str(source), name, licence, wishes, report)
    return write_bundle(subject, name, target, overwrite=overwrite, on_progress=report)


def export_module(
    generator: nn.Module,
    examples: Mapping[str, Tensor],
    out: str | Path,
    *,
    name: str | None = None,
    image_range: tuple[float, float] = (-1.0, 1.0),
    levels: Mapping[str, str] | None = None,
    encoder: EncoderModule | None = None,
    provenance: bundle_pb2.Provenance | None = None,
    overwrite: bool = False,
    on_progress: ExportCallback | None = None,
) -> bundle_pb2.Bundle:
    """Split a generator that is given as a PyTorch module, and write it as a bundle, with proof.

    Args:
        generator: Latents to images (B, C, H, W), with any number of arguments, each standard
            normal; in evaluation mode, on the CPU.
        examples: An example of each argument, (B, ...) float32 with B of at least 2, in order;
            the names become those of the generator's inputs.
        out: The bundle's folder.
        name: The bundle's name; None takes the last part of `out`.
        image_range: The least and the largest value of an image's pixel.
        levels: Levels' names by layers' names.
        encoder: The encoder that belongs to it.
        provenance: Where the generator comes from.
        overwrite: Whether a bundle that is there already is replaced.
        on_progress: Hears of every step.

    Returns:
        The bundle's manifest.

    Raises:
        SourceError: If a module cannot be exported, or the name cannot be a bundle's.
        GraphError: If the generator has no layers, or cannot be cut at one.
        ProofError: If the graphs do not compute what they should; nothing is written then.
        TargetExistsError: If `out` exists and is not to be overwritten, or is anything but a
            bundle's own folder.
    """
    target, report = Path(out), on_progress or ignore_progress
    require_target(target, overwrite=overwrite)
    name = require_name(target.name if name is None else name)
    low, high = image_range
    subject = subject_from_modules(
        generator, examples, encoder, low=low, high=high, on_progress=report
    )
    subject = replace(
        subject, levels=levels or {}, provenance=provenance or bundle_pb2.Provenance()
    )
    written = write_bundle(subject, name, target, overwrite=overwrite, on_progress=report)
    return written.manifest


def _subject(
    source: str, name: str, licence: str | None, wishes: Wishes, report: ExportCallback
) -> Subject:
    path = Path(source)
    if path.is_dir():
        wishes.refuse("a checkpoint", "inputs", "shapes", "output", "image_range", "weights")
        return subject_from_checkpoint(path, name, licence, report)
    if path.is_file() and path.suffix == ".onnx":
        wishes.refuse("an ONNX file", "weights")
        return subject_from_onnx(path, licence, wishes, report)
    if not path.exists() and is_factory(source):
        wishes.refuse("a factory", "output")
        return subject_from_factory(source, licence, wishes, report)
    kind, problem = (
        (SourceError, "is not supported")
        if path.exists()
        else (SourceNotFoundError, "does not exist")
    )
    raise kind(
        f"source {source!r} {problem}; a source is the folder of a finished checkpoint, an .onnx "
        "file or a factory, package.module:function"
    )
