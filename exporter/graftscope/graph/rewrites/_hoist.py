"""What does not depend on the swapped channels, in a graph of its own: once a batch of pairs."""

import onnx_ir as ir

from graftscope.graph._shapes import infer_missing_shapes
from graftscope.graph._walk import affected_by, constants_of, inputs_of
from graftscope.graph.rewrites._build import clean

_PREFIX = "graftscope.kept."


def hoist(model: ir.Model, varying: str) -> tuple[ir.Model, ir.Model]:
    """Divides a graph into what is the same for every run and what is not.

    Args:
        model: the whole; it stays as it is, but for names and shapes that were missing.
        varying: name of the input that changes from run to run.

    Returns:
        The part that does not depend on it, and the rest, which reads what the first gives by the
        same names.
    """
    infer_missing_shapes(model)
    graph = model.graph
    inputs = [value for value in graph.inputs if value.name == varying]
    affected = affected_by(graph, inputs)
    fixed = constants_of(graph)
    fixed |= {x for node in graph if not node.inputs for x in node.outputs}
    crossing: dict[ir.Value, None] = {}
    for node in graph:
        if affected.isdisjoint(node.outputs):
            continue
        for value in inputs_of(node):
            if value not in affected and value not in fixed and not value.is_graph_input():
                crossing[value] = None
    for i, value in enumerate(crossing):
        value.name = f"{_PREFIX}{i}"
    names = [str(value.name) for value in crossing]
    return _only(model, names), _without(model, names)


def _only(model: ir.Model, names: list[str]) -> ir.Model:
    part = model.clone()
    graph = part.graph
    by_name = {value.name: value for node in graph for value in node.outputs}
    graph.outputs[:] = [by_name[name] for name in names]
    clean(part)
    graph.inputs[:] = [value for value in graph.inputs if value.uses()]
    return part


def _without(model: ir.Model, names: list[str]) -> ir.Model:
    part = model.clone()
    graph = part.graph
    by_name = {value.name: value for node in graph for value in node.outputs}
    for name in names:
        old = by_name[name]
        new = ir.Value(name=name, type=old.type, shape=old.shape)
        old.name = None
        for use in tuple(old.uses()):
            use.node.replace_input_with(use.idx, new)
        graph.inputs.append(new)
    clean(part)
    graph.inputs[:] = [value for value in graph.inputs if value.uses()]
    return part
