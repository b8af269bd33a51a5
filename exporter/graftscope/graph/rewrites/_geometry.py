"""Which inputs a convolution reads for which outputs, one axis at a time.

A transposed convolution of stride s gives s phases: outputs s * m + r for r = 0 .. s - 1. Each
phase is an ordinary convolution of stride 1 with its own taps. It must not know graphs beyond one
node.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.graph._operations import operation
from graftscope.graph.rewrites._nodes import extents, weights


@dataclass(frozen=True)
class Axis:
    """Taps of one axis of a convolution or transposed convolution.

    Attributes:
        stride: phases of the output.
        length: extent of a phase.
        input: extent of the input.
        taps: for every phase, the pairs (place in the kernel, offset): the phase's output m reads
            the input at m + offset.
    """

    stride: int
    length: int
    input: int
    taps: tuple[tuple[tuple[int, int], ...], ...]

    @property
    def window(self) -> range:
        """Offsets that some phase reads."""
        offsets = [offset for phase in self.taps for _, offset in phase]
        return range(min(offsets), max(offsets) + 1)

    def window_of(self, phase: int) -> range:
        """Offsets that one phase reads."""
        offsets = [offset for _, offset in self.taps[phase]]
        return range(min(offsets), max(offsets) + 1)

    def pads(self, window: range) -> tuple[int, int]:
        """Zeros before and after the input, so that a window of stride 1 gives `length` outputs."""
        return -window.start, self.length - self.input + window.stop - 1


@dataclass(frozen=True, eq=False)
class Convolution:
    """A Conv or ConvTranspose of two axes, one group, whose phases are convolutions of stride 1.

    Attributes:
        node: the operation.
        kernel: (O, C, kh, kw).
        bias: (O,).
        axes: rows and columns.
    """

    node: ir.Node
    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    axes: tuple[Axis, Axis]

    @classmethod
    def of(cls, node: ir.Node | None) -> Self | None:
        """What a node is; None where it is something else, or its phases are uneven."""
        if node is None or operation(node) not in ("Conv", "ConvTranspose"):
            return None
        kernel = weights(node.inputs[1])
        shapes = extents(node.inputs[0], 4), extents(node.outputs[0], 4)
        has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
        bias = weights(node.inputs[2]) if has_bias else None
        plain = node.attributes.get_int("group", 1) == 1 and _explicit_pads(node)
        if kernel is None or kernel.ndim != 4 or None in shapes or not plain:
            return None
        if has_bias and bias is None:
            return None
        turned = operation(node) == "ConvTranspose"
        kernel = kernel.transpose(1, 0, 2, 3) if turned else kernel
        axes = tuple(_axis(node, i, kernel.shape[2 + i], turned) for i in range(2))
        if axes[0] is None or axes[1] is None:
            return None
        zeros = np.zeros(len(kernel), np.float32)
        return cls(node, kernel, zeros if bias is None else bias, (axes[0], axes[1]))

    @property
    def stride(self) -> tuple[int, int]:
        """Phases of rows and of columns."""
        return self.axes[0].stride, self.axes[1].stride

    def phase(self, row: int, column: int) -> NDArray[np.float32]:
        """One phase's kernel: (O, C, rows, columns) of its own window."""
        return self._placed(
            row, column, *(a.window_of(p) for a, p in zip(self.axes, (row, column), strict=True))
        )

    def stacked(self) -> NDArray[np.float32]:
        """All phases in one kernel: (phases * O, C, rows, columns) of the common window."""
        rows, columns = (axis.window for axis in self.axes)
        phases = [
            self._placed(row, column, rows, columns)
            for row in range(self.stride[0])
            for column in range(self.stride[1])
        ]
        return np.concatenate(phases)

    def pads(self, windows: tuple[range, range]) -> list[int]:
        """ONNX's pads of a convolution of stride 1 over these windows."""
        (top, bottom), (left, right) = (
            axis.pads(window) for axis, window in zip(self.axes, windows, strict=True)
        )
        return [top, left, bottom, right]

    def _placed(self, row: int, column: int, rows: range, columns: range) -> NDArray[np.float32]:
        placed = np.zeros((*self.kernel.shape[:2], len(rows), len(columns)), np.float32)
        for i, dy in self.axes[0].taps[row]:
            for j, dx in self.axes[1].taps[column]:
                placed[:, :, dy - rows.start, dx - columns.start] = self.kernel[:, :, i, j]
        return placed


def _explicit_pads(node: ir.Node) -> bool:
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    return auto == "NOTSET" and "output_shape" not in node.attributes


def _axis(node: ir.Node, i: int, size: int, turned: bool) -> Axis | None:
    """The geometry of one axis; None where phases are uneven, or zeros would be cut off."""
    given = {
        name: list(node.attributes.get_ints(name, ())) for name in ("pads", "strides", "dilations")
    }
    stride = given["strides"][i] if given["strides"] else 1
    dilation = given["dilations"][i] if given["dilations"] else 1
    before = given["pads"][i] if given["pads"] else 0
    in_shape, out_shape = extents(node.inputs[0], 4), extents(node.outputs[0], 4)
    assert in_shape is not None
    assert out_shape is not None
    length, output = in_shape[1 + i], out_shape[1 + i]
    if not turned:
        taps = (tuple((k, k * dilation - before) for k in range(size)),)
        axis = Axis(1, output, length, taps) if stride == 1 else None
    elif output % stride:
        axis = None
    else:
        phases = (
            tuple(
                (k, (r + before - k * dilation) // stride)
                for k in range(size)
                if (r + before - k * dilation) % stride == 0
            )
            for r in range(stride)
        )
        axis = Axis(stride, output // stride, length, tuple(phases))
    if axis is None or not all(axis.taps) or min(axis.pads(axis.window)) < 0:
        return None
    windows = (axis.window_of(r) for r in range(axis.stride))
    return axis if all(min(axis.pads(window)) >= 0 for window in windows) else None
