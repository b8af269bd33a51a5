"""Take inputs out that hold nothing, (B, 0): the labels of a model that has no classes."""

import numpy as np
import onnx_ir as ir

from graftscope.graph._shapes import static_extents
from graftscope.graph._tensors import name_of
from graftscope.graph._values import free_name, initializer, insert


def without_empty_inputs(model: ir.Model) -> tuple[str, ...]:
    """Make nothing of another input, where an input is nothing.

    Args:
        model: A graph in plain form whose inputs have shapes; changed in place.

    Returns:
        The names of the inputs (B, 0) that were taken out. One remains where all are.
    """
    graph = model.graph
    empty = [value for value in graph.inputs if static_extents(value) == (0,)]
    others = [value for value in graph.inputs if value not in empty and value.shape]
    if not others:
        return ()
    for value in empty:
        if value.uses():
            value.replace_all_uses_with(_nothing_of(graph, others[0], value))
        graph.inputs.remove(value)
    return tuple(map(name_of, empty))


def _nothing_of(graph: ir.Graph, source: ir.Value, like: ir.Value) -> ir.Value:
    """Compute a tensor (B, 0) from one that has the batch."""
    first = next(iter(graph))
    name = f"{name_of(like)}_empty"

    def new(kind: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        return insert(graph, first, ir.node(kind, inputs, attributes), free_name(graph, name))

    zero, one = (
        initializer(graph, free_name(graph, f"{name}_{number}"), np.array([number], np.int64))
        for number in (0, 1)
    )
    flat = new("Flatten", source, axis=1)
    flat.type = source.type
    nothing = new("Slice", flat, zero, zero, one)
    nothing.type, nothing.shape = source.type, like.shape
    if source.dtype is like.dtype or like.dtype is None:
        return nothing
    cast = new("Cast", nothing, to=int(like.dtype))
    cast.type, cast.shape = like.type, like.shape
    return cast
