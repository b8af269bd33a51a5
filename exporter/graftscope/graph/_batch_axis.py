"""Where the batch lies behind a node, for graphs whose batch is fixed at 1.

Rules
1. A tensor that depends on an input has the batch on one axis, whose extent is that at a batch of
   1, times B. It is B but where heads or tokens were merged with the batch.
2. An operation keeps samples apart if it neither sums over that axis, nor picks from it, nor
   moves elements across it.
3. What does not depend on an input is the same for every sample, so it may only be broadcast
   against the batch.

It decides for one node and changes nothing; an operation that is not listed is in the way.
"""

from collections.abc import Callable, Mapping
from typing import Final

import onnx_ir as ir

from graftscope.graph import _batch_moves as moves
from graftscope.graph import _batch_products as products
from graftscope.graph._batch_shared import (
    Axes,
    aligned_axis,
    constant_ints,
    data_of,
    extents_of,
    in_the_way,
)

_Rule = Callable[[ir.Node, Axes], int]

_PER_ELEMENT = """
    Abs Add And Cast CastLike Ceil Celu Clip Cos Div Dropout Elu Equal Erf Exp Floor Gelu Greater
    GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max
    Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus
    Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
"""
_PER_SAMPLE = """
    AveragePool BatchNormalization Conv ConvTranspose DepthToSpace GlobalAveragePool GlobalMaxPool
    GroupNormalization InstanceNormalization LRN LpPool MaxPool Resize SpaceToDepth Upsample
"""
_ELEMENTWISE: Final = frozenset(_PER_ELEMENT.split())
_SAMPLE_BY_SAMPLE: Final = frozenset(_PER_SAMPLE.split())
_ALONG_ONE_AXIS: Final = frozenset({"Hardmax", "LogSoftmax", "Softmax"})
_NORMALISES_LAST: Final = frozenset({"LayerNormalization", "RMSNormalization"})


def axis_behind(node: ir.Node, axes: Axes) -> int:
    """Return the batch's axis in what a node computes.

    Args:
        node: A node that reads at least one tensor with a batch.
        axes: The batch's axis of the tensors above it.

    Raises:
        FixedBatchError: If the node does not keep samples apart, or is not known to.
    """
    if node.op_type in _ELEMENTWISE:
        return _broadcast(node, axes)
    if node.op_type in _SAMPLE_BY_SAMPLE:
        return _sample_by_sample(node, axes)
    if node.op_type.startswith("Reduce"):
        return _reduced(node, axes)
    rule = _RULES.get(node.op_type)
    if rule is None:
        raise in_the_way(node, "it is not known to keep samples apart")
    return rule(node, axes)


def _broadcast(node: ir.Node, axes: Axes) -> int:
    given = [value for value in node.inputs if value is not None]
    found = {aligned_axis(value, axes[value], node) for value in given if value in axes}
    if len(found) != 1:
        raise in_the_way(node, "it brings the batch of one tensor onto another axis of a second")
    (axis,) = found
    rank = len(extents_of(node.outputs[0], node))
    for value in given:
        extents = extents_of(value, node)
        at = axis - rank + len(extents)
        wanted = extents_of(node.outputs[0], node)[axis] if value in axes else 1
        if at >= 0 and extents[at] != wanted:
            raise in_the_way(node, f"its tensor {value.name!r} has {extents[at]} values there")
    return axis


def _sample_by_sample(node: ir.Node, axes: Axes) -> int:
    data, *others = node.inputs
    if any(value in axes for value in others if value is not None):
        raise in_the_way(node, "its weights depend on the sample")
    if data is None or axes[data] != 0:
        raise in_the_way(node, "the batch is not its first axis")
    return 0


def _reduced(node: ir.Node, axes: Axes) -> int:
    data = data_of(node, axes)
    rank = len(extents_of(data, node))
    given = len(node.inputs) > 1 and node.inputs[1] is not None
    every = set() if node.attributes.get_int("noop_with_empty_axes", 0) else set(range(rank))
    gone = {axis % rank for axis in constant_ints(node, 1)} if given else every
    if axes[data] in gone:
        raise in_the_way(node, "it sums over the batch")
    if node.attributes.get_int("keepdims", 1):
        return axes[data]
    return axes[data] - sum(1 for axis in gone if axis < axes[data])


def _along_one_axis(node: ir.Node, axes: Axes) -> int:
    data = data_of(node, axes)
    if node.attributes.get_int("axis", -1) % len(extents_of(data, node)) == axes[data]:
        raise in_the_way(node, "it runs over the batch")
    return axes[data]


def _normalised(node: ir.Node, axes: Axes) -> int:
    data = data_of(node, axes)
    if axes[data] >= node.attributes.get_int("axis", -1) % len(extents_of(data, node)):
        raise in_the_way(node, "it runs over the batch")
    return axes[data]


_RULES: Final[Mapping[str, _Rule]] = {
    **dict.fromkeys(_ALONG_ONE_AXIS, _along_one_axis),
    **dict.fromkeys(_NORMALISES_LAST, _normalised),
    "Concat": moves.concatenated,
    "Einsum": products.einsum,
    "Expand": moves.expanded,
    "Flatten": moves.flattened,
    "Gather": moves.gathered,
    "Gemm": products.gemm,
    "MatMul": products.matmul,
    "OneHot": moves.one_hot,
    "Pad": moves.padded,
    "Slice": moves.sliced,
    "Split": moves.split,
    "Squeeze": moves.squeezed,
    "Tile": moves.tiled,
    "Transpose": moves.transposed,
    "Unsqueeze": moves.unsqueezed,
}
