"""Make the batch of a graph free: one symbol for all inputs, and any number of samples at once.

Rules, where the batch is fixed at 1
1. `axis_behind` follows the batch from the inputs to the image, node by node.
2. What states the extent of that axis lets it be: targets of Reshape, Expand and Resize.
3. What is the same for every sample is broadcast; where it is joined with what is not, it is
   repeated first.
4. An operation that needs a batch of 1 is in the way; it is named.

It works on shapes alone; whether the numbers are the same is for a proof to say.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx_ir as ir

from graftscope.graph._batch_axis import axis_behind, extents_of, in_the_way, place_behind_reshape
from graftscope.graph._operations import operation
from graftscope.graph._shapes import has_batch_axis, infer_missing_shapes
from graftscope.graph._tensors import image_of, inputs_of, name_of, tensors_of
from graftscope.graph._values import free_name, initializer, insert
from graftscope.graph.errors import FixedBatchError

BATCH: Final = "batch"
"""The symbol of the free batch."""

_AXES: Final = frozenset({"channels", "colour", "height", "images", "sets", "width"})
"""What splicing calls its own axes; ONNX Runtime takes axes of one name for equally long."""

_ASK_FOR_SHAPE: Final = frozenset({"Shape", "Size"})


def free_batch(model: ir.Model) -> None:
    """Make the first axis of every input, and of the image, a free batch.

    Args:
        model: A generator in plain form whose inputs have shapes; changed in place. Where the
            batch is fixed, every tensor needs a shape.

    Raises:
        FixedBatchError: If the batch is fixed at another number than 1, or the graph computes
            one sample at a time; it names the node in the way.
        GraphError: If there is not exactly one output.
    """
    graph = model.graph
    fixed = [value for value in graph.inputs if isinstance(_batch_of(value), int)]
    for value in fixed:
        if _batch_of(value) != 1:
            raise FixedBatchError(
                f"input {name_of(value)!r} has a fixed batch of {_batch_of(value)}; only a batch "
                "of 1 can be made free: export the graph with a free batch, or with one of 1"
            )
    if not fixed:
        _unify(model)
        return
    if len(fixed) != len(graph.inputs):
        _fix_all(model)
    axes = _follow(graph)
    _require_image(graph, axes)
    for value, axis in axes.items():
        _free(value, axis)
    ir.passes.common.RemoveUnusedNodesPass()(model)
    infer_missing_shapes(model)


def _batch_of(value: ir.Value) -> int | ir.SymbolicDim:
    if value.shape is None or len(value.shape) == 0:
        raise FixedBatchError(f"input {name_of(value)!r} has no batch: its shape is {value.shape}")
    return value.shape[0]


def _unify(model: ir.Model) -> None:
    """Call the free batch of all inputs by one name."""
    symbols = {_symbol(value) for value in model.graph.inputs}
    if len(symbols) == 1 and all(map(_may_stay, symbols)):
        return
    for value in model.graph.inputs:
        assert value.shape is not None
        value.shape = ir.Shape([BATCH, *value.shape[1:]])
    _forget_free_shapes(model.graph)
    infer_missing_shapes(model)
    image = image_of(model.graph)
    if image.shape is not None and has_batch_axis(image):
        image.shape = ir.Shape([BATCH, *image.shape[1:]])


def _may_stay(symbol: str | None) -> bool:
    return bool(symbol) and str(symbol).isidentifier() and symbol not in _AXES


def _symbol(value: ir.Value) -> str | None:
    batch = _batch_of(value)
    return batch.value if isinstance(batch, ir.SymbolicDim) else None


def _fix_all(model: ir.Model) -> None:
    """Take a batch of 1 everywhere, where some inputs have it free and others fixed."""
    for value in model.graph.inputs:
        assert value.shape is not None
        value.shape = ir.Shape([1, *value.shape[1:]])
    _forget_free_shapes(model.graph)
    infer_missing_shapes(model)


def _forget_free_shapes(graph: ir.Graph) -> None:
    for value in tensors_of(graph):
        free = value.shape is not None and not value.shape.is_static()
        if free and value not in graph.inputs:
            value.shape = None


def _follow(graph: ir.Graph) -> dict[ir.Value, int]:
    """Return the batch's axis of every tensor that has one; nodes are changed on the way."""
    axes = dict.fromkeys(graph.inputs, 0)
    outers = dict.fromkeys(graph.inputs, 1)
    for node in list(graph):
        batched = [value for value in inputs_of(node) if value in axes]
        if not batched or operation(node) in _ASK_FOR_SHAPE:
            continue
        if len({outers[value] for value in batched}) != 1:
            raise in_the_way(node, "it brings together tensors that have the batch elsewhere")
        outer = outers[batched[0]]
        if operation(node) == "Reshape":
            axis, outer = place_behind_reshape(node, axes, outer)
        else:
            axis = axis_behind(node, axes)
        axes.update(dict.fromkeys(node.outputs, axis))
        outers.update(dict.fromkeys(node.outputs, outer))
        _let_be(graph, node, axis)
        if operation(node) == "Concat":
            _repeat_constants(graph, node, axes)
    return axes


def _require_image(graph: ir.Graph, axes: dict[ir.Value, int]) -> None:
    image = image_of(graph)
    node = image.producer()
    if image not in axes or node is None:
        raise FixedBatchError(f"the image {name_of(image)!r} is the same for every latent")
    if axes[image] != 0 or extents_of(image, node)[0] != 1:
        raise in_the_way(node, f"the first axis of the image {name_of(image)!r} is not the batch")


def _free(value: ir.Value, axis: int) -> None:
    if value.shape is None:
        return
    dims = list(value.shape.dims)
    # Where heads or tokens were merged into the batch, a multiple of it is not the batch.
    dims[axis] = ir.SymbolicDim(BATCH if dims[axis] == 1 else f"{dims[axis]}*{BATCH}")
    value.shape = ir.Shape(dims)


def _let_be(graph: ir.Graph, node: ir.Node, axis: int) -> None:
    """Take the batch's extent out of what a node is told to make."""
    made = list(extents_of(node.outputs[0], node)) if operation(node) in _TELLS_EXTENTS else []
    if operation(node) == "Reshape":
        node.replace_input_with(1, _ints(graph, node, [*made[:axis], -1, *made[axis + 1 :]]))
        node.attributes.pop("allowzero", None)
    elif operation(node) == "Expand":
        node.replace_input_with(1, _ints(graph, node, [*made[:axis], 1, *made[axis + 1 :]]))
    elif operation(node) == "Resize" and len(node.inputs) > 3 and node.inputs[3] is not None:
        data = node.inputs[0]
        assert data is not None
        first, rest = _extent(graph, node, data, 0), _ints(graph, node, made[1:])
        node.replace_input_with(3, _joined(graph, node, [first, rest]))


_TELLS_EXTENTS: Final = frozenset({"Reshape", "Expand", "Resize"})


def _repeat_constants(graph: ir.Graph, node: ir.Node, axes: dict[ir.Value, int]) -> None:
    """Repeat the tensors of a Concat that are the same for every sample."""
    axis = axes[node.outputs[0]]
    like = next(value for value in node.inputs if value is not None and value in axes)
    for index, value in enumerate(node.inputs):
        if value is None or value in axes:
            continue
        ones = [1] * len(extents_of(value, node))
        parts = [
            _ints(graph, node, ones[:axis]),
            _extent(graph, node, like, axis),
            _ints(graph, node, ones[axis + 1 :]),
        ]
        target = _joined(graph, node, parts)
        repeat = _insert(graph, node, ir.node("Expand", [value, target]))
        node.replace_input_with(index, repeat)


def _extent(graph: ir.Graph, before: ir.Node, value: ir.Value, axis: int) -> ir.Value:
    """Return a vector of one number, the extent of an axis."""
    return _insert(graph, before, ir.node("Shape", [value], {"start": axis, "end": axis + 1}))


def _joined(graph: ir.Graph, before: ir.Node, parts: Sequence[ir.Value]) -> ir.Value:
    return _insert(graph, before, ir.node("Concat", parts, {"axis": 0}))


def _insert(graph: ir.Graph, before: ir.Node, node: ir.Node) -> ir.Value:
    name = free_name(graph, f"{name_of(before.outputs[0])}_batch")
    return insert(graph, before, node, name)


def _ints(graph: ir.Graph, node: ir.Node, numbers: Sequence[int]) -> ir.Value:
    name = free_name(graph, f"{name_of(node.outputs[0])}_extents")
    return initializer(graph, name, np.array(numbers, dtype=np.int64))
