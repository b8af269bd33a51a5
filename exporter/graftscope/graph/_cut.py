"""Cut a generator at an activation into an upstream and a downstream half.

Rules
1. A cut is a set of tensors: the activation, and the carried tensors that cross beside it (a
   skip connection, a latent that a later block reads).
2. The downstream half computes again what depends on the activation, on constants, or on the
   batch's extent alone; every other tensor that it reads is carried.
3. A tensor keeps its name in both halves. A graph input that crosses is an input of both; the
   upstream half does not repeat it among its outputs.
4. Each sample of a batch is on its own, so what crosses has the batch as its first axis.
5. A half holds only what it needs, in the order of the whole graph.
"""

from dataclasses import dataclass

import onnx_ir as ir

from graftscope.graph._batch import ask_activation_instead, asks_for_batch
from graftscope.graph._shapes import has_batch_axis, infer_missing_shapes
from graftscope.graph._walk import (
    affected_by,
    image_of,
    inputs_of,
    name_of,
    needed_for,
    tensor_named,
    tensors_of,
)
from graftscope.graph.errors import CutError, RandomGraphError

_RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


@dataclass(frozen=True)
class Cut:
    """A generator in two halves.

    Attributes:
        upstream: Those of the graph's inputs that it needs -> the activation, then the carried
            tensors that are no graph inputs.
        downstream: The activation, then the carried tensors -> the image.
        activation: The activation's name.
        carried: Names of the carried tensors, graph inputs first, in the graph's order.
    """

    upstream: ir.Model
    downstream: ir.Model
    activation: str
    carried: tuple[str, ...]


def cut(model: ir.Model, activation: str) -> Cut:
    """Cut a generator at an activation; downstream after upstream is the generator again.

    Args:
        model: The generator; its graph stays as it is, but for shapes that were missing. The
            halves share its initializers' data.
        activation: Name of the tensor to cut at, such as `Layer.tensor`.

    Returns:
        The two halves.

    Raises:
        UnknownTensorError: If the graph has no such tensor.
        CutError: If nothing could be edited there, or a tensor stands in the way.
        RandomGraphError: If the graph draws random numbers by itself.
    """
    graph = model.graph
    _refuse_randomness(graph)
    infer_missing_shapes(model)
    value = tensor_named(graph, activation)
    _refuse_unless_inside(graph, value)
    below = _below(graph, value)
    _refuse_without_batch_axis(value, below.carried)
    crossing = [value, *(each for each in below.carried if each not in graph.inputs)]
    return Cut(
        upstream=_upstream(model, crossing),
        downstream=_downstream(model, value, below),
        activation=activation,
        carried=tuple(name_of(each) for each in below.carried),
    )


@dataclass(frozen=True)
class _Below:
    """What the downstream half is made of, in the order of the whole graph."""

    nodes: list[ir.Node]
    initializers: list[ir.Value]
    carried: list[ir.Value]
    asking: set[ir.Node]
    """Nodes that read the batch's extent from a tensor above the cut."""


def _below(graph: ir.Graph, activation: ir.Value) -> _Below:
    affected = affected_by(graph, [activation])
    asking = {node for node in graph if _asks_above(node, graph, affected)}
    asked = {node.outputs[0] for node in asking}
    computed = (affected | _constants(graph, asked)) - {activation}
    needed = needed_for([image_of(graph)], through=computed - asked)
    return _Below(
        nodes=[node for node in graph if not (needed & computed).isdisjoint(node.outputs)],
        initializers=[value for value in graph.initializers.values() if value in needed],
        carried=[
            value
            for value in tensors_of(graph)
            if value in needed and value not in computed and value is not activation
        ],
        asking=asking,
    )


def _asks_above(node: ir.Node, graph: ir.Graph, affected: set[ir.Value]) -> bool:
    return asks_for_batch(node, graph) and node.inputs[0] not in affected


def _constants(graph: ir.Graph, asked: set[ir.Value]) -> set[ir.Value]:
    """Return the tensors that depend on constants and on the batch's extent alone."""
    constants = {*graph.initializers.values(), *asked}
    for node in graph:
        if constants.issuperset(inputs_of(node)):
            constants.update(node.outputs)
    return constants


def _upstream(model: ir.Model, crossing: list[ir.Value]) -> ir.Model:
    graph = model.graph
    needed = needed_for(crossing)
    return _part(
        model,
        inputs=[value for value in graph.inputs if value in needed],
        outputs=crossing,
        nodes=[node for node in graph if not needed.isdisjoint(node.outputs)],
        initializers=[value for value in graph.initializers.values() if value in needed],
    )


def _downstream(model: ir.Model, activation: ir.Value, below: _Below) -> ir.Model:
    # A node asking above the cut still reads its tensor here, until its copy is replaced.
    crossing = [activation, *below.carried]
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
            ask_activation_instead(copy, half.graph.inputs[0])
    for _ in above:
        half.graph.inputs.pop()
    return half


def _part(
    model: ir.Model,
    *,
    inputs: list[ir.Value],
    outputs: list[ir.Value],
    nodes: list[ir.Node],
    initializers: list[ir.Value],
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


def _refuse_randomness(graph: ir.Graph) -> None:
    for node in ir.traversal.RecursiveGraphIterator(graph):
        if node.op_type in _RANDOM:
            raise RandomGraphError(
                f"node {node.name!r} ({node.op_type}) draws random numbers inside the graph; "
                "they must come from an input, so that an original and its hybrid share them"
            )


def _refuse_unless_inside(graph: ir.Graph, value: ir.Value) -> None:
    image = image_of(graph)
    if value in graph.inputs:
        reason = "is an input of the graph"
    elif value is image:
        reason = "is the image itself"
    elif value in _constants(graph, set()):
        reason = "is the same for every latent"
    elif value not in needed_for([image]):
        reason = f"does not reach the image {name_of(image)!r}"
    else:
        return
    raise CutError(f"tensor {name_of(value)!r} cannot be cut at: it {reason}")


def _refuse_without_batch_axis(activation: ir.Value, carried: list[ir.Value]) -> None:
    in_the_way = [value for value in [activation, *carried] if not has_batch_axis(value)]
    if in_the_way:
        tensors = ", ".join(f"{name_of(value)!r} {value.shape}" for value in in_the_way)
        raise CutError(
            f"the graph cannot be cut at {name_of(activation)!r}: these tensors would cross the "
            f"cut, and their first axis is not the batch: {tensors}"
        )
