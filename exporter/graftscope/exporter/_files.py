"""The files of a bundle: its graphs beside one file that holds every weight once, and the manifest.

Weights are told apart by their bytes: what the generator, its halves and the encoder share is
stored once, whatever it is called. Small ones stay inside the graphs, where shape inference can
read them.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
from safetensors.numpy import save

from graftscope.bundle import FORMAT, digest, file_sha256, write_originals
from graftscope.exporter._subject import Agreement, EncoderSubject, GeneratorSubject
from graftscope.exporter.errors import SourceError
from graftscope.graph import (
    Cost,
    Cut,
    Layer,
    LayerKind,
    cost_of,
    image_of,
    static_extents,
    strip_metadata,
)
from graftscope.v1 import bundle_pb2

GENERATOR_FILE: Final = "generator.onnx"
ENCODER_FILE: Final = "encoder.onnx"
ORIGINALS_FILE: Final = "originals.safetensors"
WEIGHTS_FILE: Final = "weights.bin"
INLINE_LIMIT_BYTES: Final = 256
"""Smaller tensors are stored in each graph: an entry in the weights file is hardly smaller."""

_ALIGNMENT_BYTES: Final = 64
"""A cache line, so that kernels may read mapped weights where they lie."""

_KINDS: Final = {
    LayerKind.MAP: bundle_pb2.LAYER_KIND_MAP,
    LayerKind.VECTOR: bundle_pb2.LAYER_KIND_VECTOR,
    LayerKind.TOKENS: bundle_pb2.LAYER_KIND_TOKENS,
}


def make_manifest(
    name: str, subject: GeneratorSubject, cuts: Mapping[Layer, Cut]
) -> bundle_pb2.Bundle:
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
        manifest.encoder.CopyFrom(encoder_message(subject.encoder))
    return manifest


def seal(manifest: bundle_pb2.Bundle, folder: Path) -> None:
    """Enter every file of a folder with its hash, and the digest; in place."""
    del manifest.files[:]
    for path in sorted(folder.iterdir()):
        manifest.files.add(name=path.name, sha256=file_sha256(path))
    manifest.digest = digest(manifest)


def state_agreement(
    provenance: bundle_pb2.Provenance, subject: GeneratorSubject, found: float
) -> None:
    """Enter how far images may be apart, where that is more than float32's last digits; in place.

    Args:
        provenance: The manifest's.
        subject: What is exported.
        found: How far they were from those of what it was made from, as a share of the range.
    """
    provenance.changes[:] = subject.changes
    if subject.agreement != Agreement():
        provenance.agreement.source_allowed = subject.agreement.source
        provenance.agreement.source_found = found
        provenance.agreement.halves_allowed = subject.agreement.halves
        provenance.agreement.source_usual = subject.agreement.usual_source or 0.0
        provenance.agreement.halves_usual = subject.agreement.usual_halves or 0.0


def _image(subject: GeneratorSubject) -> bundle_pb2.Image:
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
        upstream=_upstream_file(layer) if cut.upstream is not None else "",
        downstream=_downstream_file(layer) if cut.upstream is not None else GENERATOR_FILE,
        upstream_mflop=above.mflop,
        downstream_mflop=below.mflop,
        upstream_parameters=above.parameters,
        downstream_parameters=below.parameters,
    )


def encoder_message(encoder: EncoderSubject) -> bundle_pb2.Encoder:
    """Return what a manifest says of an encoder."""
    mean, *log_variance = (_name(value) for value in encoder.model.graph.outputs)
    return bundle_pb2.Encoder(
        file=ENCODER_FILE,
        input=encoder.infers,
        image=_name(encoder.model.graph.inputs[0]),
        mean=mean,
        log_variance="".join(log_variance),
        originals="" if encoder.originals is None else ORIGINALS_FILE,
    )


def _upstream_file(layer: Layer) -> str:
    return f"{layer.name}.upstream.onnx"


def _downstream_file(layer: Layer) -> str:
    return f"{layer.name}.downstream.onnx"


def _name(value: ir.Value) -> str:
    return value.name or ""


def write_files(folder: Path, subject: GeneratorSubject, cuts: Mapping[Layer, Cut]) -> None:
    """Write everything but the manifest and the card.

    Args:
        folder: Where to.
        subject: What is exported; its graphs are used up.
        cuts: The layers with their halves, from the latents to the image.
    """
    graphs: dict[str, ir.Model] = {GENERATOR_FILE: subject.model}
    for layer, halves in cuts.items():
        if halves.upstream is not None:
            graphs[_upstream_file(layer)] = halves.upstream
            graphs[_downstream_file(layer)] = halves.downstream
    if subject.encoder is not None:
        strip_metadata(subject.encoder.model)
        graphs[ENCODER_FILE] = subject.encoder.model
        if subject.encoder.originals is not None:
            write_originals(folder / ORIGINALS_FILE, subject.encoder.originals)
    for file, arrays in subject.stored.items():
        # The library itself would write a file that its owner alone may read.
        (folder / file).write_bytes(save({name: np.asarray(each) for name, each in arrays.items()}))
    write_graphs(folder, graphs)


def write_graphs(folder: Path, graphs: Mapping[str, ir.Model], *, append: bool = False) -> None:
    """Write graphs and their common weights file.

    Args:
        folder: Where to.
        graphs: The graphs by their file's name. Their larger initializers' data are moved to
            the weights file, in the order of the mapping.
        append: Whether they go to the end of a weights file that is there already.
    """
    with (folder / WEIGHTS_FILE).open("ab" if append else "wb") as stream:
        places: dict[bytes, int] = {}
        for value, tensor in _large_initializers(graphs):
            content = tensor.tobytes()
            key = hashlib.sha256(content).digest()
            if key not in places:
                stream.write(bytes(-stream.tell() % _ALIGNMENT_BYTES))
                places[key] = stream.tell()
                stream.write(content)
            value.const_value = _external(tensor, places[key], len(content), folder)
    for name, model in graphs.items():
        proto = ir.to_proto(model)
        (folder / name).write_bytes(proto.SerializeToString(deterministic=True))


def _large_initializers(
    graphs: Mapping[str, ir.Model],
) -> Iterator[tuple[ir.Value, ir.TensorProtocol]]:
    for model in graphs.values():
        for graph in model.graphs():
            for value in graph.initializers.values():
                tensor = value.const_value
                if tensor is None:
                    continue
                if tensor.nbytes >= INLINE_LIMIT_BYTES:
                    yield value, tensor
                elif isinstance(tensor, ir.ExternalTensor):
                    # It must not go on naming the file that it was read from.
                    value.const_value = ir.Tensor(
                        tensor.numpy(), dtype=tensor.dtype, name=tensor.name
                    )


def _external(
    tensor: ir.TensorProtocol, offset: int, length: int, folder: Path
) -> ir.ExternalTensor:
    return ir.ExternalTensor(
        WEIGHTS_FILE,
        offset,
        length,
        tensor.dtype,
        shape=ir.Shape(tensor.shape.numpy()),
        name=tensor.name or "",
        base_dir=folder,
    )
