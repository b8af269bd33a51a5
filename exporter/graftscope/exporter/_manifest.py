"""Fill in a bundle's manifest from layers, halves and what is known about the generator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import onnx_ir as ir

from graftscope.bundle import FORMAT, digest, file_sha256
from graftscope.exporter._subject import EncoderSubject, Subject
from graftscope.exporter.errors import SourceError
from graftscope.graph import Cost, Cut, Layer, LayerKind, cost_of, image_of, static_extents
from graftscope.v1 import bundle_pb2

GENERATOR_FILE: Final = "generator.onnx"
ENCODER_FILE: Final = "encoder.onnx"
ORIGINALS_FILE: Final = "originals.safetensors"

_KINDS: Final = {
    LayerKind.MAP: bundle_pb2.LAYER_KIND_MAP,
    LayerKind.VECTOR: bundle_pb2.LAYER_KIND_VECTOR,
    LayerKind.TOKENS: bundle_pb2.LAYER_KIND_TOKENS,
}


def upstream_file(layer: str) -> str:
    """Return the name of a layer's upstream graph file."""
    return f"{layer}.upstream.onnx"


def downstream_file(layer: str) -> str:
    """Return the name of a layer's downstream graph file."""
    return f"{layer}.downstream.onnx"


def make_manifest(name: str, subject: Subject, cuts: Mapping[Layer, Cut]) -> bundle_pb2.Bundle:
    """Return a manifest that lacks only the files and the digest.

    Args:
        name: The bundle's name.
        subject: What is exported.
        cuts: The layers with their halves, from the latents to the image.

    Raises:
        SourceError: If the graph's output is no image.
    """
    manifest = bundle_pb2.Bundle(
        format=FORMAT,
        name=name,
        inputs=subject.inputs,
        image=_image(subject),
        layers=[_layer(layer, cut, subject.levels) for layer, cut in cuts.items()],
        provenance=subject.provenance,
        generator=GENERATOR_FILE,
    )
    if subject.encoder is not None:
        manifest.encoder.CopyFrom(_encoder(subject.encoder, subject.inputs[0].name))
    return manifest


def seal(manifest: bundle_pb2.Bundle, folder: Path) -> None:
    """Enter every file of a folder with its hash, and the digest; in place."""
    del manifest.files[:]
    for path in sorted(folder.iterdir()):
        manifest.files.add(name=path.name, sha256=file_sha256(path))
    manifest.digest = digest(manifest)


def _image(subject: Subject) -> bundle_pb2.Image:
    output = image_of(subject.model.graph)
    extents = static_extents(output)
    if extents is None or len(extents) != 3:
        raise SourceError(
            f"output {output.name!r} has shape {output.shape}; an image has shape "
            "(B, channels, height, width), of which only the batch B is free"
        )
    channels, height, width = extents
    return bundle_pb2.Image(
        channels=channels, height=height, width=width, low=subject.low, high=subject.high
    )


def _layer(layer: Layer, cut: Cut, levels: Mapping[str, str]) -> bundle_pb2.Layer:
    above = Cost(0.0, 0) if cut.upstream is None else cost_of(cut.upstream)
    below = cost_of(cut.downstream)
    return bundle_pb2.Layer(
        name=layer.name,
        level=levels.get(layer.name, ""),
        kind=_KINDS[layer.kind],
        channels=layer.channels,
        height=layer.height,
        width=layer.width,
        tensor=layer.tensor,
        carried=cut.carried,
        # Below an input lies the whole generator.
        upstream=upstream_file(layer.name) if cut.upstream is not None else "",
        downstream=downstream_file(layer.name) if cut.upstream is not None else GENERATOR_FILE,
        upstream_mflop=above.mflop,
        downstream_mflop=below.mflop,
        upstream_parameters=above.parameters,
        downstream_parameters=below.parameters,
    )


def _encoder(encoder: EncoderSubject, infers: str) -> bundle_pb2.Encoder:
    mean, log_variance = (_name(value) for value in encoder.model.graph.outputs)
    return bundle_pb2.Encoder(
        file=ENCODER_FILE,
        input=infers,
        image=_name(encoder.model.graph.inputs[0]),
        mean=mean,
        log_variance=log_variance,
        originals=ORIGINALS_FILE,
    )


def _name(value: ir.Value) -> str:
    return value.name or ""
