"""Transposed convolutions as ordinary ones, one a phase of the output (the sub-pixel domain).

1. A `ConvTranspose` of stride s > 1 becomes s * s convolutions of stride 1, each with just the
   taps that its phase reads; or one convolution of all phases, where they have so few outputs that
   registers would be idle. An interleaving of the phases (`DepthToSpace`) comes behind.
2. One of stride 1 that keeps the size becomes an ordinary convolution, where its outputs are many.
3. Elementwise operations behind it move before the interleaving, phase by phase.

Phases are ordered by row, then column: the order of `DepthToSpace`'s mode DCR.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from graftscope.graph._operations import operation
from graftscope.graph.rewrites._geometry import Convolution
from graftscope.graph.rewrites._nodes import (
    clean,
    extents,
    floats,
    image_extents,
    replace,
    sized,
    unaries_behind,
    unary,
)

# Channels that a processor's widest registers work on together: fewer outputs leave some idle.
LANES = 16


def subpixel(model: ir.Model) -> ir.Model:
    """Writes transposed convolutions as convolutions of phases, interleaved behind.

    Args:
        model: changed in place.

    Returns:
        The same model.
    """
    for node in list(model.graph):
        convolution = Convolution.of(node) if operation(node) == "ConvTranspose" else None
        if convolution is not None and (convolution.stride != (1, 1) or _is_wide(convolution)):
            _in_phases(model.graph, convolution)
    clean(model)
    return model


def whole_lanes(channels: int) -> int:
    """Channels that are computed when so many are wanted."""
    return -(-channels // LANES) * LANES


def fills_few_lanes(convolution: Convolution) -> bool:
    """Whether two by two phases would fill registers that one output a place leaves idle."""
    outputs = len(convolution.kernel)
    even = not any(axis.length % 2 or axis.input % 2 for axis in convolution.axes)
    return convolution.stride == (1, 1) and 4 * outputs <= LANES and even


def convolve(
    tape: Tape,
    value: ir.Value,
    kernel: NDArray[np.float32],
    bias: ir.Value | None,
    pads: Sequence[int],
) -> ir.Value:
    """A convolution of stride 1: (N, C, h, w) to (N, O, h', w')."""
    inputs = [value, floats(tape, kernel), *([] if bias is None else [bias])]
    result = tape.op("Conv", inputs, {"pads": list(pads)})
    shape = image_extents(value)
    height, width = (shape[1 + i] + pads[i] + pads[2 + i] - kernel.shape[2 + i] + 1 for i in (0, 1))
    return sized(result, len(kernel), height, width)


def interleave(tape: Tape, stacked: ir.Value, stride: int) -> ir.Value:
    """(N, s * s * C, h, w), phases outermost, to (N, C, s * h, s * w)."""
    if stride == 1:
        return stacked
    channels, height, width = image_extents(stacked)
    result = tape.op("DepthToSpace", [stacked], {"blocksize": stride, "mode": "DCR"})
    return sized(result, channels // stride**2, height * stride, width * stride)


def interleaved(value: ir.Value) -> tuple[ir.Value, int] | None:
    """The phases that a value interleaves, and their stride; None where it is something else."""
    node = value.producer()
    if node is None or operation(node) != "DepthToSpace":
        return None
    stacked = node.inputs[0]
    if node.attributes.get_string("mode", "DCR") != "DCR" or stacked is None:
        return None
    return stacked, node.attributes.get_int("blocksize")


def joined(value: ir.Value) -> list[ir.Value] | None:
    """What a value puts together along its channels; None where it is something else."""
    node = value.producer()
    if node is None or operation(node) != "Concat" or node.attributes.get_int("axis") != 1:
        return None
    parts = [part for part in node.inputs if part is not None]
    return parts if all(extents(part, 4) is not None for part in parts) else None


def to_phases(tape: Tape, value: ir.Value, stride: int) -> ir.Value:
    """(N, C, s * h, s * w) to (N, s * s * C, h, w), phases outermost."""
    if stride == 1:
        return value
    channels, height, width = image_extents(value)
    result = tape.op("SpaceToDepth", [value], {"blocksize": stride})
    return sized(result, channels * stride**2, height // stride, width // stride)


def concatenate(tape: Tape, parts: Sequence[ir.Value]) -> ir.Value:
    """(N, C, h, w) each, to all channels of the first, then all of the second, ..."""
    if len(parts) == 1:
        return parts[0]
    channels = sum(image_extents(part)[0] for part in parts)
    return sized(tape.op("Concat", parts, {"axis": 1}), channels, *image_extents(parts[0])[1:])


def _is_wide(convolution: Convolution) -> bool:
    same = all(axis.length == axis.input for axis in convolution.axes)
    return same and len(convolution.kernel) >= LANES


def _in_phases(graph: ir.Graph, convolution: Convolution) -> None:
    stride, across = convolution.stride
    if stride != across:
        return
    tape = Tape(graph)
    output, source = convolution.node.outputs[0], convolution.node.inputs[0]
    assert source is not None
    phases = convolve_phases(tape, convolution, source)
    for node in unaries_behind(output):
        phases = [unary(tape, node, phase) for phase in phases]
        output = node.outputs[0]
    replace(graph, output, interleave(tape, concatenate(tape, phases), stride))


def convolve_phases(tape: Tape, convolution: Convolution, value: ir.Value) -> list[ir.Value]:
    """All phases of a convolution's output, in one tensor or in one each."""
    separate = convolution.stride != (1, 1) and _separate_is_cheaper(convolution)
    return (_separate if separate else _together)(tape, convolution, value)


def _separate_is_cheaper(convolution: Convolution) -> bool:
    rows, columns = convolution.axes
    outputs = len(convolution.kernel)
    taps = sum(
        len(rows.window_of(i)) * len(columns.window_of(j))
        for i in range(rows.stride)
        for j in range(columns.stride)
    )
    together = len(rows.window) * len(columns.window)
    phases = rows.stride * columns.stride
    return taps * whole_lanes(outputs) <= together * whole_lanes(phases * outputs)


def _separate(tape: Tape, convolution: Convolution, value: ir.Value) -> list[ir.Value]:
    """One convolution a phase, each (N, O, h, w)."""
    rows, columns = convolution.axes
    bias = floats(tape, convolution.bias)
    return [
        convolve(
            tape,
            value,
            convolution.phase(i, j),
            bias,
            convolution.pads((rows.window_of(i), columns.window_of(j))),
        )
        for i in range(rows.stride)
        for j in range(columns.stride)
    ]


def _together(tape: Tape, convolution: Convolution, value: ir.Value) -> list[ir.Value]:
    """All phases in one convolution, (N, s * s * O, h, w)."""
    rows, columns = convolution.axes
    kernel = convolution.stacked()
    bias = floats(tape, np.tile(convolution.bias, len(kernel) // len(convolution.bias)))
    pads = convolution.pads((rows.window, columns.window))
    return [convolve(tape, value, kernel, bias, pads)]
