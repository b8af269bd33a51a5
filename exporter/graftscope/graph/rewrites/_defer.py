"""The interleaving of phases moved behind a convolution, so that a layout is changed only once.

1. `DepthToSpace` (DCR, stride s) read by one convolution of stride 1 alone: the convolution is
   done on the phases, with a kernel that gives all phases of its output, and the interleaving
   comes behind; where that costs no more than the convolution of whole images does. Few outputs,
   as of the last layer, fill registers better as phases.
2. Elementwise operations behind it move before the interleaving.
3. What a convolution reads from a `Concat` of phases is convolved phase by phase and added, so that
   the phases need not be copied together.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from graftscope.graph.rewrites._geometry import Convolution
from graftscope.graph.rewrites._nodes import (
    clean,
    floats,
    image_extents,
    only_use,
    repeat_unaries,
    replace,
)
from graftscope.graph.rewrites._subpixel import (
    convolve,
    interleave,
    interleaved,
    joined,
    whole_lanes,
)


def defer_interleaving(model: ir.Model) -> ir.Model:
    """Moves interleavings of phases behind convolutions of few outputs.

    Args:
        model: changed in place; best after `subpixel` or `share_first`.

    Returns:
        The same model.
    """
    for node in list(model.graph):
        convolution = Convolution.of(node)
        if convolution is not None and convolution.stride == (1, 1):
            _on_phases(model.graph, convolution)
    clean(model)
    return model


def phase_kernel(
    kernel: NDArray[np.float32], before: tuple[int, int], stride: int
) -> tuple[NDArray[np.float32], tuple[range, range]]:
    """The kernel that does a convolution of stride 1 on phases.

    Args:
        kernel: (O, C, kh, kw).
        before: zeros above and left of whole images.
        stride: s, phases of rows and of columns.

    Returns:
        (s * s * O, s * s * C, rows, columns), phases outermost; and offsets of rows and columns.
    """
    outputs, inputs = kernel.shape[:2]
    windows = [
        _window(size, pad, stride) for size, pad in zip(kernel.shape[2:], before, strict=True)
    ]
    rows, columns = windows
    result = np.zeros(
        (stride, stride, outputs, stride, stride, inputs, len(rows), len(columns)), np.float32
    )
    for i in range(kernel.shape[2]):
        for j in range(kernel.shape[3]):
            for r in range(stride):
                for c in range(stride):
                    dy, q = divmod(r + i - before[0], stride)
                    dx, p = divmod(c + j - before[1], stride)
                    result[r, c, :, q, p, :, dy - rows.start, dx - columns.start] = kernel[
                        :, :, i, j
                    ]
    flat = result.reshape(stride**2 * outputs, stride**2 * inputs, len(rows), len(columns))
    return flat, (rows, columns)


def _window(size: int, before: int, stride: int) -> range:
    """Offsets, in phases, that some phase of the output reads."""
    return range((-before) // stride, (stride - 1 + size - 1 - before) // stride + 1)


def _on_phases(graph: ir.Graph, convolution: Convolution) -> None:
    source, tape = convolution.node.inputs[0], Tape(graph)
    assert source is not None
    phases = interleaved(source)
    if phases is None or only_use(source) is None:
        return
    stacked, stride = phases
    rows, columns = convolution.axes
    if any(extent % stride for axis in (rows, columns) for extent in (axis.length, axis.input)):
        return
    before = -rows.window.start, -columns.window.start
    kernel, windows = phase_kernel(convolution.stacked(), before, stride)
    pads = phase_pads(convolution, windows, stride)
    if not _is_cheaper(convolution, kernel, stride) or min(pads) < 0:
        return
    bias = floats(tape, np.tile(convolution.bias, stride**2))
    result = _convolve_parts(tape, stacked, kernel, bias, pads)
    result, output = repeat_unaries(tape, convolution.node.outputs[0], result)
    replace(graph, output, interleave(tape, result, stride))


def _is_cheaper(convolution: Convolution, kernel: NDArray[np.float32], stride: int) -> bool:
    outputs, inputs, *window = convolution.kernel.shape
    whole = stride**2 * whole_lanes(outputs) * inputs * int(np.prod(window))
    phases = whole_lanes(len(kernel)) * int(np.prod(kernel.shape[1:]))
    return bool(phases <= whole)


def phase_pads(convolution: Convolution, windows: tuple[range, range], stride: int) -> list[int]:
    """ONNX's pads of a convolution of stride 1 that is done on phases."""
    (top, bottom), (left, right) = (
        (-window.start, axis.length // stride - axis.input // stride + window.stop - 1)
        for axis, window in zip(convolution.axes, windows, strict=True)
    )
    return [top, left, bottom, right]


def _convolve_parts(
    tape: Tape, stacked: ir.Value, kernel: NDArray[np.float32], bias: ir.Value, pads: list[int]
) -> ir.Value:
    """The convolution, as a sum over parts where its input is a concatenation."""
    parts = (joined(stacked) if only_use(stacked) is not None else None) or [stacked]
    ends = np.cumsum([image_extents(part)[0] for part in parts[:-1]])
    kernels = np.split(kernel, ends, axis=1)
    total: ir.Value | None = None
    for part, own in zip(parts, kernels, strict=True):
        more = convolve(tape, part, own, bias if total is None else None, pads)
        if total is not None:
            total = tape.op("Add", [total, more])
            total.shape, total.type = more.shape, more.type
        else:
            total = more
    assert total is not None
    return total
