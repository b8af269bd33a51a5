"""Everything above some tensors, as one graph: several layers are recorded in one pass.

Rules
1. The graph gives the tensors in the order in which they are asked for.
2. It holds only what they need, in the order of the whole graph, and asks for no other input.
3. A tensor keeps its name.
"""

from collections.abc import Sequence

import onnx_ir as ir

from graftscope.graph._shapes import infer_missing_shapes
from graftscope.graph._walk import needed_for, tensor_named


def upper_half(model: ir.Model, tensors: Sequence[str]) -> ir.Model:
    """The part of a generator that computes some tensors.

    Args:
        model: The generator; shapes that are missing are inferred and kept.
        tensors: Their names, at least one, none an input of the graph.

    Raises:
        UnknownTensorError: If the graph has no such tensor.
    """
    infer_missing_shapes(model)
    graph = model.graph
    outputs = [tensor_named(graph, name) for name in tensors]
    needed = needed_for(outputs)
    view = ir.GraphView(
        [value for value in graph.inputs if value in needed],
        outputs,
        nodes=[node for node in graph if not needed.isdisjoint(node.outputs)],
        initializers=[value for value in graph.initializers.values() if value in needed],
        opset_imports=dict(graph.opset_imports),
        name=graph.name,
    )
    return ir.Model(
        view.clone(),
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        functions=[function.clone() for function in model.functions.values()],
    )
