"""How a tensor's axes are arranged, where it may be a layer.

Axes: B batch, C channels, H and W pixels, N tokens.
"""

from enum import Enum

import onnx_ir as ir

from graftscope.graph._shapes import static_extents


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
