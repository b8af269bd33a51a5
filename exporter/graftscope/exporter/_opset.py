"""Bring graphs of older operation sets up to the one that splicing is written in."""

from typing import Final

import onnx
import onnx_ir as ir

from graftscope.exporter.errors import SourceError
from graftscope.graph import OPSET_FLOOR, normalise

_IR_VERSION: Final = 8
"""The file format of the same release, in which initializers need not be inputs too."""


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
    ir.external_data.load_to_model(model)
    model.ir_version = max(model.ir_version, _IR_VERSION)
    try:
        converted = onnx.version_converter.convert_version(ir.to_proto(model), OPSET_FLOOR)
    except (onnx.version_converter.ConvertError, RuntimeError, ValueError) as error:
        # The converter's own two kinds, and protobuf's for graphs above 2 GiB.
        raise SourceError(
            f"the graph is of opset {opset} and cannot be converted to {OPSET_FLOOR}, "
            f"which splicing needs: {_reason(error)}"
        ) from error
    return normalise(ir.from_proto(converted))


def _reason(error: Exception) -> str:
    """Return the message in one line, without the line of C++ that asserted it."""
    return " ".join(str(error).rpartition("failed: ")[-1].split())
