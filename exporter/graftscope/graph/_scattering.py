"""Choose elements instead of scattering them, where it is known to which places they go.

What a program assigns to parts of a tensor, such as `m[:, 0, 0] = t[:, 0]`, exporters write as
ScatterElements or ScatterND with constant indices. At a batch of 1 these are the same as

    Where(assigned, Gather(updates, whence), data)

which keeps samples apart. It works on one sample; that the batch lies on the first axis is for
the rules of a free batch to find out.
"""

from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.graph._operations import operation
from graftscope.graph._shapes import static_extents
from graftscope.graph._tensors import name_of
from graftscope.graph._values import free_name, initializer, insert

_SCATTERS: Final = frozenset({"ScatterElements", "ScatterND"})


def choose_instead_of_scattering(model: ir.Model) -> None:
    """Replace what scatters to constant places.

    Args:
        model: A graph in plain form with a batch of 1, whose shapes are known; changed in place.
            What scatters to other places, or adds where it scatters, is left as it is.
    """
    for node in list(model.graph):
        if operation(node) in _SCATTERS and len(node.inputs) == 3:
            _replace(model.graph, node)


def _replace(graph: ir.Graph, node: ir.Node) -> None:
    data, indices, updates = node.inputs
    if data is None or indices is None or updates is None or indices.const_value is None:
        return
    extents, size = _one_sample(data), _one_sample(updates)
    adds = node.attributes.get_string("reduction", "none") != "none"
    if extents is None or size is None or adds:
        return
    whence = _whence(node, extents, size, indices.const_value.numpy())

    def new(kind: str, *inputs: ir.Value, axis: int | None = None) -> ir.Value:
        made = ir.node(kind, inputs, {} if axis is None else {"axis": axis})
        made.metadata_props.update(node.metadata_props)
        return insert(graph, node, made, free_name(graph, f"{name_of(node.outputs[0])}_chosen"))

    def constant(array: NDArray[np.generic]) -> ir.Value:
        return initializer(graph, free_name(graph, f"{name_of(node.outputs[0])}_places"), array)

    count = int(np.prod(size))
    flat = new("Reshape", updates, constant(np.array([1, count], np.int64)))
    picked = new("Gather", flat, constant(np.maximum(whence, 0).reshape(-1)), axis=1)
    arranged = new("Reshape", picked, constant(np.array(extents, np.int64)))
    result = new("Where", constant(whence >= 0), arranged, data)
    pieces = ((flat, (1, count)), (picked, (1, whence.size)), (arranged, extents))
    for value, shape in (*pieces, (result, extents)):
        value.shape, value.type = ir.Shape(shape), data.type
    node.outputs[0].replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _one_sample(value: ir.Value) -> tuple[int, ...] | None:
    """Return the extents of a tensor of one sample; None for others."""
    behind = static_extents(value)
    return (1, *behind) if behind is not None and value.shape and value.shape[0] == 1 else None


def _whence(
    node: ir.Node,
    extents: tuple[int, ...],
    size: tuple[int, ...],
    indices: NDArray[np.generic],
) -> NDArray[np.int64]:
    """Return which of the updates each element becomes, -1 where it stays."""
    whence = np.full(extents, -1, np.int64)
    updates = np.arange(np.prod(size), dtype=np.int64).reshape(size)
    if operation(node) == "ScatterND":
        whence[tuple(np.moveaxis(indices.astype(np.int64), -1, 0))] = updates
        return whence
    axis = node.attributes.get_int("axis", 0)
    places = list(np.indices(size))
    places[axis] = indices.astype(np.int64)
    whence[tuple(places)] = updates
    return whence
