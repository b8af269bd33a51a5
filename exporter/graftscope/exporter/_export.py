"""An export, top to bottom: read a source, name layers, cut, write, prove, put in place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import onnx_ir as ir

from graftscope.bundle import MANIFEST_FILE, NAME_RULE, is_bundle_name, manifest_to_json
from graftscope.codec import agreement_lines
from graftscope.exporter._added_encoder import add_encoder, require_encoder_alone, source_bundle
from graftscope.exporter._encoder_choice import encoder_choice
from graftscope.exporter._files import (
    make_manifest,
    seal,
    state_agreement,
    write_files,
)
from graftscope.exporter._folder import CARD_FILE, new_folder, require_target
from graftscope.exporter._input_choices import parse_inputs
from graftscope.exporter._inputs import constant_names, latent_names
from graftscope.exporter._layer_choice import LayerChoice, parse_layers
from graftscope.exporter._options import OPTIONS, Options, parse_shapes, require_image_shape
from graftscope.exporter._own_names import with_distinct_names
from graftscope.exporter._proof import Proof
from graftscope.exporter._subject import Agreement, GeneratorSubject
from graftscope.exporter.errors import SourceError
from graftscope.exporter.progress import (
    ExportCallback,
    ExportProgress,
    ExportStage,
    ignore_progress,
    quiet,
)
from graftscope.exporter.sources import read_subject, with_encoder
from graftscope.graph import Cut, CutError, Layer, cut, find_layers, strip_metadata
from graftscope.v1 import bundle_pb2

_EVERY_LAYER: Final = LayerChoice()


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        manifest: The bundle's.
        notes: What was guessed, which layers were left out, and what else a user should know; one
            line each.
    """

    manifest: bundle_pb2.Bundle
    notes: tuple[str, ...] = ()


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
    image_shape: Sequence[int] | None = None,
    weights: str | Path | None = None,
    encoder: str | Path | None = None,
    encoder_outputs: Sequence[str] = (),
    encoder_range: tuple[float, float] | None = None,
    encoder_weights: str | Path | None = None,
    data: str | Path | None = None,
    layers: Sequence[str] = (),
    replace_encoder: bool = False,
    overwrite: bool = False,
    on_progress: ExportCallback | None = None,
) -> Exported:
    """Split a trained generator at its layers and write it as a bundle, with proof.

    Args:
        source: The folder of a checkpoint that `graftscope train` has finished, or the .onnx
            file of a generator, or `package.module:function`, a function that returns a module. Or
            a bundle, or the name of one that ships, which gets an encoder: its graphs stay.
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
        image_shape: The image's channels, height and width, where the source gives flat images,
            such as (B, 784): (1, 28, 28).
        weights: Weights for what a factory makes; other sources hold their own. `FILE` or
            `FILE:KEY`, a Safetensors file or one of `torch.save`, and the dictionary in it, or
            what the names of its tensors begin with.
        encoder: The encoder that belongs to the generator, an .onnx file,
            `package.module:function` or the folder of a trained inverter: images to the
            posterior's mean, or to mean and log-variance (two outputs, or one twice as wide). A
            checkpoint of a VAE brings its own.
        encoder_outputs: The names of the mean, or of the mean and the log-variance, where several
            outputs may be meant.
        encoder_range: Between which values the encoder expects pixels; None for the generator's
            range.
        encoder_weights: Weights for the encoder that a factory makes, as `weights`.
        data: Photographs (a folder or zip of images, an .npz, ...) whose encodings' mean and
            covariance become originals; None for none.
        layers: Which layers are cut: a whole number takes as many, evenly from the latents to the
            image, unless a layer is called that; names, or patterns such as `up.*`, take those.
            Empty takes all. Latents always stay.
        replace_encoder: Whether a bundle that is the source may have an encoder already.
        overwrite: Whether a bundle that is there already is replaced.
        on_progress: Hears of every step.

    Returns:
        The bundle's manifest, and notes on what was guessed or left out.

    Raises:
        SourceNotFoundError: If there is nothing at that path.
        SourceError: If what is there cannot be exported, or the name cannot be a bundle's.
        ModelRefusedError: If an ONNX file asks for more than a file may that was not made here;
            its `reason` tells what (`graftscope.sandbox`).
        TrainingError: If the checkpoint is unfinished or damaged.
        GraphError: If the generator has no layers, or cannot be cut at any.
        ProofError: If the graphs do not compute what they should; nothing is written then.
        TargetExistsError: If `out` exists and is not to be overwritten, or is anything but a
            bundle's own folder.
    """
    target, report = Path(out), on_progress or ignore_progress
    require_target(target, overwrite=overwrite)
    name = _require_name(target.name if name is None else name)
    chosen = parse_layers(layers)
    choice = encoder_choice(
        _text(encoder), encoder_outputs, encoder_range, _text(encoder_weights), _text(data)
    )
    options = Options(
        parse_inputs(inputs),
        parse_shapes(shapes),
        output,
        image_range,
        _text(weights),
        require_image_shape(image_shape),
    )
    if (bundle := source_bundle(str(source))) is not None:
        options.refuse("a bundle", *OPTIONS)
        wanted = require_encoder_alone(str(source), choice, licence, layers)
        added = partial(add_encoder, bundle, wanted, name, target, on_progress=report)
        return Exported(*added(replace_encoder=replace_encoder, overwrite=overwrite))
    if replace_encoder:
        raise SourceError("--replace-encoder is for a source that is a bundle")
    report(ExportProgress(ExportStage.TRACING, 0, 1))
    subject = read_subject(str(source), name, licence, options)
    report(ExportProgress(ExportStage.TRACING, 1, 1))
    if choice is not None:
        subject = with_encoder(subject, choice, report)
    return write_bundle(
        subject, name, target, overwrite=overwrite, on_progress=report, layers=chosen
    )


def write_bundle(
    subject: GeneratorSubject,
    name: str,
    out: Path,
    *,
    overwrite: bool,
    on_progress: ExportCallback,
    layers: LayerChoice = _EVERY_LAYER,
) -> Exported:
    """Write a bundle and prove it, before anything appears at its place.

    Args:
        subject: What is exported; its graphs are used up.
        name: The bundle's name.
        out: The bundle's folder.
        overwrite: Whether a bundle that is there already is replaced.
        on_progress: Hears of every step.
        layers: Which layers are cut.

    Returns:
        The manifest; and the subject's notes, followed by those on layers and images.

    Raises:
        GraphError: If there is no layer, or the graph cannot be cut at any.
        ProofError: If the graphs do not compute what they should.
        TargetExistsError: If the folder is there and may not be replaced.
    """
    with quiet("onnx_ir"):
        subject = with_distinct_names(subject)
        cuts, left_out = _cut_all(subject, layers, on_progress)
    manifest = make_manifest(name, subject, cuts)
    with new_folder(out, overwrite=overwrite) as folder:
        on_progress(ExportProgress(ExportStage.WRITING, 0, 1))
        write_files(folder, subject, cuts)
        seal(manifest, folder)
        on_progress(ExportProgress(ExportStage.WRITING, 1, 1))
        found = _prove(folder, manifest, subject, on_progress)
        state_agreement(manifest.provenance, subject, found)
        if subject.find_hooks is not None:
            for layer, hook in subject.find_hooks(folder, manifest).items():
                manifest.provenance.torch_hooks[layer].CopyFrom(hook)
        (folder / MANIFEST_FILE).write_text(manifest_to_json(manifest), encoding="utf-8")
        if subject.card:
            (folder / CARD_FILE).write_text(subject.card, encoding="utf-8")
    return Exported(manifest, (*subject.notes, *left_out, *agreement_lines(manifest.provenance)))


def _text(given: str | Path | None) -> str | None:
    return None if given is None else str(given)


def _require_name(name: str) -> str:
    if not is_bundle_name(name):
        raise SourceError(f"name {name!r} cannot be a bundle's; allowed: {NAME_RULE}")
    return name


def _cut_all(
    subject: GeneratorSubject, choice: LayerChoice, on_progress: ExportCallback
) -> tuple[dict[Layer, Cut], tuple[str, ...]]:
    """Return the layers with their halves, and a note on each that is left out."""
    latents = latent_names(subject.inputs)
    found = find_layers(subject.model, latents=latents, constant=constant_names(subject.inputs))
    _require_levels(found, subject.levels)
    layers = choice.of(found, latents)
    # Names of layers come from the metadata, so it goes only now, and before there are copies.
    strip_metadata(subject.model)
    cuts: dict[Layer, Cut] = {}
    refused: dict[str, CutError] = {}
    for done, layer in enumerate(layers):
        on_progress(ExportProgress(ExportStage.CUTTING, done, len(layers)))
        try:
            cuts[layer] = _cut(subject.model, layer)
        except CutError as error:
            refused[layer.name] = error
    if refused and all(layer.tensor in latents for layer in cuts):
        raise next(iter(refused.values()))
    on_progress(ExportProgress(ExportStage.CUTTING, len(layers), len(layers)))
    notes = [f"layer {name!r} is left out: {why}" for name, why in refused.items()]
    if len(layers) < len(found):
        notes.append(
            f"{len(cuts)} of {len(found)} layers; --layer takes another number, or names and "
            "patterns such as 'up.*'"
        )
    return cuts, tuple(notes)


def _cut(model: ir.Model, layer: Layer) -> Cut:
    inputs = [value.name or "" for value in model.graph.inputs]
    if layer.tensor not in inputs:
        return cut(model, layer.tensor)
    # Below an input lies the whole generator, which is stored anyway.
    carried = tuple(name for name in inputs if name != layer.tensor)
    return Cut(None, model, layer.tensor, carried)


def _require_levels(layers: tuple[Layer, ...], levels: Mapping[str, str]) -> None:
    names = [layer.name for layer in layers]
    if unknown := [name for name in levels if name not in names]:
        raise SourceError(
            f"levels are given for {', '.join(unknown)}, but the graph's layers are: "
            f"{', '.join(names)}"
        )


def _prove(
    folder: Path,
    manifest: bundle_pb2.Bundle,
    subject: GeneratorSubject,
    on_progress: ExportCallback,
) -> float:
    encoder = subject.encoder
    proof = Proof(
        folder,
        manifest,
        subject.reference,
        None if encoder is None else encoder.reference,
        subject.bounded,
        subject.agreement,
        subject.suspect,
        Agreement() if encoder is None else encoder.agreement,
    )
    done = 0

    def report() -> None:
        nonlocal done
        done += 1
        on_progress(ExportProgress(ExportStage.PROVING, done, proof.steps))

    on_progress(ExportProgress(ExportStage.PROVING, 0, proof.steps))
    return proof.run(report)
