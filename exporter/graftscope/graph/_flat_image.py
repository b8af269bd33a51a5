"""Images at the end of a graph that lack axes: flat ones, and those without a batch.

Every function changes a graph in plain form in place; the image keeps its name. Whether an output
is an image is for others to tell.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graftscope.graph._batch_axis import is_elementwise
from graftscope.graph._operations import operation
from graftscope.graph._tensors import name_of
from graftscope.graph._values import free_name, initializer


def reshape_output(graph: ir.Graph, output: ir.Value, extents: Sequence[int]) -> None:
    """Let an output (B, ...) be (B, *extents); its elements stay in their order.

    Args:
        graph: A graph with that output.
        output: The output; another of its name takes its place.
        extents: Extents behind the batch, of as many elements.
    """
    name = name_of(output)
    batch = output.shape[0] if output.shape else None
    output.name = free_name(graph, f"{name}_flat")
    target = np.array([-1, *extents], dtype=np.int64)
    shape = initializer(graph, free_name(graph, f"{name}_shape"), target)
    node = ir.node("Reshape", [output, shape], name=free_name(graph, f"{name}_reshape"))
    graph.append(node)
    image = node.outputs[0]
    image.name, image.type, image.shape = name, output.type, ir.Shape([batch, *extents])
    graph.outputs[graph.outputs.index(output)] = image


def keep_batch(image: ir.Value) -> bool:
    """Take out what takes the batch away from an image, such as `x[0]` or `squeeze(0)`.

    Args:
        image: A graph's output whose shape is known; it gets a first axis of 1.

    Returns:
        Whether there is such an operation, behind which only single elements are worked on and
        axes change places; else nothing is changed.
    """
    path: list[ir.Node] = []
    value = image
    while (node := value.producer()) is not None:
        data = _only_computed(node)
        if data is None:
            return False
        if _takes_batch_away(node, data):
            break
        if not is_elementwise(node) and operation(node) != "Transpose":
            return False
        path.append(node)
        value = data
    if node is None or len(value.uses()) + value.is_graph_output() != 1:
        return False
    _reconnect(node, path, value, image)
    return True


def _reconnect(node: ir.Node, path: Sequence[ir.Node], value: ir.Value, image: ir.Value) -> None:
    """Let the nodes behind `node`, which makes `value`, read what that reads."""
    for each in path:
        if operation(each) == "Transpose":
            rank = len(each.outputs[0].shape or ())
            order = each.attributes.get_ints("perm", tuple(reversed(range(rank))))
            each.attributes["perm"] = ir.AttrInt64s("perm", [0, *(axis + 1 for axis in order)])
        each.outputs[0].shape = ir.Shape([1, *(each.outputs[0].shape or ())])
    # An Identity, so that an image that is all that the node makes keeps its name.
    graph, data = node.graph, node.inputs[0]
    assert graph is not None
    passed = ir.node("Identity", [data], name=node.name)
    graph.insert_before(node, passed)
    value.replace_all_uses_with(passed.outputs[0], replace_graph_outputs=True)
    passed.outputs[0].type, passed.outputs[0].name = value.type, value.name
    passed.outputs[0].shape = ir.Shape([1, *(value.shape or ())])
    value.name = None
    graph.remove(node, safe=True)


def _only_computed(node: ir.Node) -> ir.Value | None:
    """Return the one input that is no constant; None where others are not, or have more axes."""
    rank = len(node.outputs[0].shape or ())
    computed = [each for each in node.inputs if each is not None and each.const_value is None]
    constants = [each for each in node.inputs if each is not None and each.const_value is not None]
    if len(computed) != 1 or any(len(each.shape or ()) > rank for each in constants):
        return None
    return computed[0]


def _takes_batch_away(node: ir.Node, data: ir.Value) -> bool:
    before, after = data.shape, node.outputs[0].shape
    if before is None or after is None or len(before) != len(after) + 1:
        return False
    if before[1:] != after.dims or not before[1:] or data is not node.inputs[0]:
        return False
    if operation(node) == "Gather":
        index = node.inputs[1].const_value if node.inputs[1] is not None else None
        first = index is not None and not index.numpy().any()
        return first and node.attributes.get_int("axis", 0) == 0
    return operation(node) in ("Reshape", "Squeeze")
