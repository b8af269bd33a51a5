"""A graph whose roundings are moved at random: by how much may its image be off?

Two computations of one network that round in the middle differ by more than the last digits: where
a sum lies close to the edge between two steps, it falls to either side. What is rounded is moved
here by up to half a step, which may move any of it to the step beside.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._tensors import affected_by, name_of, tensors_of
from graftscope.graph._values import free_name, initializer, insert

_SEEDS = 1000


def rounds(model: ir.Model) -> bool:
    """Tell whether a graph rounds what samples differ in to the steps of a quantisation."""
    return bool(_quantised(model.graph))


def dither(model: ir.Model, shares: Mapping[str, float], seed: int) -> ir.Model:
    """Return a copy of a graph in which what is rounded is moved at random.

    Args:
        model: The graph.
        shares: Names of tensors that are rounded in what it was made from, with the largest
            share of a number that this changes. What the graph itself quantises is moved by half
            a step.
        seed: Where the randomness begins; each gives other numbers.

    Returns:
        The copy, whose image may be compared with the graph's.
    """
    copy = model.clone()
    graph = copy.graph
    tensors = {name_of(value): value for value in tensors_of(graph)}
    number = seed * _SEEDS
    for name, share in shares.items():
        if (value := tensors.get(name)) is not None and not value.is_graph_output():
            number += 1
            _move(graph, value, share, number)
    for node in _quantised(graph):
        number += 1
        _move_before(graph, node, number)
    return copy


_QUANTISE = frozenset({"QuantizeLinear", "com.microsoft::QuantizeLinear"})


def _quantised(graph: ir.Graph) -> list[ir.Node]:
    behind = affected_by(graph, graph.inputs)
    return [node for node in graph if operation(node) in _QUANTISE and node.inputs[0] in behind]


def _move(graph: ir.Graph, value: ir.Value, share: float, seed: int) -> None:
    """Let what reads a tensor read it times 1 and up to a share more or less."""
    readers = tuple(value.uses())
    if not readers:
        return
    first = min((use.node for use in readers), key=list(graph).index)
    name = name_of(value)
    bounds = {"low": 1.0 - share, "high": 1.0 + share, "seed": float(seed)}
    factor = _put(graph, first, ir.node("RandomUniformLike", [value], bounds), f"{name}_factor")
    moved = _put(graph, first, ir.node("Mul", [value, factor]), f"{name}_moved")
    for use in readers:
        use.node.replace_input_with(use.idx, moved)


def _move_before(graph: ir.Graph, node: ir.Node, seed: int) -> None:
    data, scale = node.inputs[0], node.inputs[1]
    assert data is not None
    assert scale is not None
    name = name_of(node.outputs[0])
    bounds = {"low": -0.5, "high": 0.5, "seed": float(seed)}
    share = _put(graph, node, ir.node("RandomUniformLike", [data], bounds), f"{name}_share")
    axis = node.attributes.get_int("axis", 1)
    rank = 0 if data.shape is None else len(data.shape)
    if scale.shape is not None and len(scale.shape) == 1 and rank > axis >= 0:
        extents = np.ones(rank, np.int64)
        extents[axis] = -1
        wanted = initializer(graph, free_name(graph, f"{name}_extents"), extents)
        scale = _put(graph, node, ir.node("Reshape", [scale, wanted]), f"{name}_scale")
    step = _put(graph, node, ir.node("Mul", [share, scale]), f"{name}_step")
    node.replace_input_with(0, _put(graph, node, ir.node("Add", [data, step]), f"{name}_moved"))


def _put(graph: ir.Graph, before: ir.Node, node: ir.Node, name: str) -> ir.Value:
    return insert(graph, before, node, free_name(graph, name))
