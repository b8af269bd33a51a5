"""Scales that a network measures as it runs, measured sample by sample.

Definitions as ONNX has them for `DynamicQuantizeLinear`: the range of the data, 0 included, is
divided into 255 steps, and 0 is one of them.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.graph._operations import operation
from graftscope.graph._tensors import name_of, title
from graftscope.graph._values import free_name, initializer, insert
from graftscope.graph.errors import GraphError
from graftscope.graph.quantised._marks import INTO, OUT_OF, ROUNDING, WHOLE
from graftscope.graph.quantised._steps import Steps, in_float

_STEPS: Final = 255.0
_MEASURES: Final = "DynamicQuantizeLinear"
_ON_WHOLE_NUMBERS: Final = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}


def measure_by_sample(graph: ir.Graph) -> int:
    """Let every sample have scales of its own; return how many tensors are rounded so.

    Args:
        graph: The graph; changed in place. Products of whole numbers become those of float32.

    Raises:
        GraphError: If a tensor's axes are not known, or what is rounded is read otherwise.
    """
    found = [node for node in graph if operation(node) == _MEASURES]
    rounded = {node.outputs[0]: _round(graph, node) for node in found}
    for node in [each for each in graph if operation(each) in _ON_WHOLE_NUMBERS]:
        _multiply(graph, node, rounded)
    for node in found:
        if any(each.uses() for each in node.outputs):
            use = next(iter((*node.outputs[0].uses(), *node.outputs[2].uses())))
            raise GraphError(
                f"node {title(use.node)} reads what {title(node)} rounds to measured scales; "
                f"allowed are {', '.join(_ON_WHOLE_NUMBERS)}"
            )
        graph.remove(node, safe=True)
    return len(found)


def _round(graph: ir.Graph, node: ir.Node) -> ir.Value:
    """Put what rounds a tensor before a node; return the tensor, rounded, in float32."""
    data = node.inputs[0]
    assert data is not None
    if data.shape is None or len(data.shape) < 2:
        raise GraphError(
            f"node {title(node)} measures the scale of {name_of(data)!r} {data.shape}, of which no "
            "sample can be told apart"
        )
    name = name_of(data)
    axes = np.arange(1, len(data.shape), dtype=np.int64)

    def put(kind: str, *inputs: ir.Value, part: str = "", **attributes: int) -> ir.Value:
        free = free_name(graph, f"{name}_{kind.lower()}")
        made = ir.node(kind, inputs, attributes)
        if part:
            made.metadata_props[ROUNDING] = part
        return insert(graph, node, made, free)

    def number(what: str, value: float | NDArray[np.int64]) -> ir.Value:
        array = np.asarray(value, np.float32 if isinstance(value, float) else np.int64)
        return initializer(graph, free_name(graph, f"{name}_{what}"), array)

    zero, one, most = number("zero", 0.0), number("one", 1.0), number("most", _STEPS)
    behind = number("axes", axes)
    low = put("Min", put("ReduceMin", data, behind, keepdims=1), zero)
    high = put("Max", put("ReduceMax", data, behind, keepdims=1), zero)
    width = put("Sub", high, low)
    scale = put("Where", put("Equal", width, zero), one, put("Div", width, most))
    place = put("Round", put("Clip", put("Sub", zero, put("Div", low, scale)), zero, most))
    nearest = put("Round", put("Div", data, scale, part=INTO), part=WHOLE)
    within = put("Clip", put("Add", nearest, place, part=WHOLE), zero, most, part=WHOLE)
    result = put("Mul", put("Sub", within, place, part=OUT_OF), scale, part=OUT_OF)
    result.dtype, result.shape = ir.DataType.FLOAT, data.shape
    # The scale is in it: what the file multiplies by it afterwards is 1.
    node.outputs[1].replace_all_uses_with(one)
    return result


def _multiply(graph: ir.Graph, node: ir.Node, rounded: Mapping[ir.Value, ir.Value]) -> None:
    """Put a product of float32 in the place of one of whole numbers."""
    data, weights, *zeros = node.inputs
    assert data is not None
    assert weights is not None
    own_zero, weights_zero = (*zeros, None, None)[:2]
    convolves = operation(node) == "ConvInteger"
    first = rounded.get(data)
    if first is None:
        first = in_float(graph, node, data, Steps(None, own_zero))
    second = in_float(graph, node, weights, Steps(None, weights_zero), 0 if convolves else -1)
    kind = _ON_WHOLE_NUMBERS[operation(node)]
    made = ir.node(kind, [first, second], dict(node.attributes))
    result = insert(graph, node, made, free_name(graph, f"{name_of(node.outputs[0])}_exact"))
    result.dtype, result.shape = ir.DataType.FLOAT, node.outputs[0].shape
    node.outputs[0].replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
