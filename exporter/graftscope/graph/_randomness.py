"""Turn the random numbers that a graph draws by itself into inputs: parts of the unit z.

Rules
1. Each random node becomes one input, so that every sample has a draw of its own, which an
   original and its hybrid share.
2. An input is a standard normal or a uniform variable; a mean and a scale are applied behind it.
3. A node's shape may lack the batch, where its numbers are only broadcast against tensors that
   have it: axes of extent 1 are put before them.

It must not know where the values of an input come from.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._shapes import infer_missing_shapes
from graftscope.graph._tensors import affected_by, title
from graftscope.graph._values import free_name, initializer, insert, typed_input
from graftscope.graph.errors import RandomGraphError

_NORMAL = frozenset({"RandomNormal", "RandomNormalLike"})
_UNIFORM = frozenset({"RandomUniform", "RandomUniformLike"})
RANDOM = _NORMAL | _UNIFORM
_BROADCASTS = frozenset(
    {"Add", "Cast", "Div", "Identity", "LeakyRelu", "Mul", "Neg", "Pow", "Relu", "Sub", "Where"}
)


@dataclass(frozen=True)
class Noise:
    """An input that stands for a random node.

    Attributes:
        name: The input's name, which begins with `noise`.
        shape: Extents behind the batch.
        bounds: Of a uniform variable (low, high); None for a standard normal one.
    """

    name: str
    shape: tuple[int, ...]
    bounds: tuple[float, float] | None


def inputs_for_randomness(model: ir.Model) -> tuple[Noise, ...]:
    """Replace every random node by an input.

    Args:
        model: A generator in plain form whose shapes are known; changed in place. The new inputs
            follow the others, and their batch is that of the first.

    Returns:
        The new inputs; none where the graph draws nothing.

    Raises:
        RandomGraphError: If a random node cannot become an input; it names the node.
    """
    graph = model.graph
    found = [each for each in ir.traversal.RecursiveGraphIterator(graph) if _is_random(each)]
    made = tuple([_replace(graph, node) for node in found])
    if made:
        infer_missing_shapes(model)
    return made


def _is_random(node: ir.Node) -> bool:
    return operation(node) in RANDOM


def _replace(graph: ir.Graph, node: ir.Node) -> Noise:
    if node.graph is not graph:
        raise _refusal(node, "lies inside a branch")
    shape = _shape_behind_batch(graph, node)
    name = free_name(graph, "noise")
    batch = graph.inputs[0].shape[0] if graph.inputs and graph.inputs[0].shape else "batch"
    value = typed_input(name, ir.DataType.FLOAT, [batch, *shape])
    graph.inputs.append(value)
    node.outputs[0].replace_all_uses_with(_arranged(graph, node, value), replace_graph_outputs=True)
    graph.remove(node, safe=True)
    uniform = operation(node) in _UNIFORM
    return Noise(name, shape, _bounds(node) if uniform else None)


def _bounds(node: ir.Node) -> tuple[float, float]:
    numbers = node.attributes.get_float("low", 0.0), node.attributes.get_float("high", 1.0)
    # Attributes are float32: 0.1 shall be 0.1 again, not 0.10000000149011612.
    low, high = (float(str(np.float32(number))) for number in numbers)
    return low, high


def _arranged(graph: ir.Graph, node: ir.Node, value: ir.Value) -> ir.Value:
    """Put scale, mean and datatype of a random node behind its input."""
    steps = []
    if operation(node) in _NORMAL:
        scale = node.attributes.get_float("scale", 1.0)
        mean = node.attributes.get_float("mean", 0.0)
        steps += [("Mul", scale)] if scale != 1 else []
        steps += [("Add", mean)] if mean != 0 else []
    for rescaling, number in steps:
        step = f"{value.name}_{rescaling.lower()}"
        constant = initializer(graph, f"{step}_by", np.array(number, dtype=np.float32))
        value = insert(graph, node, ir.node(rescaling, [value, constant]), step)
    if (dtype := _datatype(node)) != ir.DataType.FLOAT:
        cast = ir.node("Cast", [value], {"to": int(dtype)})
        value = insert(graph, node, cast, f"{value.name}_cast")
    return value


def _datatype(node: ir.Node) -> ir.DataType:
    given = node.attributes.get_int("dtype", 0)
    if given:
        return ir.DataType(given)
    like = node.inputs[0] if node.inputs else None
    return ir.DataType.FLOAT if like is None or like.dtype is None else like.dtype


def _shape_behind_batch(graph: ir.Graph, node: ir.Node) -> tuple[int, ...]:
    drawn = _drawn_shape(node)
    joined = affected_by(graph, graph.inputs)
    between, ends = _until_joined(node.outputs[0], joined)
    rank = max([len(drawn), *(len(end.shape) for end in ends if end.shape is not None)])
    extents = tuple(extent for extent in drawn[1:] if isinstance(extent, int))
    if len(extents) != max(len(drawn) - 1, 0):
        raise _refusal(node, f"draws shape {list(drawn)}, of which more than the batch is free")
    if len(drawn) == rank and drawn and drawn[0] in (1, None):
        shape = extents
    elif drawn and drawn[0] is None:
        raise _refusal(node, f"draws shape {list(drawn)}, whose batch meets another axis")
    else:
        _require_only_broadcast(node, between)
        if len(drawn) >= rank:
            raise _refusal(node, f"draws shape {list(drawn)}, whose first axis is not the batch")
        first = tuple(extent for extent in drawn[:1] if extent is not None)
        shape = (1,) * (rank - 1 - len(drawn)) + first + extents
    for value in between:
        value.shape = None  # it has the batch from now on
    return shape


def _drawn_shape(node: ir.Node) -> tuple[int | None, ...]:
    """Return the shape that a random node draws; None for a free extent."""
    if not operation(node).endswith("Like"):
        return tuple(node.attributes.get_ints("shape", ()))
    # What is drawn may be known better than what it is drawn like, such as a computed constant.
    like = node.outputs[0] if node.outputs[0].shape is not None else node.inputs[0]
    if like is None or like.shape is None:
        raise _refusal(node, "draws a shape that is not known")
    return tuple(extent if isinstance(extent, int) else None for extent in like.shape)


def _until_joined(value: ir.Value, joined: set[ir.Value]) -> tuple[list[ir.Value], list[ir.Value]]:
    """Follow random numbers through broadcasting operations.

    Returns:
        The tensors that depend on no input of the graph, and the first behind them that do.
    """
    between: list[ir.Value] = []
    ends: list[ir.Value] = []
    waiting = [value]
    while waiting:
        current = waiting.pop()
        for out in _results(current):
            (ends if out in joined else between).append(out)
            if out not in joined:
                waiting.append(out)
    return between, ends


def _results(value: ir.Value) -> Iterator[ir.Value]:
    for use in value.uses():
        if operation(use.node) in _BROADCASTS:
            yield use.node.outputs[0]


def _require_only_broadcast(node: ir.Node, between: list[ir.Value]) -> None:
    for value in (node.outputs[0], *between):
        for use in value.uses():
            if operation(use.node) not in _BROADCASTS:
                raise _refusal(node, f"draws no batch, and {title(use.node)} does more than add")


def _refusal(node: ir.Node, reason: str) -> RandomGraphError:
    return RandomGraphError(
        f"node {title(node)} {reason}; its random numbers cannot become an input of the generator"
    )
