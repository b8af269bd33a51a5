"""What a graph computes from constants alone is computed once, before any rule looks at it.

Exporters write out how a constant came about: the amounts of a reflection padding, the targets of a
resizing. Rules ask for numbers, and many operations do. Left as they are: what is drawn at random,
what is quantised, since it is stored in fewer bits for a reason, and what is large.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter._sessions import CpuSession
from graftscope.exporter.errors import ProofError
from graftscope.graph import operation, upper_half

_MOST_BYTES: Final = 2**20
"""Of one constant: a blur of 512 channels has 32 KiB, weights are best left where they lie."""

_IR_VERSION: Final = 8
"""In older ones a session wants every initializer among the inputs."""

_LEFT: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"}
    | {"RandomUniformLike", "DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"}
)
_BODIES: Final = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def fold_constants(model: ir.Model, path: Path) -> None:
    """Make initializers of what is computed from constants alone.

    Args:
        model: A graph in plain form; changed in place. What ONNX Runtime cannot compute by itself
            is left as it is.
        path: The file it was read from, with its weights.
    """
    graph = model.graph
    constant = _computed_constants(graph)
    wanted = [
        value for value in constant if _is_small(value) and _is_read_by_others(value, constant)
    ]
    if not wanted:
        return
    for value, array in zip(wanted, _computed(model, path, wanted), strict=True):
        if array is not None and array.nbytes <= _MOST_BYTES:
            _replace(graph, value, array)
    ir.passes.common.RemoveUnusedNodesPass()(model)


def fold_shapes(model: ir.Model) -> None:
    """Make initializers of the shapes that a graph asks for and that are the same in every run.

    Args:
        model: A graph in plain form; changed in place. Its batch is fixed.
    """
    for node in list(model.graph):
        data = node.inputs[0] if operation(node) == "Shape" else None
        if data is None or data.shape is None or not data.shape.is_static():
            continue
        start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", None)
        extents = np.array(data.shape.numpy()[start:end], np.int64)
        _replace(model.graph, node.outputs[0], extents)
    ir.passes.common.RemoveUnusedNodesPass()(model)


def _computed_constants(graph: ir.Graph) -> dict[ir.Value, None]:
    """Return what nodes compute from constants alone, in the graph's order."""
    known = set(graph.initializers.values())
    found: dict[ir.Value, None] = {}
    for node in graph:
        if _may_fold(node) and all(each is None or each in known for each in node.inputs):
            known.update(node.outputs)
            found.update(dict.fromkeys(node.outputs))
    return found


def _may_fold(node: ir.Node) -> bool:
    bodies = any(each.type in _BODIES for each in node.attributes.values())
    return not node.domain and operation(node) not in _LEFT and not bodies


def _is_read_by_others(value: ir.Value, constant: Iterable[ir.Value]) -> bool:
    readers = [use.node for use in value.uses()]
    return any(set(node.outputs).isdisjoint(constant) for node in readers)


def _is_small(value: ir.Value) -> bool:
    """Tell whether nothing that is known of a constant says that it is large."""
    if value.shape is None or not value.shape.is_static() or value.dtype is None:
        return True
    return float(np.prod(value.shape.numpy())) * value.dtype.itemsize <= _MOST_BYTES


def _computed(
    model: ir.Model, path: Path, wanted: list[ir.Value]
) -> list[NDArray[np.generic] | None]:
    """Return arrays; None for sequences, and for all where they cannot be computed."""
    names = [str(value.name) for value in wanted]
    part = upper_half(model, names)
    part.ir_version = max(part.ir_version, _IR_VERSION)
    content = ir.to_proto(part).SerializeToString()
    try:
        found = CpuSession(path, optimised=False, content=content).run({})
    except ProofError:
        return [None] * len(wanted)  # whoever runs the whole file is told why
    return [found[name] if isinstance(found[name], np.ndarray) else None for name in names]


def _replace(graph: ir.Graph, value: ir.Value, array: NDArray[np.generic]) -> None:
    """Put an initializer of the same name in a computed tensor's place."""
    node, name = value.producer(), value.name
    if node is None or value.is_graph_output():
        return
    constant = ir.val(str(name), const_value=ir.tensor(array, name=name))
    value.name = None
    value.replace_all_uses_with(constant)
    graph.register_initializer(constant)
