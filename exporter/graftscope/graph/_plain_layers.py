"""Layers in plain form: a map with channels last is turned to (B, C, H, W) and back where it lies.

So what is cut, recorded and spliced is always (B, C, H, W), and what the graph computes stays the
same to the bit. It does not know what a layer is.
"""

from typing import Final

import onnx_ir as ir

from graftscope.graph._image_form import TO_FIRST, TO_LAST, rearranges
from graftscope.graph._tensors import name_of
from graftscope.graph._values import free_name

_SUFFIX: Final = "channels_first"


def channels_first(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """Return the map (B, C, H, W) that decides all that a map (B, H, W, C) does.

    Args:
        graph: The map's graph; changed in place where it has no such tensor.
        value: The map; what a node computes.
    """
    node = value.producer()
    assert node is not None
    before = node.inputs[0] if rearranges(node, TO_LAST) else None
    if before is not None and before.producer() is not None and len(before.uses()) == 1:
        return before
    turning = [use.node for use in value.uses() if rearranges(use.node, TO_FIRST)]
    if len(turning) == len(value.uses()) == 1:
        return turning[0].outputs[0]
    return _turned(graph, value, turning)


def _turned(graph: ir.Graph, value: ir.Value, turning: list[ir.Node]) -> ir.Value:
    """Turn a map to the front and back, and let all that reads it read the result."""
    others = [use for use in value.uses() if use.node not in turning]
    first = ir.node("Transpose", [value], {"perm": TO_FIRST})
    last = ir.node("Transpose", [first.outputs[0]], {"perm": TO_LAST})
    producer = value.producer()
    assert producer is not None
    graph.insert_after(producer, [first, last])
    for each, suffix in ((first, _SUFFIX), (last, "turned_back")):
        each.name = each.outputs[0].name = free_name(graph, f"{name_of(value)}_{suffix}")
        each.outputs[0].type = value.type
    front, back = first.outputs[0], last.outputs[0]
    assert value.shape is not None
    front.shape = ir.Shape([value.shape[axis] for axis in TO_FIRST])
    back.shape = value.shape
    for use in others:
        use.node.replace_input_with(use.idx, back)
    for node in turning:
        node.outputs[0].replace_all_uses_with(front, replace_graph_outputs=True)
        graph.remove(node, safe=True)
    return front
