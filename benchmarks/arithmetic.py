"""How many multiply-adds a hybrid needs, whatever computes it.

Swapping channel c changes the first linear operation after the cut by that channel's share alone;
the whole of it is needed once a pair, as both originals are. So a hybrid needs the share, and all
that follows in full. A multiply-add is two floating-point operations.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from benchmarks.setting import Setting
from graftscope.graph import cost_of

_LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# What only moves values between the layer and the operation that reads it.
_MOVES = ("Flatten", "Identity", "Pad", "Reshape", "Squeeze", "Transpose", "Unsqueeze")

Shape = Sequence[int]


@dataclass(frozen=True)
class Needed:
    """Multiply-adds.

    Attributes:
        hybrid: that each hybrid needs.
        pair: of the first operation in full, needed once a pair.
        unshared: of a hybrid where nothing is shared: the whole of what follows the cut.
    """

    hybrid: float
    pair: float
    unshared: float


def needed(setting: Setting) -> Needed:
    """What elementary influence needs at a layer."""
    model = ir.load(setting.model.folder / setting.layer.downstream)
    return needed_below(model, setting.layer.tensor, setting.layer.channels)


def needed_below(model: ir.Model, activation: str, channels: int) -> Needed:
    """What swaps of single channels need.

    Args:
        model: a downstream half of which only the batch is free; changed.
        activation: its input that is edited.
        channels: C of that input.
    """
    unshared = cost_of(model).mflop * 1e6 / 2
    edited = next(value for value in model.graph.inputs if value.name == activation)
    # A multiply-add counts where its node stands, so what is left without the first ones follows.
    model.graph.remove(first_linear(edited), safe=False)
    after = cost_of(model).mflop * 1e6 / 2
    first = unshared - after
    return Needed(after + first / channels, first, unshared)


def first_linear(value: ir.Value) -> list[ir.Node]:
    """The linear operations that read a value, directly or through nodes that only move it."""
    found: list[ir.Node] = []
    for node, index in value.uses():
        if node.op_type in _LINEAR and index == 0:
            found.append(node)
        elif node.op_type in _MOVES and index == 0:
            found += first_linear(node.outputs[0])
    return found


def multiply_adds(operation: str, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """Multiply-adds of one run of an operation; 0 for what is not linear.

    Args:
        operation: its name in ONNX, or of a fused kind of it (FusedConv, FusedGemm).
        inputs: shapes of its inputs, the weights second.
        outputs: shapes of its outputs.
    """
    kind = operation.removeprefix("Fused")
    if kind == "Conv":
        return math.prod(outputs[0]) * math.prod(inputs[1][1:])
    if kind == "ConvTranspose":
        return math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if kind in ("Gemm", "MatMul"):
        # The sum is over what the first factor has more than the output's rows.
        columns = outputs[0][-1]
        return math.prod(outputs[0]) * (math.prod(inputs[1]) // columns // _batch(kind, inputs[1]))
    return 0


def _batch(kind: str, weights: Shape) -> int:
    return math.prod(weights[:-2]) if kind == "MatMul" else 1
