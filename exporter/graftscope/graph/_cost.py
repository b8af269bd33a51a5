"""What a graph costs: floating-point operations a sample, and weights.

Counted are convolutions and matrix products, a multiply-add as two operations; everything else
is small beside them. It must not know layers or cuts.
"""

import math
from dataclasses import dataclass

import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._shapes import infer_missing_shapes

_PRODUCTS = frozenset({"Gemm", "MatMul"})


@dataclass(frozen=True)
class Cost:
    """What one sample costs.

    Attributes:
        mflop: Millions of floating-point operations.
        parameters: Number of weights: elements of float initializers.
    """

    mflop: float
    parameters: int


def cost_of(model: ir.Model) -> Cost:
    """Count operations and weights.

    Args:
        model: A graph of which only the batch is free; shapes that are missing are inferred and
            kept. What has no fixed extents is not counted.
    """
    infer_missing_shapes(model)
    floats = [
        value.const_value.size
        for value in model.graph.initializers.values()
        if value.const_value is not None and value.const_value.dtype.is_floating_point()
    ]
    return Cost(sum(map(_operations, model.graph)) / 1e6, sum(floats))


def _operations(node: ir.Node) -> int:
    if operation(node) == "Conv":
        return 2 * _elements(node.outputs[0]) * math.prod(_extents(node.inputs[1])[1:])
    if operation(node) == "ConvTranspose":
        return 2 * _elements(node.inputs[0]) * math.prod(_extents(node.inputs[1])[1:])
    if operation(node) in _PRODUCTS:
        shared = _extents(node.inputs[0])
        first = bool(node.attributes.get_int("transA", 0))
        return 2 * _elements(node.outputs[0]) * (shared[0 if first else -1] if shared else 0)
    return 0


def _elements(value: ir.Value | None) -> int:
    """Return how many elements one sample has; 0 where that is not known."""
    extents = _extents(value)
    return math.prod(extents)


def _extents(value: ir.Value | None) -> list[int]:
    """Return the extents, the free batch as 1; of what is not known, one 0."""
    if value is None or value.shape is None:
        return [0]
    batch, *rest = value.shape if len(value.shape) else [1]
    known = [dim for dim in rest if isinstance(dim, int)]
    return [batch if isinstance(batch, int) else 1, *known] if len(known) == len(rest) else [0]
