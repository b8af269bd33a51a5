"""A graph whose roundings are moved at random: by how much may its image be off?

Two computations of one network that round in the middle differ by more than the last digits. In
float16 every number is rounded, so each is moved here by as much. In a quantised network a number
that lies close to the edge between two steps falls to either side: a few are moved here to the step
beside, more than do so where the last digits differ.
"""

import math
from collections.abc import Mapping
from typing import Final

import onnx_ir as ir

from graftscope.graph._shapes import static_extents
from graftscope.graph._tensors import name_of, tensors_of
from graftscope.graph._values import free_name, insert
from graftscope.graph.quantised import rounding_to_nearest

FLIPPED: Final = 1e-4
"""The share of a tensor's numbers that fall to the step beside. Last digits move numbers of up to
256 steps by some 1e-5 of a step, so that ten times fewer do."""

_SEEDS: Final = 1000


def rounds(model: ir.Model) -> bool:
    """Tell whether a graph rounds to the steps of a quantisation, as `dequantise` left it."""
    return bool(rounding_to_nearest(model.graph))


def dither(
    model: ir.Model, shares: Mapping[str, float], seed: int, *, at_least_one: bool
) -> ir.Model:
    """Return a copy of a graph in which what is rounded is moved at random.

    Args:
        model: The graph.
        shares: Names of tensors that are rounded in what it was made from, with the largest
            share of a number that this changes. Of what the graph itself rounds to steps, the
            share `FLIPPED` is moved by one.
        at_least_one: Whether that is one of each tensor in each sample, where the share is less.
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
    for node in rounding_to_nearest(graph):
        number += 1
        _move_before(graph, node, number, at_least_one=at_least_one)
    return copy


_QUANTISE = frozenset({"QuantizeLinear", "com.microsoft::QuantizeLinear"})


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


def _move_before(graph: ir.Graph, node: ir.Node, seed: int, *, at_least_one: bool) -> None:
    """Move a few of the numbers that are to become whole, which are in steps, by a step."""
    data = node.inputs[0]
    assert data is not None
    extents = static_extents(data)
    one = 1.0 / math.prod(extents) if extents and at_least_one else 0.0
    share = max(FLIPPED, one)
    name = name_of(node.outputs[0])
    # What is larger than 1/2 in amount becomes 1: that share of numbers between -reach and reach.
    reach = 0.5 / (1.0 - min(share, 0.5))
    bounds = {"low": -reach, "high": reach, "seed": float(seed)}
    drawn = _put(graph, node, ir.node("RandomUniformLike", [data], bounds), f"{name}_drawn")
    step = _put(graph, node, ir.node("Round", [drawn]), f"{name}_step")
    node.replace_input_with(0, _put(graph, node, ir.node("Add", [data, step]), f"{name}_moved"))


def _put(graph: ir.Graph, before: ir.Node, node: ir.Node, name: str) -> ir.Value:
    return insert(graph, before, node, free_name(graph, name))
