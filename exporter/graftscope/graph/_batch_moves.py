"""Where the batch lies behind an operation that moves, joins or picks elements.

Every function takes a node and the batch's axis of the tensors above it, returns the batch's axis
in what the node computes, and raises FixedBatchError where the node is in the way.
"""

import math

import onnx_ir as ir

from graftscope.graph._batch_shared import (
    Axes,
    aligned_axis,
    constant_ints,
    data_of,
    extents_of,
    in_the_way,
)


def place_behind_reshape(node: ir.Node, axes: Axes, outer: int) -> tuple[int, int]:
    """Return where a Reshape puts the batch: its elements stay in their order.

    Args:
        node: A Reshape whose data have a batch.
        axes: The batch's axis of the tensors above it.
        outer: By how much the batch's axis of the data changes more slowly than the batch does:
            the number of tokens, where those were merged with the batch and come before it.

    Returns:
        The batch's axis and `outer`, of what is computed.

    Raises:
        FixedBatchError: If the batch would end up on no axis.
    """
    data = data_of(node, axes)
    before, after = extents_of(data, node), extents_of(node.outputs[0], node)
    at = axes[data]
    if len(before) == len(after) and before[:at] == after[:at]:
        return at, outer  # heads or tokens are merged with the batch, or parted from it
    slower = math.prod(before[:at]) * outer
    places = []
    for axis, extent in enumerate(after):
        own, rest = divmod(slower, math.prod(after[:axis]))
        if own and not rest and extent % own == 0:
            places.append((extent // own, own, axis))
    if not places:
        raise in_the_way(node, f"it splits the batch up: {list(before)} becomes {list(after)}")
    # Nothing behind the batch is merged with it where that can be helped, and then nothing before.
    _, own, axis = min(places)
    return axis, own


def flattened(node: ir.Node, axes: Axes) -> int:
    data = node.inputs[0]
    assert data is not None
    if axes[data] != 0 or node.attributes.get_int("axis", 1) == 0:
        raise in_the_way(node, "it merges the batch with what is behind it")
    return 0


def transposed(node: ir.Node, axes: Axes) -> int:
    data = node.inputs[0]
    assert data is not None
    rank = len(extents_of(data, node))
    order = list(node.attributes.get_ints("perm", tuple(reversed(range(rank)))))
    return order.index(axes[data])


def unsqueezed(node: ir.Node, axes: Axes) -> int:
    rank = len(extents_of(node.outputs[0], node))
    made = {axis % rank for axis in constant_ints(node, 1)}
    kept = [axis for axis in range(rank) if axis not in made]
    return kept[axes[data_of(node, axes)]]


def squeezed(node: ir.Node, axes: Axes) -> int:
    data = data_of(node, axes)
    extents = extents_of(data, node)
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        gone = {axis % len(extents) for axis in constant_ints(node, 1)}
    else:
        gone = {axis for axis, extent in enumerate(extents) if extent == 1}
    if axes[data] in gone:
        raise in_the_way(node, "it takes the batch away")
    return axes[data] - sum(1 for axis in gone if axis < axes[data])


def concatenated(node: ir.Node, axes: Axes) -> int:
    rank = len(extents_of(node.outputs[0], node))
    found = {axes[value] for value in node.inputs if value is not None and value in axes}
    if len(found) != 1 or node.attributes.get_int("axis", 0) % rank in found:
        raise in_the_way(node, "it joins samples")
    (axis,) = found
    extents = {extents_of(value, node)[axis] for value in node.inputs if value is not None}
    if len(extents) != 1:
        raise in_the_way(node, "its tensors have the batch at different axes")
    return axis


def split(node: ir.Node, axes: Axes) -> int:
    data = data_of(node, axes)
    if node.attributes.get_int("axis", 0) % len(extents_of(data, node)) == axes[data]:
        raise in_the_way(node, "it splits the batch")
    return axes[data]


def sliced(node: ir.Node, axes: Axes) -> int:
    data = data_of(node, axes)
    rank = len(extents_of(data, node))
    given = len(node.inputs) > 3 and node.inputs[3] is not None
    if axes[data] in ({axis % rank for axis in constant_ints(node, 3)} if given else range(rank)):
        raise in_the_way(node, "it picks from the batch")
    return axes[data]


def padded(node: ir.Node, axes: Axes) -> int:
    data = data_of(node, axes)
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        raise in_the_way(node, "it names the axes that it pads")
    pads = constant_ints(node, 1)
    if pads[axes[data]] or pads[axes[data] + len(pads) // 2]:
        raise in_the_way(node, "it pads the batch")
    return axes[data]


def gathered(node: ir.Node, axes: Axes) -> int:
    data, indices = node.inputs
    assert data is not None
    assert indices is not None
    picked = node.attributes.get_int("axis", 0) % len(extents_of(data, node))
    if data not in axes:
        return picked + axes[indices]
    if indices in axes or picked == axes[data]:
        raise in_the_way(node, "it picks from the batch")
    added = len(extents_of(indices, node)) - 1
    return axes[data] + (added if picked < axes[data] else 0)


def one_hot(node: ir.Node, axes: Axes) -> int:
    data = data_of(node, axes)
    rank = len(extents_of(node.outputs[0], node))
    return axes[data] + (1 if node.attributes.get_int("axis", -1) % rank <= axes[data] else 0)


def expanded(node: ir.Node, axes: Axes) -> int:
    data = data_of(node, axes)
    axis = aligned_axis(data, axes[data], node)
    if extents_of(node.outputs[0], node)[axis] != extents_of(data, node)[axes[data]]:
        raise in_the_way(node, "it repeats the batch")
    return axis


def tiled(node: ir.Node, axes: Axes) -> int:
    data = data_of(node, axes)
    if constant_ints(node, 1)[axes[data]] != 1:
        raise in_the_way(node, "it repeats the batch")
    return axes[data]
