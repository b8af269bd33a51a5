"""The halves of a generator as graphs of their own, and what a lower one is made of.

Shape nodes may lie across a cut: the batch is the same everywhere, so it can be read anywhere. A
graph that asks an upstream tensor for its shape, to learn the batch's extent, need not carry that
tensor: the activation tells as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._shapes import infer_missing_shapes, static_extents
from graftscope.graph._tensors import (
    affected_by,
    constants_of,
    image_of,
    name_of,
    needed_for,
    tensor_named,
    tensors_of,
)
from graftscope.graph._values import initializer, insert


def upper_half(model: ir.Model, tensors: Sequence[str]) -> ir.Model:
    """The part of a generator that computes some tensors, in the order in which they are asked for.

    It holds only what they need, in the order of the whole graph, and asks for no other input.

    Args:
        model: The generator; shapes that are missing are inferred and kept.
        tensors: Their names, at least one, none an input of the graph; they keep them.

    Raises:
        UnknownTensorError: If the graph has no such tensor.
    """
    infer_missing_shapes(model)
    return half_above(model, [tensor_named(model.graph, name) for name in tensors])


def half_above(model: ir.Model, outputs: Sequence[ir.Value]) -> ir.Model:
    """As `upper_half`, of tensors whose shapes are known."""
    graph = model.graph
    needed = needed_for(outputs)
    return _part(
        model,
        inputs=[value for value in graph.inputs if value in needed],
        outputs=outputs,
        nodes=[node for node in graph if not needed.isdisjoint(node.outputs)],
        initializers=[value for value in graph.initializers.values() if value in needed],
    )


@dataclass(frozen=True)
class Below:
    """What the downstream half is made of, in the order of the whole graph."""

    nodes: list[ir.Node]
    initializers: list[ir.Value]
    carried: list[ir.Value]
    asking: set[ir.Node]
    """Nodes that read the batch's extent from a tensor above the cut."""


def what_is_below(graph: ir.Graph, activations: Sequence[ir.Value]) -> Below:
    affected = affected_by(graph, activations)
    asking = {node for node in graph if _asks_above(node, graph, affected)}
    asked = {node.outputs[0] for node in asking}
    computed = (affected | constants_of(graph, asked)) - set(activations)
    needed = needed_for([image_of(graph)], through=computed - asked)
    made = needed & computed
    return Below(
        nodes=[node for node in graph if not made.isdisjoint(node.outputs)],
        initializers=[value for value in graph.initializers.values() if value in needed],
        carried=[
            value
            for value in tensors_of(graph)
            if value in needed and value not in computed and value not in activations
        ],
        asking=asking,
    )


def _asks_above(node: ir.Node, graph: ir.Graph, affected: set[ir.Value]) -> bool:
    return _asks_for_batch(node, graph) and node.inputs[0] not in affected


def lower_half(model: ir.Model, activations: Sequence[ir.Value], below: Below) -> ir.Model:
    """The graph from the activations, and what is carried, to the image."""
    # A node asking above the cut still reads its tensor here, until its copy is replaced.
    crossing = [*activations, *below.carried]
    asked = [node.inputs[0] for node in below.nodes if node in below.asking]
    above = [value for value in dict.fromkeys(asked) if value and value not in crossing]
    half = _part(
        model,
        inputs=[*crossing, *above],
        outputs=[image_of(model.graph)],
        nodes=below.nodes,
        initializers=below.initializers,
    )
    copies = list(zip(below.nodes, half.graph, strict=True))
    for node, copy in copies:
        if node in below.asking:
            _ask_activation_instead(copy, half.graph.inputs[0])
    for _ in above:
        half.graph.inputs.pop()
    return half


def _part(
    model: ir.Model,
    *,
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    nodes: Sequence[ir.Node],
    initializers: Sequence[ir.Value],
) -> ir.Model:
    view = ir.GraphView(
        inputs,
        outputs,
        nodes=nodes,
        initializers=initializers,
        opset_imports=dict(model.graph.opset_imports),
        name=model.graph.name,
    )
    return ir.Model(
        view.clone(),
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        functions=[function.clone() for function in model.functions.values()],
    )


def _asks_for_batch(node: ir.Node, graph: ir.Graph) -> bool:
    """Tell whether a node reads the shape of a tensor of which only the batch is not fixed."""
    value = node.inputs[0] if operation(node) == "Shape" else None
    if value is None or not value.shape or static_extents(value) is None:
        return False
    batch = _batch_of(graph)
    return batch is not None and value.shape[0] == batch


def _batch_of(graph: ir.Graph) -> ir.SymbolicDim | None:
    """Return the free first extent that the graph's inputs have in common."""
    batches = {value.shape[0] for value in graph.inputs if value.shape}
    batch = batches.pop() if len(batches) == 1 else None
    return batch if isinstance(batch, ir.SymbolicDim) and batch.value else None


def _ask_activation_instead(node: ir.Node, activation: ir.Value) -> None:
    """Replace a node that `_asks_for_batch` by nodes that read the batch from the activation."""
    graph, value, result = node.graph, node.inputs[0], node.outputs[0]
    assert isinstance(graph, ir.Graph)
    assert value is not None
    name = name_of(result)
    start, end = (
        node.attributes.get_int(key, default)
        for key, default in (("start", 0), ("end", len(value.shape or ())))
    )
    numbers = {"axis": [0], "extents": static_extents(value) or (), "start": [start], "end": [end]}
    zero, rest, *bounds = (
        initializer(graph, f"{name}_{what}", np.array(each, dtype=np.int64))
        for what, each in numbers.items()
    )
    shape = insert(graph, node, ir.node("Shape", [activation]), f"{name}_shape")
    batch = insert(graph, node, ir.node("Gather", [shape, zero]), f"{name}_batch")
    joined = ir.node("Concat", [batch, rest], {"axis": 0})
    whole = insert(graph, node, joined, f"{name}_whole")
    part = insert(graph, node, ir.node("Slice", [whole, *bounds]), f"{name}_part")
    result.replace_all_uses_with(part, replace_graph_outputs=True)
    graph.remove(node, safe=True)
