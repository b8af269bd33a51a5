"""ONNX files: read into a graph that splicing knows, and run as they are, to compare it with.

Whatever is wrong with one is said in one line, before anything runs it. It is run unchanged, with
two exceptions that the file itself asks for: a batch that is fixed at 1 is run sample by sample,
and random nodes are held at one value, since two runs would differ.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from graftscope.exporter._evaluator import Evaluator, runnable
from graftscope.exporter._samples import held_value
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter._subject import Arrays, Reference
from graftscope.exporter.errors import ProofError, SourceError, one_line
from graftscope.exporter.sources._constants import fold_constants
from graftscope.exporter.sources._old_resizing import keep_resizing, old_resizing
from graftscope.graph import OPSET_FLOOR, normalise
from graftscope.v1 import bundle_pb2

_IR_VERSION: Final = 8
"""The file format of the same release, in which initializers need not be inputs too."""

_LARGE_BYTES: Final = 4096
"""Constants that a conversion reads, such as shapes and scales, are smaller."""

_OWN_DOMAINS: Final = ("", "ai.onnx")

_NORMAL = frozenset({"RandomNormal", "RandomNormalLike"})
_UNIFORM = frozenset({"RandomUniform", "RandomUniformLike"})

_NEXT_TO_NOTHING = 1e-30
"""A scale that no float32 mean feels; ONNX Runtime ends the process where it is 0."""


def read_onnx(path: Path) -> ir.Model:
    """Read a graph in plain form, of an operation set that splicing knows.

    Args:
        path: An ONNX file; weights in external data lie below its folder.

    Raises:
        SourceError: If it is no ONNX file, is damaged, lacks its weights, or is too old to be
            converted.
    """
    return plain_onnx(path, open_onnx(path))


def open_onnx(path: Path) -> ir.Model:
    """Read a graph as it is.

    Args:
        path: An ONNX file; weights in external data lie below its folder.

    Raises:
        SourceError: If it is no ONNX file, is damaged, or lacks its weights.
    """
    model = _load(path)
    _require_weights(path, model)
    return model


def plain_onnx(path: Path, model: ir.Model) -> ir.Model:
    """Bring a graph that was read into plain form, of an operation set that splicing knows.

    Args:
        path: The file.
        model: From `open_onnx`; it is used up.

    Raises:
        SourceError: If it is damaged, or too old to be converted.
    """
    try:
        model = normalise(model)
        fold_constants(model, path)
        return raise_opset(model)
    except SourceError:
        raise
    except Exception as error:  # passes have no common base of what they raise
        raise SourceError(f"source {str(path)!r} is damaged: {_shortened(error)}") from error


def file_reference(
    path: Path, output: str, numbers: Arrays, *, hold_noise: bool, alone: bool = False
) -> Reference:
    """Return a function that computes the image with the file itself.

    Args:
        path: An ONNX file.
        output: The image's name.
        numbers: Values of the inputs that are built into the generator, by name.
        hold_noise: Whether random nodes give `held_value`; else they draw.
        alone: Whether samples are run one by one, as where the file measures scales over a batch,
            or takes one at a time though it does not say so.

    Raises:
        SourceError: If ONNX Runtime cannot load the file.
    """
    try:
        content = _with_held_noise(path) if hold_noise else None
        session = runnable(path, content)
    except ProofError as error:
        raise SourceError(f"source {str(path)!r}: {error}") from error

    def compute(inputs: Arrays, /) -> list[NDArray[np.float32]]:
        count = len(next(iter(inputs.values())))
        size = 1 if alone or 1 in session.fixed_batches else count
        parts = [
            {name: array[i : i + size] for name, array in inputs.items()}
            for i in range(0, count, size)
        ]
        return [np.concatenate([_run(session, part, numbers)[output] for part in parts])]

    return compute


def raise_opset(model: ir.Model) -> ir.Model:
    """Convert a graph to `OPSET_FLOOR` where it is older; what it computes stays the same.

    Args:
        model: A graph in plain form; it is used up.

    Returns:
        The graph in plain form, of `OPSET_FLOOR` or newer.

    Raises:
        SourceError: If an operation of the graph cannot be converted.
    """
    opset = model.graph.opset_imports.get("", OPSET_FLOOR)
    if opset >= OPSET_FLOOR:
        return model
    model.ir_version = max(model.ir_version, _IR_VERSION)
    weights = _set_aside(model)
    # A graph that passes through the converter no longer knows the folder that it was read from.
    ir.external_data.load_to_model(model)
    resized = old_resizing(model, opset)
    converted = ir.from_proto(_convert(model, opset))
    keep_resizing(converted, resized)
    _put_back(converted, weights)
    return normalise(converted)


def conversion_of(path: Path) -> str:
    """Say what `raise_opset` does to a file; empty where it lets it be."""
    opsets = onnx.load(path, load_external_data=False).opset_import
    opset = next((each.version for each in opsets if each.domain in _OWN_DOMAINS), OPSET_FLOOR)
    if opset >= OPSET_FLOOR:
        return ""
    return (
        f"the file was converted from operation set {opset} to {OPSET_FLOOR}, which is the likely "
        f"cause: export it with operation set {OPSET_FLOOR} or newer"
    )


def _load(path: Path) -> ir.Model:
    try:
        model = ir.load(path)
    except DecodeError as error:
        raise SourceError(f"source {str(path)!r} is no ONNX file: {_shortened(error)}") from error
    except Exception as error:  # what onnx-ir meets in a damaged file has no common base
        raise SourceError(
            f"source {str(path)!r} cannot be read as an ONNX file: {_shortened(error)}"
        ) from error
    if not list(model.graph) or not model.graph.outputs:
        raise SourceError(f"source {str(path)!r} is no ONNX file: it holds no graph")
    return model


def _require_weights(path: Path, model: ir.Model) -> None:
    """Refuse a graph whose external data is missing, too short or elsewhere."""
    folder = path.parent.resolve()
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if not isinstance(tensor, ir.ExternalTensor):
                continue
            file = (folder / tensor.location).resolve()
            if not file.is_relative_to(folder):
                problem = "lie outside of its folder"
            elif not file.is_file():
                problem = "are missing"
            elif file.stat().st_size < (tensor.offset or 0) + (tensor.length or tensor.nbytes):
                problem = "are cut short"
            else:
                continue
            raise SourceError(
                f"source {str(path)!r}: weights of {value.name!r} {problem}: {tensor.location}"
            )


def _shortened(error: Exception) -> str:
    return one_line(error)[:300] or type(error).__name__


def _convert(model: ir.Model, opset: int) -> onnx.ModelProto:
    try:
        return onnx.version_converter.convert_version(ir.to_proto(model), OPSET_FLOOR)
    except (onnx.version_converter.ConvertError, RuntimeError, ValueError) as error:
        # The converter's own two kinds, and protobuf's for graphs above 2 GiB.
        raise SourceError(
            f"the graph is of opset {opset} and cannot be converted to {OPSET_FLOOR}, "
            f"which splicing needs: {_reason(error)}"
        ) from error


def _set_aside(model: ir.Model) -> dict[str, ir.TensorProtocol]:
    """Make large initializers inputs, whose numbers the converter need not copy."""
    graph, aside = model.graph, dict[str, ir.TensorProtocol]()
    for name, value in list(graph.initializers.items()):
        if value.const_value is not None and value.const_value.nbytes >= _LARGE_BYTES:
            aside[name] = value.const_value
            del graph.initializers[name]
            value.const_value = None
            graph.inputs.append(value)
    return aside


def _put_back(model: ir.Model, weights: Mapping[str, ir.TensorProtocol]) -> None:
    for value in [each for each in model.graph.inputs if each.name in weights]:
        model.graph.inputs.remove(value)
        value.const_value = weights[value.name or ""]
        model.graph.register_initializer(value)


def _reason(error: Exception) -> str:
    """Return the message in one line, without the line of C++ that asserted it."""
    return one_line(error).rpartition("failed: ")[-1]


def _run(
    session: CpuSession | Evaluator, inputs: Arrays, numbers: Arrays
) -> Mapping[str, NDArray[np.float32]]:
    """Run the file in its own types, with zeros for the inputs that do not reach the image."""
    count = len(next(iter(inputs.values())))
    types = session.input_types
    zeros = {
        name: np.zeros((count, *shape[1:]) if shape else (), dtype)
        for name, (shape, dtype) in types.items()
    }
    given = {name: array for name, array in {**inputs, **numbers}.items() if name in types}
    own = {name: array.astype(types[name][1], copy=False) for name, array in given.items()}
    return session.run({**zeros, **own})


def _with_held_noise(path: Path) -> bytes:
    """Return the file with the range of every random node closed around its held value."""
    proto = onnx.load(path, load_external_data=False)
    nodes = [*proto.graph.node, *(node for each in proto.functions for node in each.node)]
    for node in nodes:
        if node.domain not in _OWN_DOMAINS:
            continue
        if node.op_type in _NORMAL:
            mean, scale = _attribute(node, "mean", 0.0), _attribute(node, "scale", 1.0)
            normal = bundle_pb2.Input(normal=bundle_pb2.Normal())
            _set(node, {"mean": mean + scale * held_value(normal), "scale": _NEXT_TO_NOTHING})
        elif node.op_type in _UNIFORM:
            low, high = _attribute(node, "low", 0.0), _attribute(node, "high", 1.0)
            at = held_value(bundle_pb2.Input(uniform=bundle_pb2.Uniform(low=low, high=high)))
            _set(node, {"low": at, "high": at})
    return proto.SerializeToString()


def _attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    return next((each.f for each in node.attribute if each.name == name), default)


def _set(node: onnx.NodeProto, numbers: Mapping[str, float]) -> None:
    kept = [each for each in node.attribute if each.name not in numbers]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.extend(onnx.helper.make_attribute(*each) for each in numbers.items())
