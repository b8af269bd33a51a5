"""The first linear operation after the cut done once a pair (section 3.2).

Swapping channel c of original 1 for original 2's changes a linear operation's output by what that
channel's difference alone gives. So the operation is done in full once a pair, on original 1, and
for every swapped channel only its own share is added. Letters: B pairs, E channels swapped one at a
time, C channels of the layer, P places and O outputs of the operation, S phases, K taps.

Shared are operations that read the activation directly, with constant weights and one group:

1. `Conv` and `ConvTranspose` of two axes: the difference is unfolded, (E, B, K, P), and multiplied
   with the channel's own weights, (E, 1, K, S * O). Phases of the output, of a transposed
   convolution or where outputs are few, are interleaved behind.
2. `Gemm` and `MatMul`: the difference times the channel's row of the weights.

`_groups` shares convolutions behind a normalisation in the same way.

Elementwise operations behind are done before the layout is changed. What else reads the activation
gets the spliced one, by selection.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from graftscope.graph._operations import operation
from graftscope.graph._values import ints
from graftscope.graph.rewrites._defer import phase_kernel, phase_pads
from graftscope.graph.rewrites._geometry import Convolution
from graftscope.graph.rewrites._nodes import (
    floats,
    image_extents,
    repeat_unaries,
    reshape,
    sized,
    transpose,
    weights,
)
from graftscope.graph.rewrites._subpixel import (
    concatenate,
    convolve,
    convolve_phases,
    fills_few_lanes,
    interleave,
    to_phases,
)


@dataclass(frozen=True)
class ChannelSwap:
    """What is swapped, as values of the graph.

    Attributes:
        original1: (B, C, ...) or, of tokens, (B, T, C).
        original2: the same of the other.
        difference: original 2 less original 1, channels first: (C, B, ...).
        channels: (E,) INT64.
    """

    original1: ir.Value
    original2: ir.Value
    difference: ir.Value
    channels: ir.Value


@dataclass(frozen=True)
class Shared:
    """An operation's output with a channel swapped, and without.

    Attributes:
        replaced: the value of the graph that `result` takes the place of.
        result: (E * B, ...).
        swapped: what the swap has changed, (E, B, ...).
        kept: the same for original 1, (1, B, ...).
    """

    replaced: ir.Value
    result: ir.Value
    swapped: ir.Value
    kept: ir.Value


def share(
    tape: Tape, node: ir.Node, activation: ir.Value, channel_axis: int, swap: ChannelSwap
) -> Shared | None:
    """Shares one operation that reads the activation; None where it cannot be shared."""
    if node.inputs[0] is not activation or any(x is activation for x in node.inputs[1:]):
        return None
    rank = len(activation.shape or ())
    convolution = Convolution.of(node)
    if convolution is not None:
        return _convolution(tape, convolution, swap) if channel_axis == 1 else None
    rows = _rows(node)
    return (
        _product(tape, node, rows, swap) if rows is not None and channel_axis == rank - 1 else None
    )


def _convolution(tape: Tape, convolution: Convolution, swap: ChannelSwap) -> Shared | None:
    chosen = tape.op("Gather", [swap.difference, swap.channels], {"axis": 0})  # (E, B, h, w)
    return share_convolution(tape, convolution, swap.original1, Change(chosen, swap.channels))


@dataclass(frozen=True)
class Change:
    """What a swap changes of a convolution's input.

    Attributes:
        values: (E, B, M, h, w), or (E, B, h, w) of one channel.
        parts: (E,) INT64, which part of M channels.
        channels: M, a divisor of all channels.
    """

    values: ir.Value
    parts: ir.Value
    channels: int = 1


def share_convolution(
    tape: Tape, convolution: Convolution, original1: ir.Value, change: Change
) -> Shared | None:
    """A convolution of original 1 in full, and of what a swap changes.

    Args:
        tape: where nodes are added.
        convolution: as it stands in the graph.
        original1: what it reads of original 1, (B, C, h, w).
        change: what it reads of the hybrids, less that.
    """
    node = convolution.node
    output, whole = image_extents(node.outputs[0]), image_extents(node.inputs[0])
    stride, across = convolution.stride
    if stride != across:
        return None
    split = 2 if fills_few_lanes(convolution) else 1
    kernel, windows, pads = _kernel(convolution, split)
    parts = kernel.reshape(-1, 1, change.channels * kernel.shape[2], kernel.shape[3])
    phases, outputs = (stride * split) ** 2, output[0]

    kept = _kept(tape, convolution, original1, split)  # (1, B, P, S * O)
    taps = _unfold(tape, change, whole, split, (windows, pads))  # (E, B, M * K, P)
    share_of = tape.op("Gather", [floats(tape, parts), change.parts], {"axis": 0})
    added = tape.op("MatMul", [transpose(tape, taps, (0, 1, 3, 2)), share_of])
    swapped = tape.op("Add", [kept, added])  # (E, B, P, S * O)

    value, replaced = repeat_unaries(tape, node.outputs[0], swapped)
    height, width = (extent // (stride * split) for extent in output[1:])
    last = reshape(tape, value, (-1, height, width, phases * outputs))
    first = sized(transpose(tape, last, (0, 3, 1, 2)), phases * outputs, height, width)
    return Shared(replaced, interleave(tape, first, stride * split), swapped, kept)


def like_original(tape: Tape, node: ir.Node, value: ir.Value) -> ir.Value:
    """The operation on original 1."""
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    return tape.op(node.op_type, [value, *node.inputs[1:]], attributes)


def _kernel(
    convolution: Convolution, split: int
) -> tuple[NDArray[np.float32], tuple[range, range], list[int]]:
    """Weights by channel, (C, 1, K, S * O), the window that K is taken from, and its pads."""
    rows, columns = convolution.axes
    kernel = convolution.stacked()  # (S * O, C, kh, kw)
    windows = rows.window, columns.window
    pads = convolution.pads(windows)
    inputs = kernel.shape[1]
    if split > 1:
        before = -rows.window.start, -columns.window.start
        kernel, windows = phase_kernel(kernel, before, split)
        pads = phase_pads(convolution, windows, split)
    shape = (len(kernel), split**2, inputs, len(windows[0]), len(windows[1]))
    # (S * O, q, C, kh, kw) to (C, q, kh, kw, S * O)
    by_channel = kernel.reshape(shape).transpose(2, 1, 3, 4, 0)
    return by_channel.reshape(inputs, 1, -1, len(kernel)), windows, pads


def _kept(tape: Tape, convolution: Convolution, original1: ir.Value, split: int) -> ir.Value:
    """The operation on original 1, with pixels outermost: (1, B, P, S * O)."""
    if convolution.stride == (1, 1):
        output = image_extents(convolution.node.outputs[0])
        whole = sized(like_original(tape, convolution.node, original1), *output)
        stacked = to_phases(tape, whole, split)
    else:
        stacked = concatenate(tape, convolve_phases(tape, convolution, original1))
    channels, height, width = image_extents(stacked)
    return reshape(tape, transpose(tape, stacked, (0, 2, 3, 1)), (1, -1, height * width, channels))


def _unfold(
    tape: Tape,
    change: Change,
    whole: tuple[int, ...],
    split: int,
    window: tuple[tuple[range, range], list[int]],
) -> ir.Value:
    """What every tap reads of what the swap changes: (E, B, M * K, P)."""
    (rows, columns), pads = window
    height, width = whole[1:]
    images = sized(reshape(tape, change.values, (-1, 1, height, width)), 1, height, width)
    if split > 1:
        images = to_phases(tape, images, split)
    size = split**2 * len(rows) * len(columns)
    one_hot = np.eye(size, dtype=np.float32).reshape(size, split**2, len(rows), len(columns))
    taps = convolve(tape, images, one_hot, None, pads)  # (E * B * M, K, h', w')
    count = tape.op("Shape", [change.parts])
    _, height, width = image_extents(taps)
    inner = ints(tape, (-1, change.channels * size, height * width))
    shape = tape.op("Concat", [count, inner], {"axis": 0})
    return tape.op("Reshape", [taps, shape])


def _rows(node: ir.Node) -> NDArray[np.float32] | None:
    """A product's weights, (C, O); None where it is none that can be shared."""
    if operation(node) not in ("Gemm", "MatMul"):
        return None
    matrix = weights(node.inputs[1])
    if any(weights(x) is None for x in node.inputs[1:] if x is not None):
        return None
    if matrix is None or matrix.ndim != 2 or bool(node.attributes.get_int("transA", 0)):
        return None
    matrix = matrix.T if node.attributes.get_int("transB", 0) else matrix
    return matrix * np.float32(node.attributes.get_float("alpha", 1.0))


def _product(
    tape: Tape, node: ir.Node, rows: NDArray[np.float32], swap: ChannelSwap
) -> Shared | None:
    source, output = node.inputs[0], node.outputs[0]
    assert source is not None
    if source.shape is None or output.shape is None:
        return None
    rank = len(source.shape)
    base = like_original(tape, node, swap.original1)
    kept = tape.op("Unsqueeze", [base, ints(tape, (0,))])  # (1, B, ..., O)
    chosen = tape.op("Gather", [swap.difference, swap.channels], {"axis": 0})  # (E, B, ...)
    one = tape.op("Unsqueeze", [chosen, ints(tape, (-1,))])
    share_of = tape.op("Gather", [floats(tape, rows), swap.channels], {"axis": 0})  # (E, O)
    spread = tape.op("Unsqueeze", [share_of, ints(tape, tuple(range(1, rank)))])
    swapped = tape.op("Add", [kept, tape.op("Mul", [one, spread])])
    value, replaced = repeat_unaries(tape, output, swapped)
    inner = tape.op("Shape", [base], {"start": 1})
    shape = tape.op("Concat", [ints(tape, (-1,)), inner], {"axis": 0})
    result = tape.op("Reshape", [value, shape])
    result.shape, result.type = output.shape, output.type
    return Shared(replaced, result, swapped, kept)
