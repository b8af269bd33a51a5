"""Bring graphs of older operation sets up to the one that splicing is written in."""

from collections.abc import Mapping
from typing import Final

import onnx
import onnx_ir as ir

from graftscope.exporter.errors import SourceError
from graftscope.graph import OPSET_FLOOR, normalise

_IR_VERSION: Final = 8
"""The file format of the same release, in which initializers need not be inputs too."""

_LARGE_BYTES: Final = 4096
"""Constants that a conversion reads, such as shapes and scales, are smaller."""


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
    converted = ir.from_proto(_convert(model, opset))
    _put_back(converted, weights)
    return normalise(converted)


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
    return " ".join(str(error).rpartition("failed: ")[-1].split())
