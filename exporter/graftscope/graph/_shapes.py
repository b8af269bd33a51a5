"""Extents of tensors and how their axes are arranged: which are fixed, and which is the batch.

Axis 0 of every tensor that depends on a latent is the batch, B; others are C channels, H and W
pixels, N tokens.
"""

from enum import Enum
from typing import Final

import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._tensors import tensors_of

_MAKES_SEQUENCES: Final = frozenset(
    {"SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceMap"}
    | {"SplitToSequence"}
)

_FLOATS: Final = ir.TensorType(ir.DataType.FLOAT)


def infer_missing_shapes(model: ir.Model) -> None:
    """Infer shapes with ONNX's own rules where a tensor has none; in place."""
    if any(value.shape is None or value.dtype is None for value in tensors_of(model.graph)):
        ir.passes.common.ShapeInferencePass()(model)
        _say_sequences(model.graph)


def _say_sequences(graph: ir.Graph) -> None:
    """Give sequences their type; onnx-ir's pass takes them for tensors."""
    for node in graph:
        value = node.outputs[0]
        if operation(node) in _MAKES_SEQUENCES:
            value.shape = None
            if is_tensor(value):
                read = node.inputs[0].type if node.inputs and node.inputs[0] else None
                value.type = ir.SequenceType(value.type or read or _FLOATS)


def static_extents(value: ir.Value) -> tuple[int, ...] | None:
    """Return the extents behind the batch axis.

    Args:
        value: A tensor of a graph.

    Returns:
        The extents, or None where one of them is not fixed, or no axis is known.
    """
    if value.shape is None or len(value.shape) == 0:
        return None
    extents = tuple(dim for dim in value.shape[1:] if isinstance(dim, int))
    return extents if len(extents) == len(value.shape) - 1 else None


def is_tensor(value: ir.Value) -> bool:
    """Tell whether a value may be a tensor: it is not said to be a sequence or an optional."""
    return value.type is None or isinstance(value.type, ir.TensorType | ir.SparseTensorType)


def has_batch_axis(value: ir.Value) -> bool:
    """Tell whether axis 0 is the batch: free, and no multiple of anything.

    Args:
        value: A tensor of a graph.
    """
    if not is_tensor(value) or value.shape is None or len(value.shape) == 0:
        return False
    first = value.shape[0]
    if isinstance(first, int):
        return False
    return first.value is None or first.value.isidentifier()


class LayerKind(Enum):
    """How a layer's axes are arranged; the value is their number."""

    VECTOR = 2
    """(B, C)"""
    TOKENS = 3
    """(B, N, C)"""
    MAP = 4
    """(B, C, H, W)"""


_KINDS = {kind.value: kind for kind in LayerKind}


def kind_of(value: ir.Value) -> LayerKind | None:
    """Return how a float tensor's axes are arranged; None where it cannot be a layer."""
    extents = static_extents(value)
    floats = value.dtype in (None, ir.DataType.FLOAT)
    return _KINDS.get(len(extents) + 1) if extents and floats else None
