"""Every operation on whole numbers as one on float32, between what reads steps and what rounds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import onnx_ir as ir
from onnx_ir.passes import common

from graftscope.graph._operations import operation
from graftscope.graph._tensors import constants_of, title
from graftscope.graph._values import free_name, insert
from graftscope.graph.errors import GraphError
from graftscope.graph.quantised._arithmetic import SUFFIX, round_in_float32
from graftscope.graph.quantised._measured import measure_by_sample
from graftscope.graph.quantised._steps import Steps, float_bias, in_float, quantise

_MICROSOFT: Final = "com.microsoft::"
_BY_AXIS: Final = 13
"""The operation set from which on Softmax sums along its axis alone."""
_SAME: Final = frozenset({"QuantizeLinear", "DequantizeLinear"})


@dataclass(frozen=True)
class Dequantised:
    """What `dequantise` did.

    Attributes:
        rounded: How many tensors are rounded to the steps of constant scales.
        measured: How many to those of scales that are measured, sample by sample.
    """

    rounded: int
    measured: int


def dequantise(model: ir.Model) -> Dequantised:
    """Let a quantised network compute in float32 between its roundings.

    Args:
        model: A graph in plain form whose shapes are known as far as ONNX's rules go; changed in
            place. One that is not quantised stays as it is.

    Raises:
        GraphError: If what is rounded is read by an operation on whole numbers that is not known.
    """
    graph = model.graph
    _adopt(graph)
    found = [node for node in graph if operation(node) in _RULES]
    folded = _fold(graph)
    measured = measure_by_sample(graph)
    for node in found:
        if node.graph is graph:
            _RULES[operation(node)](graph, node)
    alike = ir.passes.Sequential(
        common.RemoveUnusedNodesPass(),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
    )
    if any(operation(node) in _SAME for node in graph):
        alike(model)
    rounded = round_in_float32(graph)
    if found or folded or measured or rounded:
        common.RemoveUnusedNodesPass()(model)
        common.RemoveUnusedOpsetsPass()(model)
        common.ShapeInferencePass()(model)
    return Dequantised(rounded, measured)


def _adopt(graph: ir.Graph) -> None:
    """Take ONNX Runtime's own roundings, of which newer operation sets have the like, as ONNX's."""
    for node in graph:
        if operation(node) in {f"{_MICROSOFT}{kind}" for kind in _SAME}:
            node.domain = ""


def _fold(graph: ir.Graph) -> int:
    """Replace constants that are read in steps by their numbers; return how many."""
    constants = constants_of(graph)
    count = 0
    for node in list(graph):
        data = node.inputs[0] if operation(node) == "DequantizeLinear" else None
        if data is None or data.const_value is None or node.outputs[0] not in constants:
            continue
        if node.attributes.get_int("block_size", 0):
            continue
        steps = Steps(node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None)
        if steps.scale is None or steps.scale.const_value is None:
            continue
        axis = node.attributes.get_int("axis", 1)
        _give(graph, node, in_float(graph, node, data, steps, axis))
        count += 1
    return count


def _give(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    """Let what reads a node's result read a value, under the result's name where that is free."""
    result = node.outputs[0]
    name, was_output = result.name, result.is_graph_output()
    value.shape, value.type = value.shape or result.shape, value.type or result.type
    result.replace_all_uses_with(value, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    if value.const_value is None or was_output:
        value.name = name


def _compute(
    graph: ir.Graph,
    node: ir.Node,
    kind: str,
    inputs: Sequence[ir.Value | None],
    *,
    steps: Steps,
    attributes: Mapping[str, ir.Attr] | None = None,
) -> None:
    """Put an operation on float32, and a rounding, in the place of one on whole numbers."""
    made = ir.node(kind, inputs, dict(node.attributes if attributes is None else attributes))
    name = free_name(graph, (node.outputs[0].name or "").removesuffix(SUFFIX) or kind)
    result = insert(graph, node, made, name)
    result.dtype, result.shape = ir.DataType.FLOAT, node.outputs[0].shape
    _give(graph, node, result if steps.scale is None else quantise(graph, node, result, steps))


def _steps(node: ir.Node, at: int) -> Steps:
    given = (*node.inputs, None, None)
    return Steps(given[at], given[at + 1])


def _read(graph: ir.Graph, node: ir.Node, at: int, axis: int = 1) -> ir.Value:
    """Return one of a node's quantised inputs, whose scale and zero follow it, in float32."""
    value = node.inputs[at]
    assert value is not None
    return in_float(graph, node, value, _steps(node, at + 1), axis)


def _convolution(graph: ir.Graph, node: ir.Node) -> None:
    data, weights = _read(graph, node, 0), _read(graph, node, 3, axis=0)
    bias = node.inputs[8] if len(node.inputs) > 8 else None
    whole = float_bias(graph, bias, _steps(node, 1), _steps(node, 4))
    inputs = [data, weights] if whole is None else [data, weights, whole]
    _compute(graph, node, "Conv", inputs, steps=_steps(node, 6))


def _product(graph: ir.Graph, node: ir.Node) -> None:
    inputs = [_read(graph, node, 0), _read(graph, node, 3, axis=-1)]
    _compute(graph, node, "MatMul", inputs, steps=_steps(node, 6))


def _general_product(graph: ir.Graph, node: ir.Node) -> None:
    flipped = bool(node.attributes.get_int("transB", 0))
    inputs = [_read(graph, node, 0), _read(graph, node, 3, axis=0 if flipped else 1)]
    whole = float_bias(graph, node.inputs[6], _steps(node, 1), _steps(node, 4))
    inputs += [] if whole is None else [whole]
    steps = _steps(node, 7) if len(node.inputs) > 7 else Steps(None, None)
    _compute(graph, node, "Gemm", inputs, steps=steps)


def _of_two(kind: str) -> Callable[[ir.Graph, ir.Node], None]:
    def rule(graph: ir.Graph, node: ir.Node) -> None:
        inputs = [_read(graph, node, 0), _read(graph, node, 3)]
        _compute(graph, node, kind, inputs, steps=_steps(node, 6))

    return rule


def _of_one(kind: str) -> Callable[[ir.Graph, ir.Node], None]:
    def rule(graph: ir.Graph, node: ir.Node) -> None:
        if node.attributes.get_int("channels_last", 0):
            raise GraphError(
                f"node {title(node)} has channels_last = 1; allowed is 0: quantise a file whose "
                "maps are (B, C, H, W)"
            )
        kept = {name: each for name, each in node.attributes.items() if name != "channels_last"}
        inputs = [_read(graph, node, 0)]
        _compute(graph, node, kind, inputs, steps=_steps(node, 3), attributes=kept)

    return rule


def _softmax(graph: ir.Graph, node: ir.Node) -> None:
    axis, opset = node.attributes.get_int("axis", -1), node.attributes.get_int("opset", _BY_AXIS)
    shape = node.outputs[0].shape
    # Older ones sum over all axes from theirs on.
    if opset < _BY_AXIS and axis != -1 and (shape is None or axis != len(shape) - 1):
        raise GraphError(
            f"node {title(node)} is of operation set {opset} and sums over all axes from {axis} "
            f"on; allowed is the last axis alone, or operation set {_BY_AXIS} and newer"
        )
    inputs = [_read(graph, node, 0)]
    along = {"axis": ir.AttrInt64("axis", axis)}
    _compute(graph, node, "Softmax", inputs, steps=_steps(node, 3), attributes=along)


def _selected(graph: ir.Graph, node: ir.Node) -> None:
    inputs = [node.inputs[0], _read(graph, node, 1), _read(graph, node, 4)]
    _compute(graph, node, "Where", inputs, steps=_steps(node, 7))


def _joined(graph: ir.Graph, node: ir.Node) -> None:
    parts = [_read(graph, node, at) for at in range(2, len(node.inputs), 3)]
    _compute(graph, node, "Concat", parts, steps=_steps(node, 0))


_RULES: Final[Mapping[str, Callable[[ir.Graph, ir.Node], None]]] = {
    "QLinearConv": _convolution,
    "QLinearMatMul": _product,
    f"{_MICROSOFT}QGemm": _general_product,
    f"{_MICROSOFT}QLinearAdd": _of_two("Add"),
    f"{_MICROSOFT}QLinearAveragePool": _of_one("AveragePool"),
    f"{_MICROSOFT}QLinearConcat": _joined,
    f"{_MICROSOFT}QLinearGlobalAveragePool": _of_one("GlobalAveragePool"),
    f"{_MICROSOFT}QLinearLeakyRelu": _of_one("LeakyRelu"),
    f"{_MICROSOFT}QLinearMul": _of_two("Mul"),
    f"{_MICROSOFT}QLinearSigmoid": _of_one("Sigmoid"),
    f"{_MICROSOFT}QLinearSoftmax": _softmax,
    f"{_MICROSOFT}QLinearWhere": _selected,
}
