"""Shape nodes across a cut: the batch is the same everywhere, so it can be read anywhere.

A graph that asks an upstream tensor for its shape, to learn the batch's extent, need not carry
that tensor: the activation tells as much.
"""

import onnx_ir as ir

from graftscope.graph._shapes import static_extents
from graftscope.graph._walk import name_of


def asks_for_batch(node: ir.Node, graph: ir.Graph) -> bool:
    """Tell whether a node reads the shape of a tensor of which only the batch is not fixed."""
    value = node.inputs[0] if node.op_type == "Shape" else None
    if value is None or not value.shape or static_extents(value) is None:
        return False
    batch = _batch_of(graph)
    return batch is not None and value.shape[0] == batch


def ask_activation_instead(node: ir.Node, activation: ir.Value) -> None:
    """Replace a node that `asks_for_batch` by nodes that read the batch from the activation."""
    graph, value, result = node.graph, node.inputs[0], node.outputs[0]
    assert isinstance(graph, ir.Graph)
    assert value is not None
    name = name_of(result)
    zero = _constant(graph, f"{name}_axis", [0])
    rest = _constant(graph, f"{name}_extents", list(static_extents(value) or ()))
    shape = ir.node("Shape", [activation], name=f"{name}_shape")
    batch = ir.node("Gather", [shape.outputs[0], zero], name=f"{name}_batch")
    whole = ir.node("Concat", [batch.outputs[0], rest], {"axis": 0}, name=f"{name}_whole")
    bounds = [_constant(graph, f"{name}_{key}", [at]) for key, at in _range_of(node)]
    part = ir.node("Slice", [whole.outputs[0], *bounds], name=f"{name}_part")
    graph.insert_before(node, [shape, batch, whole, part])
    for made, suffix in ((shape, "shape"), (batch, "batch"), (whole, "whole"), (part, "part")):
        made.outputs[0].name = f"{name}_{suffix}"
    result.replace_all_uses_with(part.outputs[0], replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _batch_of(graph: ir.Graph) -> ir.SymbolicDim | None:
    """Return the free first extent that the graph's inputs have in common."""
    batches = {value.shape[0] for value in graph.inputs if value.shape}
    batch = batches.pop() if len(batches) == 1 else None
    return batch if isinstance(batch, ir.SymbolicDim) and batch.value else None


def _range_of(node: ir.Node) -> list[tuple[str, int]]:
    rank = len(node.inputs[0].shape or ()) if node.inputs[0] is not None else 0
    return [
        ("start", node.attributes.get_int("start", 0)),
        ("end", node.attributes.get_int("end", rank)),
    ]


def _constant(graph: ir.Graph, name: str, numbers: list[int]) -> ir.Value:
    tensor = ir.tensor(numbers, dtype=ir.DataType.INT64, name=name)
    value = ir.val(name, const_value=tensor)
    graph.register_initializer(value)
    return value
