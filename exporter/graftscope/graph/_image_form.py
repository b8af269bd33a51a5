"""Images at the ends of a graph in plain form: (B, C, H, W) in float32, what networks compute in.

Files have them in other layouts and types too: channels last (B, H, W, C), and whole numbers from 0
to 255. Every function changes a graph in place; which image has which form is for others to tell.
The image, and an input, keep their names.
"""

from typing import Final

import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._tensors import image_of, name_of
from graftscope.graph._values import free_name, insert, typed_input

TO_FIRST: Final = (0, 3, 1, 2)
"""From (B, H, W, C) to (B, C, H, W)."""
TO_LAST: Final = (0, 2, 3, 1)

_ROUNDS: Final = frozenset({"Cast", "Floor", "Round"})
_MOVES: Final = frozenset({"Identity", "Transpose"})


def rearranges(node: ir.Node | None, order: tuple[int, ...]) -> bool:
    """Tell whether a node puts the axes of a tensor into that order."""
    return (
        node is not None
        and operation(node) == "Transpose"
        and tuple(node.attributes.get_ints("perm", ())) == order
    )


def image_channels_first(graph: ir.Graph) -> None:
    """Let an image (B, H, W, C) be (B, C, H, W)."""
    image, name = image_of(graph), name_of(image_of(graph))
    node = image.producer()
    assert node is not None
    data = node.inputs[0]
    if rearranges(node, TO_LAST) and data is not None and data.producer() is not None:
        # The network's own image, before it was turned.
        graph.outputs[0] = data
        image.name = free_name(graph, f"{name}_channels_last")
        if not image.uses():
            graph.remove(node)
    else:
        image.name = free_name(graph, f"{name}_channels_last")
        graph.outputs[0] = _append(graph, "Transpose", image, {"perm": TO_FIRST})
    graph.outputs[0].name, graph.outputs[0].type = name, image.type
    graph.outputs[0].shape = _rearranged(image.shape, TO_FIRST)


def image_in_float32(graph: ir.Graph) -> None:
    """Let an image of whole numbers be one of float32, by a Cast behind it."""
    image, name = image_of(graph), name_of(image_of(graph))
    image.name = free_name(graph, f"{name}_whole")
    graph.outputs[0] = _append(graph, "Cast", image, {"to": int(ir.DataType.FLOAT)})
    graph.outputs[0].name, graph.outputs[0].shape = name, image.shape
    graph.outputs[0].dtype = ir.DataType.FLOAT


def before_rounding(graph: ir.Graph) -> ir.Value | None:
    """Return what an image of whole numbers is before it is rounded; None where nothing tells."""
    value: ir.Value | None = image_of(graph)
    while value is not None and (node := value.producer()) is not None:
        if operation(node) not in _MOVES | {"Cast"}:
            return None
        value = node.inputs[0]
        if value is not None and value.dtype is ir.DataType.FLOAT:
            return value
    return None


def image_without_rounding(graph: ir.Graph) -> None:
    """Take out what rounds at the end of a graph, where `before_rounding` gives a tensor."""
    image = image_of(graph)
    path: list[ir.Value] = []
    value: ir.Value | None = image
    while value is not None and (node := value.producer()) is not None:
        if operation(node) not in _MOVES | _ROUNDS | {"Clip"}:
            break
        path.append(value)
        value = node.inputs[0]
    for each in path:
        each.dtype = ir.DataType.FLOAT
    for each in reversed(path):
        node = each.producer()
        assert node is not None
        if operation(node) in _ROUNDS:
            _bypass(graph, node)


def input_channels_first(graph: ir.Graph, value: ir.Value) -> None:
    """Let an input (B, H, W, C) be (B, C, H, W)."""
    plain = typed_input(name_of(value), value.dtype or ir.DataType.FLOAT, ())
    plain.shape = _rearranged(value.shape, TO_FIRST)
    inner = _replace_input(graph, value, plain, ir.node("Transpose", [plain], {"perm": TO_LAST}))
    for use in tuple(inner.uses()):
        turned = use.node
        if rearranges(turned, TO_FIRST) and not turned.outputs[0].is_graph_output():
            turned.outputs[0].replace_all_uses_with(plain)
            graph.remove(turned, safe=True)
    if not inner.uses():
        node = inner.producer()
        assert node is not None
        graph.remove(node, safe=True)


def _replace_input(graph: ir.Graph, old: ir.Value, new: ir.Value, node: ir.Node) -> ir.Value:
    """Put an input and a node that reads it in the place of an input; return the node's output."""
    name = free_name(graph, f"{name_of(old)}_as_in_file")
    graph.inputs[graph.inputs.index(old)] = new
    first = next(iter(graph))
    inner = insert(graph, first, node, name)
    inner.type, inner.shape = old.type, old.shape
    old.replace_all_uses_with(inner, replace_graph_outputs=True)
    return inner


def _append(graph: ir.Graph, kind: str, value: ir.Value, attributes: object) -> ir.Value:
    node = ir.node(kind, [value], attributes)  # type: ignore[arg-type]  # checked by onnx-ir
    graph.append(node)
    node.name = free_name(graph, f"{name_of(value)}_{kind.lower()}")
    return node.outputs[0]


def _bypass(graph: ir.Graph, node: ir.Node) -> None:
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    name, was_image = name_of(result), result.is_graph_output()
    result.replace_all_uses_with(data, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    if was_image:
        data.name = name


def _rearranged(shape: ir.Shape | None, order: tuple[int, ...]) -> ir.Shape | None:
    return None if shape is None else ir.Shape([shape[axis] for axis in order])
