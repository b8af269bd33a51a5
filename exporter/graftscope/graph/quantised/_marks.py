"""Which nodes of a graph are a rounding to steps, told in their metadata.

A rounding goes from a tensor x into whole numbers, moves these about as it likes, and comes out of
them again: x -> INTO -> WHOLE -> ... -> OUT_OF -> x, rounded.
"""

from typing import Final

import onnx_ir as ir

from graftscope.graph._operations import operation

ROUNDING: Final = "graftscope.rounding"
"""The metadata's key."""
INTO: Final = "into whole numbers"
WHOLE: Final = "of whole numbers"
OUT_OF: Final = "out of whole numbers"


def is_rounding(node: ir.Node) -> bool:
    """Tell whether a node is part of a rounding; its first input is the data."""
    return ROUNDING in node.metadata_props


def rounding_to_nearest(graph: ir.Graph) -> list[ir.Node]:
    """Return the nodes at which numbers, in steps, become whole."""
    return [node for node in graph if is_rounding(node) and operation(node) == "Round"]


def holds_whole_numbers(value: ir.Value) -> bool:
    """Tell whether a tensor lies within a rounding, where numbers are counts of steps."""
    node = value.producer()
    while node is not None:
        part = node.metadata_props.get(ROUNDING)
        if part is not None:
            return not (part == OUT_OF and _comes_out(node))
        if operation(node) not in _MOVES or not node.inputs or node.inputs[0] is None:
            return False
        node = node.inputs[0].producer()
    return False


_MOVES: Final = frozenset(
    {
        "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad",
        "Reshape", "Resize", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose",
        "Unsqueeze",
    }
)  # fmt: skip
"""What ONNX computes on whole numbers as on others, so that a rounding may hold it."""


def _comes_out(node: ir.Node) -> bool:
    """Tell whether a part `OUT_OF` is the last: the multiplication by the scale."""
    return operation(node) == "Mul"


def behind_rounding(value: ir.Value) -> ir.Value:
    """Return a tensor rounded, where one rounding to constant steps is all that reads it."""
    current = value
    while len(uses := tuple(current.uses())) == 1 and not current.is_graph_output():
        node = uses[0].node
        if not is_rounding(node) or (current is value and node.metadata_props[ROUNDING] != INTO):
            break
        current = node.outputs[0]
        if node.metadata_props[ROUNDING] == OUT_OF and _comes_out(node):
            return current
    return value


def before_rounding_to_steps(value: ir.Value) -> ir.Value:
    """Return what a tensor was before it was rounded; the tensor itself where it was not."""
    node = value.producer()
    if node is None or not is_rounding(node):
        return value
    while node is not None and is_rounding(node):
        data = node.inputs[0]
        assert data is not None
        value, node = data, data.producer()
    return value
