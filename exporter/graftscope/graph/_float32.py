"""Other floating-point types in a graph: what computes in them computes in float32 instead.

Rules
1. All of float16 and bfloat16 becomes float32, which holds each of their numbers: weights stay what
   they are, and nothing is rounded on the way any more.
2. float64 becomes float32 where the image is float64, or a linear operation that samples go through
   computes in it: ONNX Runtime has no convolution in float64. Weights are rounded. Elsewhere, in
   positions or times that are computed beside the maps, float64 stays.
3. Inputs and the image change with the rest, and keep their names. Casts that do nothing go.

How far the numbers are from those of the file is for a proof to say.
"""

from collections.abc import Collection
from typing import Final

import numpy as np
import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._tensors import affected_by, name_of, tensors_of

_HALF: Final = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
_STATED_AS_NUMBER: Final = ("dtype", "output_datatype", "output_dtype", "to")
"""Attributes that tell a type."""
_LINEAR: Final = frozenset({"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"})
_LARGEST: Final = float(np.finfo(np.float32).max)


def compute_in_float32(model: ir.Model) -> dict[str, ir.DataType]:
    """Let a graph compute in float32 what it computes in other floating-point types.

    Args:
        model: A graph in plain form whose types are known; changed in place.

    Returns:
        What was changed: types by name, of inputs and of what nodes compute, in order.
    """
    graph = model.graph
    types = {each.dtype for one in model.graphs() for each in tensors_of(one)} & _HALF
    if _needs_narrowing(graph):
        types.add(ir.DataType.DOUBLE)
    if not types:
        return {}
    changed = {
        name_of(value): value.dtype
        for value in tensors_of(graph)
        if value.dtype in types and value.const_value is None
    }
    for one in model.graphs():
        for value in tensors_of(one):
            _change(value, types)
        for node in one:
            _change_attributes(node, types)
    for one in model.graphs():
        _drop_casts(one)
    ir.passes.common.RemoveUnusedNodesPass()(model)
    return {name: dtype for name, dtype in changed.items() if dtype is not None}


def _needs_narrowing(graph: ir.Graph) -> bool:
    """Tell whether the image, or a linear operation behind the inputs, is in float64."""
    behind = affected_by(graph, graph.inputs)
    linear = [node for node in graph if operation(node) in _LINEAR]
    computed = [value for node in linear for value in node.outputs if value in behind]
    return any(value.dtype is ir.DataType.DOUBLE for value in (*computed, *graph.outputs))


def _change(value: ir.Value, types: Collection[ir.DataType | None]) -> None:
    if value.dtype not in types:
        return
    value.dtype = ir.DataType.FLOAT
    if value.const_value is not None:
        value.const_value = _narrowed(value.const_value)


def _narrowed(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    numbers = tensor.numpy()
    if tensor.dtype is ir.DataType.DOUBLE:
        # A bound that means "any number", such as a mask's, shall stay finite.
        numbers = np.where(np.isfinite(numbers), numbers.clip(-_LARGEST, _LARGEST), numbers)
    return ir.Tensor(numbers.astype(np.float32), name=tensor.name)


def _change_attributes(node: ir.Node, types: Collection[ir.DataType | None]) -> None:
    for name, attribute in list(node.attributes.items()):
        if attribute.type is ir.AttributeType.TENSOR:
            tensor = attribute.as_tensor()
            if tensor.dtype in types:
                node.attributes[name] = ir.AttrTensor(name, _narrowed(tensor))
        elif name in _STATED_AS_NUMBER and ir.DataType(attribute.as_int()) in types:
            node.attributes[name] = ir.AttrInt64(name, int(ir.DataType.FLOAT))


def _drop_casts(graph: ir.Graph) -> None:
    """Take out the casts from float32 to float32; one that makes the image passes it on."""
    for node in list(graph):
        data = node.inputs[0] if operation(node) in ("Cast", "CastLike") else None
        if data is None or data.dtype is not ir.DataType.FLOAT:
            continue
        result = node.outputs[0]
        if result.dtype is not ir.DataType.FLOAT:
            continue
        if result.is_graph_output():
            passed = ir.node("Identity", [data], name=node.name)
            graph.insert_before(node, passed)
            new, name = passed.outputs[0], result.name
            new.type, new.shape = result.type, result.shape
            result.replace_all_uses_with(new, replace_graph_outputs=True)
            graph.remove(node, safe=True)
            new.name = name
        else:
            result.replace_all_uses_with(data)
            graph.remove(node, safe=True)
