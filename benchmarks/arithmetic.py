"""What a hybrid needs at least, whatever computes it: arithmetic, and bytes that must move.

Swapping channel c changes the first linear operation after the cut by that channel's share alone,
or its group's behind a normalisation; the whole of it is needed once a pair, as both originals are.
Of a nearest upsampling, places that hold the same are multiplied once. So a hybrid needs the share,
and all that follows in full. A multiply-add is two floating-point operations.

Elementwise steps are counted where they are transcendental. What moves is read and written once:
the channel's group of both originals, what is kept of the first operation, the image of original
1, and the sums of the map and its squares. What lies in between may stay in registers.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from benchmarks.setting import Setting
from graftscope.graph import cost_of
from graftscope.graph.rewrites import FOLD, UPSAMPLE, convolutions_behind, rewrite

_LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# What only moves values between the layer and the operation that reads it.
_MOVES = ("Flatten", "Identity", "Pad", "Reshape", "Squeeze", "Transpose", "Unsqueeze")

TRANSCENDENTAL = {
    "Elu": "Exp",
    "Erf": "Erf",
    "Exp": "Exp",
    "Gelu": "Erf",
    "Mish": "Tanh",
    "Selu": "Exp",
    "Sigmoid": "Sigmoid",
    "Softmax": "Exp",
    "Softplus": "Exp",
    "Swish": "Sigmoid",
    "Tanh": "Tanh",
}
"""Operations -> the function that each of their elements takes."""

_FLOAT_BYTES = 4
# A map and its squares, read and written.
_PASSES_OF_SUMS = 4

Shape = Sequence[int]


@dataclass(frozen=True)
class Needed:
    """What is needed.

    Attributes:
        hybrid: multiply-adds of each hybrid.
        pair: multiply-adds of the first operation in full, needed once a pair.
        unshared: multiply-adds of a hybrid where nothing is shared: the whole of what follows.
        transcendentals: how many of each function a hybrid takes.
        moved_bytes: what a hybrid reads and writes.
        set_bytes: where it reads and writes: what is the same for all hybrids of a pair.
    """

    hybrid: float
    pair: float
    unshared: float
    transcendentals: dict[str, float]
    moved_bytes: float
    set_bytes: float


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
    unshared = _multiply_adds(model)
    rewrite(model, {FOLD, UPSAMPLE})
    whole = _multiply_adds(model)
    edited = next(value for value in model.graph.inputs if value.name == activation)
    behind = convolutions_behind(model.graph, edited) if _is_image(edited) else []
    groups = {found.convolution.node: found.mixed for found in behind}
    groups |= dict.fromkeys(first_linear(edited), 1)
    mixed = max(groups.values(), default=channels)
    kept_bytes = sum(_bytes(node.outputs[0]) for node in groups)
    functions = _transcendentals(model.graph)
    for found in behind:
        for node in {node for step in found.path for node in step.nodes}:
            if node.op_type in TRANSCENDENTAL:
                kind, left = TRANSCENDENTAL[node.op_type], 1 - found.mixed / channels
                functions[kind] -= _elements(node.outputs[0]) * left
    image, group = model.graph.outputs[0], mixed / channels * _bytes(edited)
    pixels = _bytes(image) / (_extents(image)[0] or 1)
    shared = _multiply_adds_of(model, groups)
    # A multiply-add counts where its node stands, so what is left without the first ones follows.
    hybrid = whole - sum(shared.values())
    hybrid += sum(full * groups[node] / channels for node, full in shared.items())
    return Needed(
        hybrid,
        sum(shared.values()),
        unshared,
        {kind: count for kind, count in functions.items() if count},
        2 * group + kept_bytes + _bytes(image) + _PASSES_OF_SUMS * pixels,
        2 * _bytes(edited) + kept_bytes + _bytes(image) + 2 * pixels,
    )


def _multiply_adds(model: ir.Model) -> float:
    return cost_of(model).mflop * 1e6 / 2


def _multiply_adds_of(model: ir.Model, nodes: Iterable[ir.Node]) -> dict[ir.Node, float]:
    """Of each of some nodes, which are removed."""
    found, before = {}, _multiply_adds(model)
    for node in nodes:
        model.graph.remove([node], safe=False)
        after = _multiply_adds(model)
        found[node], before = before - after, after
    return found


def _transcendentals(graph: ir.Graph) -> dict[str, float]:
    """How many of each function all nodes take for one sample."""
    found = dict.fromkeys(TRANSCENDENTAL.values(), 0.0)
    for node in graph:
        if node.op_type in TRANSCENDENTAL:
            found[TRANSCENDENTAL[node.op_type]] += _elements(node.outputs[0])
    return found


def _is_image(value: ir.Value) -> bool:
    return len(_extents(value)) == 3


def _extents(value: ir.Value) -> list[int]:
    """All but the batch; none where they are not known."""
    shape = [] if value.shape is None else list(value.shape)[1:]
    known = [extent for extent in shape if isinstance(extent, int)]
    return known if len(known) == len(shape) else []


def _elements(value: ir.Value) -> int:
    extents = _extents(value)
    return math.prod(extents) if extents else 0


def _bytes(value: ir.Value) -> int:
    return _elements(value) * _FLOAT_BYTES


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
