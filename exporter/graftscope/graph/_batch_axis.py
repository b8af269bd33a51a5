"""Where the batch lies behind a node, for graphs whose batch is fixed at 1.

Rules
1. A tensor that depends on an input has the batch on one axis, whose extent is that at a batch of
   1, times B. It is B but where heads or tokens were merged with the batch.
2. An operation keeps samples apart if it neither sums over that axis, nor picks from it, nor
   moves elements across it.
3. What does not depend on an input is the same for every sample, so it may only be broadcast
   against the batch.

It decides for one node and changes nothing; an operation that is not listed is in the way. Every
rule takes a node and the batch's axis of the tensors above it, returns the batch's axis in what the
node computes, and raises FixedBatchError where the node is in the way.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._tensors import title
from graftscope.graph.errors import FixedBatchError

Axes = Mapping[ir.Value, int]
"""The batch's axis of every tensor that has one."""

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


def is_elementwise(node: ir.Node) -> bool:
    """Tell whether a node works on every element by itself, and broadcasts what it reads."""
    return operation(node) in _ELEMENTWISE


def axis_behind(node: ir.Node, axes: Axes) -> int:
    """Return the batch's axis in what a node computes.

    Args:
        node: A node that reads at least one tensor with a batch.
        axes: The batch's axis of the tensors above it.

    Raises:
        FixedBatchError: If the node does not keep samples apart, or is not known to.
    """
    if is_elementwise(node):
        return _broadcast(node, axes)
    if operation(node) in _SAMPLE_BY_SAMPLE:
        return _sample_by_sample(node, axes)
    if operation(node).startswith("Reduce"):
        return _reduced(node, axes)
    rule = _RULES.get(operation(node))
    if rule is None:
        raise in_the_way(node, "it is not known to keep samples apart")
    return rule(node, axes)


def place_behind_reshape(node: ir.Node, axes: Axes, outer: int) -> tuple[int, int]:
    """Return where a Reshape puts the batch: its elements stay in their order.

    Args:
        node: A Reshape whose data have a batch.
        axes: The batch's axis of the tensors above it.
        outer: By how much the batch's axis of the data changes more slowly than the batch does:
            the number of tokens, where those were merged with the batch and come before it.

    Returns:
        The batch's axis and `outer`, of what is computed.

    Raises:
        FixedBatchError: If the batch would end up on no axis.
    """
    data = _data_of(node, axes)
    before, after = extents_of(data, node), extents_of(node.outputs[0], node)
    at = axes[data]
    if len(before) == len(after) and before[:at] == after[:at]:
        return at, outer  # heads or tokens are merged with the batch, or parted from it
    slower = math.prod(before[:at]) * outer
    places = []
    for axis, extent in enumerate(after):
        own, rest = divmod(slower, math.prod(after[:axis]))
        if own and not rest and extent % own == 0:
            places.append((extent // own, own, axis))
    if not places:
        raise in_the_way(node, f"it splits the batch up: {list(before)} becomes {list(after)}")
    # Nothing behind the batch is merged with it where that can be helped, and then nothing before.
    _, own, axis = min(places)
    return axis, own


def _broadcast(node: ir.Node, axes: Axes) -> int:
    given = [value for value in node.inputs if value is not None]
    found = {_aligned_axis(value, axes[value], node) for value in given if value in axes}
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
    data = _data_of(node, axes)
    rank = len(extents_of(data, node))
    given = len(node.inputs) > 1 and node.inputs[1] is not None
    every = set() if node.attributes.get_int("noop_with_empty_axes", 0) else set(range(rank))
    gone = {axis % rank for axis in _constant_ints(node, 1)} if given else every
    if axes[data] in gone:
        raise in_the_way(node, "it sums over the batch")
    if node.attributes.get_int("keepdims", 1):
        return axes[data]
    return axes[data] - sum(1 for axis in gone if axis < axes[data])


def _along_one_axis(node: ir.Node, axes: Axes) -> int:
    data = _data_of(node, axes)
    if node.attributes.get_int("axis", -1) % len(extents_of(data, node)) == axes[data]:
        raise in_the_way(node, "it runs over the batch")
    return axes[data]


def _normalised(node: ir.Node, axes: Axes) -> int:
    data = _data_of(node, axes)
    if axes[data] >= node.attributes.get_int("axis", -1) % len(extents_of(data, node)):
        raise in_the_way(node, "it runs over the batch")
    return axes[data]


def _flattened(node: ir.Node, axes: Axes) -> int:
    data = _data_of(node, axes)
    if axes[data] != 0 or node.attributes.get_int("axis", 1) == 0:
        raise in_the_way(node, "it merges the batch with what is behind it")
    return 0


def _transposed(node: ir.Node, axes: Axes) -> int:
    data = _data_of(node, axes)
    rank = len(extents_of(data, node))
    order = list(node.attributes.get_ints("perm", tuple(reversed(range(rank)))))
    return order.index(axes[data])


def _unsqueezed(node: ir.Node, axes: Axes) -> int:
    rank = len(extents_of(node.outputs[0], node))
    made = {axis % rank for axis in _constant_ints(node, 1)}
    kept = [axis for axis in range(rank) if axis not in made]
    return kept[axes[_data_of(node, axes)]]


def _squeezed(node: ir.Node, axes: Axes) -> int:
    data = _data_of(node, axes)
    extents = extents_of(data, node)
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        gone = {axis % len(extents) for axis in _constant_ints(node, 1)}
    else:
        gone = {axis for axis, extent in enumerate(extents) if extent == 1}
    if axes[data] in gone:
        raise in_the_way(node, "it takes the batch away")
    return axes[data] - sum(1 for axis in gone if axis < axes[data])


def _concatenated(node: ir.Node, axes: Axes) -> int:
    rank = len(extents_of(node.outputs[0], node))
    found = {axes[value] for value in node.inputs if value is not None and value in axes}
    if len(found) != 1 or node.attributes.get_int("axis", 0) % rank in found:
        raise in_the_way(node, "it joins samples")
    (axis,) = found
    extents = {extents_of(value, node)[axis] for value in node.inputs if value is not None}
    if len(extents) != 1:
        raise in_the_way(node, "its tensors have the batch at different axes")
    return axis


def _split(node: ir.Node, axes: Axes) -> int:
    data = _data_of(node, axes)
    if node.attributes.get_int("axis", 0) % len(extents_of(data, node)) == axes[data]:
        raise in_the_way(node, "it splits the batch")
    return axes[data]


def _sliced(node: ir.Node, axes: Axes) -> int:
    data = _data_of(node, axes)
    rank = len(extents_of(data, node))
    given = len(node.inputs) > 3 and node.inputs[3] is not None
    if axes[data] in ({axis % rank for axis in _constant_ints(node, 3)} if given else range(rank)):
        raise in_the_way(node, "it picks from the batch")
    return axes[data]


def _padded(node: ir.Node, axes: Axes) -> int:
    data = _data_of(node, axes)
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        raise in_the_way(node, "it names the axes that it pads")
    pads = _constant_ints(node, 1)
    if pads[axes[data]] or pads[axes[data] + len(pads) // 2]:
        raise in_the_way(node, "it pads the batch")
    return axes[data]


def _gathered(node: ir.Node, axes: Axes) -> int:
    data, indices = node.inputs
    assert data is not None
    assert indices is not None
    picked = node.attributes.get_int("axis", 0) % len(extents_of(data, node))
    if data not in axes:
        return picked + axes[indices]
    if indices in axes or picked == axes[data]:
        raise in_the_way(node, "it picks from the batch")
    added = len(extents_of(indices, node)) - 1
    return axes[data] + (added if picked < axes[data] else 0)


def _one_hot(node: ir.Node, axes: Axes) -> int:
    data = _data_of(node, axes)
    rank = len(extents_of(node.outputs[0], node))
    return axes[data] + (1 if node.attributes.get_int("axis", -1) % rank <= axes[data] else 0)


def _expanded(node: ir.Node, axes: Axes) -> int:
    data = _data_of(node, axes)
    axis = _aligned_axis(data, axes[data], node)
    if extents_of(node.outputs[0], node)[axis] != extents_of(data, node)[axes[data]]:
        raise in_the_way(node, "it repeats the batch")
    return axis


def _tiled(node: ir.Node, axes: Axes) -> int:
    data = _data_of(node, axes)
    if _constant_ints(node, 1)[axes[data]] != 1:
        raise in_the_way(node, "it repeats the batch")
    return axes[data]


def _gemm(node: ir.Node, axes: Axes) -> int:
    data, weights, *bias = node.inputs
    flipped = node.attributes.get_int("transA", 0)
    if data is None or data not in axes or weights in axes or axes[data] != flipped:
        raise in_the_way(node, "it sums over the batch, or its weights depend on the sample")
    for value in (each for each in bias if each is not None):
        extents = extents_of(value, node)
        if value in axes or (len(extents) == 2 and extents[0] != 1):
            raise in_the_way(node, "its bias is not the same for every sample")
    return 0


def _matmul(node: ir.Node, axes: Axes) -> int:
    first, second = node.inputs
    assert first is not None
    assert second is not None
    for value, summed in ((first, -1), (second, -2)):
        rank = len(extents_of(value, node))
        if value in axes and (rank == 1 or axes[value] == rank + summed):
            raise in_the_way(node, "it sums over the batch")
    inner = len(extents_of(node.outputs[0], node)) - 2
    batched = [value for value in (first, second) if value in axes]
    found = {_aligned_axis(value, axes[value], node) for value in batched}
    if len(found) != 1 or (len(batched) == 2 and max(found) >= inner):
        raise in_the_way(node, "it multiplies samples with each other")
    (axis,) = found
    for value in (first, second):
        extents = extents_of(value, node)
        at = axis - (inner + 2) + len(extents)
        same = value not in axes and axis < inner
        if at >= 0 and same and extents[at] != 1:
            raise in_the_way(node, f"its tensor {value.name!r} has {extents[at]} values there")
    return axis


def _einsum(node: ir.Node, axes: Axes) -> int:
    equation = (node.attributes.get_string("equation", "") or "").replace(" ", "")
    terms, arrow, result = equation.partition("->")
    if not arrow or "." in equation:
        raise in_the_way(node, f"its equation {equation!r} leaves axes open")
    given = list(zip(terms.split(","), node.inputs, strict=True))
    letters = {term[axes[value]] for term, value in given if value is not None and value in axes}
    for term, value in given:
        shares = value is not None and value not in axes and not letters.isdisjoint(term)
        if shares or len(letters) != 1 or not letters <= set(result):
            raise in_the_way(node, f"its equation {equation!r} sums over the batch")
    return result.index(letters.pop())


_RULES: Final[Mapping[str, _Rule]] = {
    **dict.fromkeys(_ALONG_ONE_AXIS, _along_one_axis),
    **dict.fromkeys(_NORMALISES_LAST, _normalised),
    "Concat": _concatenated,
    "Einsum": _einsum,
    "Expand": _expanded,
    "Flatten": _flattened,
    "Gather": _gathered,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "OneHot": _one_hot,
    "Pad": _padded,
    "Slice": _sliced,
    "Split": _split,
    "Squeeze": _squeezed,
    "Tile": _tiled,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}


def extents_of(value: ir.Value, node: ir.Node) -> tuple[int, ...]:
    """Return a tensor's extents at a batch of 1.

    Args:
        value: The tensor.
        node: What reads or makes it, for the message.

    Raises:
        FixedBatchError: If one is not known.
    """
    dims = () if value.shape is None else value.shape.dims
    extents = tuple(dim for dim in dims if isinstance(dim, int))
    if value.shape is None or len(extents) != len(dims):
        raise in_the_way(node, f"the shape of its tensor {value.name!r} is not known")
    return extents


def in_the_way(node: ir.Node, reason: str) -> FixedBatchError:
    """Return the refusal that names a node and why it needs a batch of 1."""
    return FixedBatchError(
        f"the graph's batch is fixed at 1 and cannot be made free: in the way is node "
        f"{title(node)}: {reason}"
    )


def _aligned_axis(value: ir.Value, axis: int, node: ir.Node) -> int:
    """Return where an axis of an operand lies in the result that it is broadcast to."""
    return axis + len(extents_of(node.outputs[0], node)) - len(extents_of(value, node))


def _data_of(node: ir.Node, axes: Axes) -> ir.Value:
    """Return a node's first input, of which alone its result has the batch."""
    data = node.inputs[0]
    if data is None or data not in axes:
        raise in_the_way(node, "where it picks from depends on the sample")
    return data


def _constant_ints(node: ir.Node, index: int) -> list[int]:
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None or value.const_value is None:
        raise in_the_way(node, f"its input {index} is no constant")
    return [int(number) for number in value.const_value.numpy().reshape(-1)]
