"""Rounding to the steps of a scale in plain arithmetic: whole numbers, held in float32.

    QuantizeLinear     Clip(Round(x / scale) + zero, least, most)
    DequantizeLinear   (whole - zero) * scale

Every whole number of 16 bits is one of float32, so what only moves them about, such as a Reshape,
gives the same. ONNX Runtime takes the two operations for more than they say: it quantises float32
weights beside them anew, and computes in kernels that saturate on some processors.

Each node that is made here tells in its metadata that it is part of a rounding.
"""

from typing import Final

import numpy as np
import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._tensors import name_of, title
from graftscope.graph._values import free_name, initializer, insert
from graftscope.graph.errors import GraphError
from graftscope.graph.quantised._marks import INTO, OUT_OF, ROUNDING, WHOLE

SUFFIX: Final = "_quantized"
"""ONNX Runtime's quantiser puts it behind the name of what it quantises."""

_TYPES: Final = (
    ir.DataType.UINT8,
    ir.DataType.INT8,
    ir.DataType.UINT16,
    ir.DataType.INT16,
)


def round_in_float32(graph: ir.Graph) -> int:
    """Put plain arithmetic in the place of all that rounds, and of all that reads what is rounded.

    Args:
        graph: The graph; changed in place.

    Returns:
        How many tensors are rounded.

    Raises:
        GraphError: If an operation of another domain than ONNX's reads what is rounded.
    """
    whole: set[ir.Value] = set()
    rounded = 0
    for node in list(graph):
        if operation(node) == "QuantizeLinear" and _type_of(node) in _TYPES:
            whole.add(_into_whole(graph, node))
            rounded += 1
        elif operation(node) == "DequantizeLinear" and node.inputs[0] in whole:
            _out_of_whole(graph, node)
        elif not whole.isdisjoint(node.inputs):
            if node.domain:
                raise GraphError(
                    f"node {title(node)} computes on what is rounded to the steps of a scale, in a "
                    "way that is not known here: quantise without that operation"
                )
            _move(graph, node)
            whole.update(node.outputs)
    return rounded


def _into_whole(graph: ir.Graph, node: ir.Node) -> ir.Value:
    data, scale, *_ = node.inputs
    assert data is not None
    limits = np.iinfo(_type_of(node).numpy())
    name = name_of(node.outputs[0])
    zero = _zero(graph, node, data)
    least, most = (_number(graph, name, limit) for limit in (limits.min, limits.max))
    value = _put(graph, node, "Div", INTO, data, _aligned(graph, node, scale, data))
    value = _put(graph, node, "Round", WHOLE, value)
    value = value if zero is None else _put(graph, node, "Add", WHOLE, value, zero)
    value = _put(graph, node, "Clip", WHOLE, value, least, most)
    return _replace(graph, node, value)


def _out_of_whole(graph: ir.Graph, node: ir.Node) -> None:
    value, scale, *_ = node.inputs
    assert value is not None
    zero = _zero(graph, node, value)
    data = value if zero is None else _put(graph, node, "Sub", OUT_OF, value, zero)
    _replace(
        graph, node, _put(graph, node, "Mul", OUT_OF, data, _aligned(graph, node, scale, value))
    )


def _move(graph: ir.Graph, node: ir.Node) -> None:
    """Let a node that moves whole numbers about read its constants of their type as float32 too."""
    for index, each in enumerate(node.inputs):
        if each is not None and each.const_value is not None and each.dtype in _TYPES:
            numbers = each.const_value.numpy().astype(np.float32)
            name = free_name(graph, f"{name_of(each)}_in_float")
            node.replace_input_with(index, initializer(graph, name, numbers))
    for result in node.outputs:
        if result.dtype in _TYPES:
            result.dtype = ir.DataType.FLOAT
        if name_of(result).endswith(SUFFIX) and not result.is_graph_output():
            result.name = free_name(graph, name_of(result).removesuffix(SUFFIX))


def _type_of(node: ir.Node) -> ir.DataType:
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    stated = node.attributes.get_int("output_dtype", 0)
    told = ir.DataType(stated) if stated else (None if zero is None else zero.dtype)
    return told or ir.DataType.UINT8


def _zero(graph: ir.Graph, node: ir.Node, data: ir.Value) -> ir.Value | None:
    """Return a node's zero point in float32; None where it is 0."""
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    if zero is None:
        return None
    if zero.const_value is None:
        free = free_name(graph, f"{name_of(zero)}_in_float")
        cast = ir.node("Cast", [zero], {"to": int(ir.DataType.FLOAT)})
        return insert(graph, node, cast, free)
    numbers = zero.const_value.numpy().astype(np.float32)
    if not numbers.any():
        return None
    made = initializer(graph, free_name(graph, f"{name_of(zero)}_in_float"), numbers)
    return _aligned(graph, node, made, data)


def _aligned(graph: ir.Graph, node: ir.Node, each: ir.Value | None, data: ir.Value) -> ir.Value:
    """Return a scale or a zero so that it is broadcast along its axis of the data."""
    assert each is not None
    numbers = None if each.const_value is None else each.const_value.numpy()
    if numbers is None or numbers.size == 1 or data.shape is None:
        return each
    shape = [1] * len(data.shape)
    shape[node.attributes.get_int("axis", 1)] = -1
    name = free_name(graph, f"{name_of(each)}_aligned")
    return initializer(graph, name, numbers.reshape(shape))


def _number(graph: ir.Graph, name: str, value: float) -> ir.Value:
    return initializer(graph, free_name(graph, f"{name}_limit"), np.array(value, np.float32))


def _put(graph: ir.Graph, before: ir.Node, kind: str, part: str, *inputs: ir.Value) -> ir.Value:
    node = ir.node(kind, inputs)
    node.metadata_props[ROUNDING] = part
    name = free_name(graph, f"{name_of(before.outputs[0])}_{kind.lower()}")
    result = insert(graph, before, node, name)
    result.dtype, result.shape = ir.DataType.FLOAT, before.outputs[0].shape
    return result


def _replace(graph: ir.Graph, node: ir.Node, value: ir.Value) -> ir.Value:
    """Let a value, under a node's output's name, take the output's place."""
    result = node.outputs[0]
    name = result.name
    result.replace_all_uses_with(value, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    value.name = name
    return value
