"""ONNX files as what is exported: generators with one latent and a range that can be told."""

from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from graftscope.exporter._opset import raise_opset
from graftscope.exporter._sessions import Session
from graftscope.exporter._subject import Arrays, Reference, Subject
from graftscope.exporter.errors import SourceError
from graftscope.exporter.progress import ExportCallback, ExportProgress, ExportStage
from graftscope.graph import has_batch_axis, image_of, normalise, static_extents
from graftscope.v1 import bundle_pb2

_RANGES: Final = {"Tanh": (-1.0, 1.0), "Sigmoid": (0.0, 1.0)}
_KEEPS_RANGE: Final = frozenset({"Identity", "Reshape"})


def subject_from_onnx(path: Path, licence: str | None, on_progress: ExportCallback) -> Subject:
    """Read a generator whose only input is a standard normal latent.

    The file itself, run by ONNX Runtime, is what the bundle is compared with.

    Args:
        path: An ONNX file.
        licence: The terms of the images it was trained on, if known.
        on_progress: Hears of every step.

    Raises:
        SourceError: If it is no ONNX file, not such a generator, or too old to be converted.
    """
    on_progress(ExportProgress(ExportStage.TRACING, 0, 1))
    try:
        model = raise_opset(normalise(ir.load(path)))
    except DecodeError as error:
        raise SourceError(f"source {str(path)!r} is no ONNX file: {error}") from error
    inputs = [_latent(model.graph)]
    low, high = _range(model.graph)
    reference = _reference(path)
    on_progress(ExportProgress(ExportStage.TRACING, 1, 1))
    return Subject(model, inputs, low, high, reference, provenance=_provenance(path, licence))


def _latent(graph: ir.Graph) -> bundle_pb2.Input:
    fitting = [value for value in graph.inputs if _is_latent(value)]
    if len(graph.inputs) != 1 or not fitting:
        given = ", ".join(f"{each.name!r} {each.dtype} {each.shape}" for each in graph.inputs)
        raise SourceError(
            "an ONNX generator needs one float32 input (B, ...) of which only the batch B is "
            f"free; this graph's inputs: {given or 'none'}"
        )
    return bundle_pb2.Input(
        name=fitting[0].name or "",
        datatype="FP32",
        shape=static_extents(fitting[0]),
        normal=bundle_pb2.Normal(),
    )


def _is_latent(value: ir.Value) -> bool:
    floats = value.dtype == ir.DataType.FLOAT
    return floats and has_batch_axis(value) and bool(static_extents(value))


def _range(graph: ir.Graph) -> tuple[float, float]:
    node = image_of(graph).producer()
    while node is not None and node.op_type in _KEEPS_RANGE and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    if node is None or node.op_type not in _RANGES:
        raise SourceError(
            f"the image's range is not known: the graph ends in "
            f"{'nothing' if node is None else node.op_type}, not in {' or '.join(_RANGES)}"
        )
    return _RANGES[node.op_type]


def _reference(path: Path) -> Reference:
    session = Session(path, optimised=False)

    def compute(inputs: Arrays, /) -> list[NDArray[np.float32]]:
        return list(session.run(inputs).values())

    return compute


def _provenance(path: Path, licence: str | None) -> bundle_pb2.Provenance:
    return bundle_pb2.Provenance(
        recipe=f"imported from {path.name}",
        licence=licence or "",
        versions={package: version(package) for package in ("onnx", "onnx-ir")},
    )
