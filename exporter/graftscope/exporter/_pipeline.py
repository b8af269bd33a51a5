"""From a generator's graph to a bundle: name layers, cut, write, prove, put in place."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from safetensors.numpy import save

from graftscope.bundle import (
    MANIFEST_FILE,
    NAME_RULE,
    is_bundle_name,
    manifest_to_json,
    write_originals,
)
from graftscope.exporter._folder import new_folder
from graftscope.exporter._inputs import constant_names, latent_names
from graftscope.exporter._manifest import (
    ENCODER_FILE,
    GENERATOR_FILE,
    ORIGINALS_FILE,
    downstream_file,
    make_manifest,
    seal,
    upstream_file,
)
from graftscope.exporter._proof import Proof
from graftscope.exporter._quiet import quiet
from graftscope.exporter._subject import Subject
from graftscope.exporter._target import CARD_FILE
from graftscope.exporter._weights import write_graphs
from graftscope.exporter.errors import SourceError
from graftscope.exporter.progress import ExportCallback, ExportProgress, ExportStage
from graftscope.graph import Cut, CutError, Layer, cut, find_layers, strip_metadata
from graftscope.v1 import bundle_pb2


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


def require_name(name: str) -> str:
    """Return a bundle's name if it is one.

    Raises:
        SourceError: If it is not.
    """
    if not is_bundle_name(name):
        raise SourceError(f"name {name!r} cannot be a bundle's; allowed: {NAME_RULE}")
    return name


def write_bundle(
    subject: Subject, name: str, out: Path, *, overwrite: bool, on_progress: ExportCallback
) -> Exported:
    """Write a bundle and prove it, before anything appears at its place.

    Args:
        subject: What is exported; its graphs are used up.
        name: The bundle's name.
        out: The bundle's folder.
        overwrite: Whether a bundle that is there already is replaced.
        on_progress: Hears of every step.

    Returns:
        The manifest; and the subject's notes, followed by those on layers and images.

    Raises:
        GraphError: If there is no layer, or the graph cannot be cut at any.
        ProofError: If the graphs do not compute what they should.
        TargetExistsError: If the folder is there and may not be replaced.
    """
    with quiet("onnx_ir"):
        cuts, left_out = _cut_all(subject, on_progress)
    manifest = make_manifest(name, subject, cuts)
    with new_folder(out, overwrite=overwrite) as folder:
        on_progress(ExportProgress(ExportStage.WRITING, 0, 1))
        _write_files(folder, subject, cuts)
        seal(manifest, folder)
        on_progress(ExportProgress(ExportStage.WRITING, 1, 1))
        _prove(folder, manifest, subject, on_progress)
        if subject.find_hooks is not None:
            _enter_hooks(manifest, subject.find_hooks(folder, manifest))
        (folder / MANIFEST_FILE).write_text(manifest_to_json(manifest), encoding="utf-8")
        if subject.card:
            (folder / CARD_FILE).write_text(subject.card, encoding="utf-8")
    return Exported(manifest, (*subject.notes, *left_out))


def _cut_all(
    subject: Subject, on_progress: ExportCallback
) -> tuple[dict[Layer, Cut], tuple[str, ...]]:
    """Return the layers with their halves, and a note on each that is left out."""
    latents = latent_names(subject.inputs)
    layers = find_layers(subject.model, latents=latents, constant=constant_names(subject.inputs))
    _require_levels(layers, subject.levels)
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
    if all(layer.tensor in latents for layer in cuts):
        raise next(iter(refused.values()))
    on_progress(ExportProgress(ExportStage.CUTTING, len(layers), len(layers)))
    return cuts, tuple(f"layer {name!r} is left out: {why}" for name, why in refused.items())


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


def _write_files(folder: Path, subject: Subject, cuts: Mapping[Layer, Cut]) -> None:
    graphs: dict[str, ir.Model] = {GENERATOR_FILE: subject.model}
    for layer, halves in cuts.items():
        if halves.upstream is not None:
            graphs[upstream_file(layer.name)] = halves.upstream
            graphs[downstream_file(layer.name)] = halves.downstream
    if subject.encoder is not None:
        strip_metadata(subject.encoder.model)
        graphs[ENCODER_FILE] = subject.encoder.model
        write_originals(folder / ORIGINALS_FILE, subject.encoder.originals)
    for file, arrays in subject.stored.items():
        # The library itself would write a file that its owner alone may read.
        (folder / file).write_bytes(save({name: np.asarray(each) for name, each in arrays.items()}))
    write_graphs(folder, graphs)


def _enter_hooks(manifest: bundle_pb2.Bundle, hooks: Mapping[str, bundle_pb2.TorchHook]) -> None:
    for layer, hook in hooks.items():
        manifest.provenance.torch_hooks[layer].CopyFrom(hook)


def _prove(
    folder: Path, manifest: bundle_pb2.Bundle, subject: Subject, on_progress: ExportCallback
) -> None:
    encoder = subject.encoder.reference if subject.encoder is not None else None
    proof = Proof(folder, manifest, subject.reference, encoder, subject.bounded)
    done = 0

    def report() -> None:
        nonlocal done
        done += 1
        on_progress(ExportProgress(ExportStage.PROVING, done, proof.steps))

    on_progress(ExportProgress(ExportStage.PROVING, 0, proof.steps))
    proof.run(report)
