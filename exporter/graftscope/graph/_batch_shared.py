"""What the rules on the batch's axis share: extents, constants, and the refusal of a node."""

from collections.abc import Mapping

import onnx_ir as ir

from graftscope.graph._unfit import title
from graftscope.graph.errors import FixedBatchError

Axes = Mapping[ir.Value, int]
"""The batch's axis of every tensor that has one."""


def extents_of(value: ir.Value, node: ir.Node) -> tuple[int, ...]:
    """Return a tensor's extents at a batch of 1.

    Args:
        value: The tensor.
        node: What reads or makes it, for the message.

    Raises:
        FixedBatchError: If one is not known.
    """
    dims = () if value.shape is None else value.shape.dims
    extents = tuple(dim for dim in dims if isinstance(dim, int))
    if value.shape is None or len(extents) != len(dims):
        raise in_the_way(node, f"the shape of its tensor {value.name!r} is not known")
    return extents


def in_the_way(node: ir.Node, reason: str) -> FixedBatchError:
    """Return the refusal that names a node and why it needs a batch of 1."""
    return FixedBatchError(
        f"the graph's batch is fixed at 1 and cannot be made free: in the way is node "
        f"{title(node)}: {reason}"
    )


def aligned_axis(value: ir.Value, axis: int, node: ir.Node) -> int:
    """Return where an axis of an operand lies in the result that it is broadcast to."""
    return axis + len(extents_of(node.outputs[0], node)) - len(extents_of(value, node))


def data_of(node: ir.Node, axes: Axes) -> ir.Value:
    """Return a node's first input, of which alone its result has the batch."""
    data = node.inputs[0]
    if data is None or data not in axes:
        raise in_the_way(node, "where it picks from depends on the sample")
    return data


def constant_ints(node: ir.Node, index: int) -> list[int]:
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None or value.const_value is None:
        raise in_the_way(node, f"its input {index} is no constant")
    return [int(number) for number in value.const_value.numpy().reshape(-1)]
