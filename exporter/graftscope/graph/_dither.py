"""A graph whose roundings fall otherwise: by how much may its image be off?

Two computations of one network that round in the middle differ by more than the last digits.

1. In float16 every number is rounded: so is each here, as on that type's own grid, or on the same
   grid times a factor.
2. In a quantised network a number that lies close to the edge between two steps falls to either
   side. Here those within a window of their step go to the step beside: as many as lie next to an
   edge, and more than last digits can move over it.
"""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._shapes import static_extents
from graftscope.graph._tensors import name_of, tensors_of
from graftscope.graph._values import free_name, initializer, insert
from graftscope.graph.quantised import rounding_to_nearest

FLIPPED: Final = 1e-4
"""The share of a tensor's numbers that fall to the step beside. Last digits move numbers of up to
256 steps by some 1e-5 of a step, so that ten times fewer do."""

VARIANTS: Final = 4
_FACTORS: Final = (1.0, 0.9, 0.8, 0.7)
_WINDOWS: Final = (0.5, 0.4, 0.6, 0.3)
"""Where in a step the middle of the window is; an edge lies at 0.5."""


def rounds(model: ir.Model) -> bool:
    """Tell whether a graph rounds to the steps of a quantisation, as `dequantise` left it."""
    return bool(rounding_to_nearest(model.graph))


def dither(
    model: ir.Model, types: Mapping[str, ir.DataType], variant: int, *, about_one: bool
) -> ir.Model:
    """Return a copy of a graph in which what is rounded falls otherwise.

    Args:
        model: The graph.
        types: Names of tensors that what it was made from holds in a shorter type, and that type.
            Of what the graph itself rounds to steps, the share `FLIPPED` goes to the step beside.
        variant: Which of the `VARIANTS`.
        about_one: Whether that is about one number of each tensor in each sample, where it is less.

    Returns:
        The copy, whose image may be compared with the graph's.
    """
    copy = model.clone()
    graph = copy.graph
    tensors = {name_of(value): value for value in tensors_of(graph)}
    for name, dtype in types.items():
        if (value := tensors.get(name)) is not None and not value.is_graph_output():
            _shorten(graph, value, dtype, _FACTORS[variant])
    for node in rounding_to_nearest(graph):
        _flip(graph, node, _WINDOWS[variant], about_one=about_one)
    return copy


def _shorten(graph: ir.Graph, value: ir.Value, dtype: ir.DataType, factor: float) -> None:
    """Let what reads a tensor read it rounded to a shorter type, of numbers times a factor."""
    readers = tuple(value.uses())
    if not readers:
        return
    producer, name = value.producer(), name_of(value)
    after = next(iter(graph)) if producer is None else producer

    by = initializer(graph, free_name(graph, f"{name}_factor"), np.array(factor, np.float32))
    scaled = ir.node("Mul", [value, by])
    short = ir.node("Cast", scaled.outputs, {"to": int(dtype)})
    long = ir.node("Cast", short.outputs, {"to": int(ir.DataType.FLOAT)})
    result = ir.node("Div", [long.outputs[0], by])
    made = [scaled, short, long, result]
    if producer is None:
        graph.insert_before(after, made)
    else:
        graph.insert_after(after, made)
    for each in made:
        each.name = each.outputs[0].name = free_name(graph, f"{name}_{operation(each).lower()}")
    for use in readers:
        use.node.replace_input_with(use.idx, result.outputs[0])


def _flip(graph: ir.Graph, node: ir.Node, middle: float, *, about_one: bool) -> None:
    """Move numbers that are to become whole, which are in steps, by a step if in the window."""
    data = node.inputs[0]
    assert data is not None
    extents = static_extents(data)
    share = max(FLIPPED, 1.0 / math.prod(extents)) if extents and about_one else FLIPPED
    half = min(share, 0.5) / 2
    name = name_of(node.outputs[0])

    def put(kind: str, *inputs: ir.Value) -> ir.Value:
        free = free_name(graph, f"{name}_{kind.lower()}")
        return insert(graph, node, ir.node(kind, inputs), free)

    def number(value: float) -> ir.Value:
        free = free_name(graph, f"{name}_number")
        return initializer(graph, free, np.array(value, np.float32))

    within = put("Sub", data, put("Floor", data))
    above = put("Less", number(middle - half), within)
    found = put("And", above, put("Less", within, number(middle + half)))
    beside = put("Where", put("Less", within, number(0.5)), number(1.0), number(-1.0))
    step = put("Where", found, beside, number(0.0))
    node.replace_input_with(0, put("Add", data, step))
