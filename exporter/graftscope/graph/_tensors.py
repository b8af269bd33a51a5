"""A graph's tensors: by name, and which depend on which.

Walks go over the nodes of a graph, bodies of If and Loop included. It decides nothing: what a layer
is, or where a cut lies, is for the modules that ask.
"""

from collections.abc import Container, Iterable, Iterator

import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph.errors import GraphError, UnknownTensorError

_TENSORS_SHOWN = 12


def inputs_of(node: ir.Node) -> Iterator[ir.Value]:
    """Yield what a node reads, also what the graphs in its attributes read from outside."""
    yield from (value for value in node.inputs if value is not None)
    for attribute in node.attributes.values():
        for body in _bodies(attribute):
            yield from _read_from_outside(body)


def affected_by(graph: ir.Graph, sources: Iterable[ir.Value]) -> set[ir.Value]:
    """Return the sources and every tensor that is computed from one of them."""
    affected = set(sources)
    for node in graph:
        if not affected.isdisjoint(inputs_of(node)):
            affected.update(node.outputs)
    return affected


def constants_of(graph: ir.Graph, also: Iterable[ir.Value] = ()) -> set[ir.Value]:
    """Return the initializers, the tensors in `also`, and what is computed from these alone."""
    constants = {*graph.initializers.values(), *also}
    for node in graph:
        if constants.issuperset(inputs_of(node)):
            constants.update(node.outputs)
    return constants


def needed_for(
    results: Iterable[ir.Value], through: Container[ir.Value] | None = None
) -> set[ir.Value]:
    """Return the results and every tensor that they are computed from.

    Where `through` is given, what a tensor is computed from counts only if that tensor is in it.
    """
    needed: set[ir.Value] = set()
    waiting = list(results)
    while waiting:
        value = waiting.pop()
        if value in needed:
            continue
        needed.add(value)
        node = value.producer()
        if node is not None and (through is None or value in through):
            waiting.extend(inputs_of(node))
    return needed


def image_of(graph: ir.Graph) -> ir.Value:
    """Return the graph's only output.

    Args:
        graph: A generator's graph.

    Raises:
        GraphError: If it has none or several.
    """
    if len(graph.outputs) != 1:
        names = ", ".join(name_of(value) for value in graph.outputs) or "none"
        raise GraphError(f"a generator has one output, the image; this graph's outputs: {names}")
    return graph.outputs[0]


def tensor_named(graph: ir.Graph, name: str) -> ir.Value:
    """Return the tensor of that name.

    Raises:
        UnknownTensorError: If there is none.
    """
    for value in tensors_of(graph):
        if value.name == name:
            return value
    known = [name_of(value) for node in graph for value in node.outputs]
    shown = ", ".join(known[:_TENSORS_SHOWN]) + (", ..." if len(known) > _TENSORS_SHOWN else "")
    raise UnknownTensorError(f"tensor {name!r} is not in the graph; it computes: {shown}")


def tensors_of(graph: ir.Graph) -> Iterator[ir.Value]:
    """Yield every tensor: inputs, initializers, then what the nodes compute, in order."""
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def name_of(value: ir.Value) -> str:
    """Return a tensor's name; every tensor of a graph read from a file has one."""
    return value.name or ""


def title(node: ir.Node) -> str:
    """Return a node's name, or its first output's where it has none, and its operation."""
    return f"{node.name or node.outputs[0].name or ''!r} ({operation(node)})"


def _bodies(attribute: ir.Attr) -> Iterable[ir.Graph]:
    if attribute.type == ir.AttributeType.GRAPH:
        return (attribute.as_graph(),)
    if attribute.type == ir.AttributeType.GRAPHS:
        return attribute.as_graphs()
    return ()


def _read_from_outside(body: ir.Graph) -> Iterator[ir.Value]:
    own = set(tensors_of(body))
    for node in body:
        yield from (value for value in inputs_of(node) if value not in own)
    yield from (value for value in body.outputs if value not in own)
