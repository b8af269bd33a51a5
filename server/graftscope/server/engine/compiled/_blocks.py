"""How a stage is cut into blocks that fill registers, and its weights in the order of their use.

Letters: O outputs, C inputs, s stride. A block is some outputs times some vectors of columns times
the s phases of columns; all its sums are in registers at once. Images lie channel by channel, each
in rows with zeros around them, as many as the stage that reads them looks beyond. It must not know
how code is written.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from graftscope.graph.rewrites import Stage

_MOST_VECTORS = 4


@dataclass(frozen=True)
class Registers:
    """What a processor offers.

    Attributes:
        lanes: float32 elements of a register.
        sums: how many registers hold sums; the others hold what is multiplied.
    """

    lanes: int
    sums: int


@dataclass(frozen=True)
class Plane:
    """How one channel of an image lies in memory: rows with zeros around them.

    Attributes:
        height: of the image.
        width: of the image.
        top: rows of zeros above.
        left: columns of zeros before.
        rows: with those above and below.
        stride: elements from row to row.
    """

    height: int
    width: int
    top: int
    left: int
    rows: int
    stride: int

    @property
    def size(self) -> int:
        """Elements."""
        return self.rows * self.stride

    @property
    def first(self) -> int:
        """Where the image begins."""
        return self.top * self.stride + self.left


@dataclass(frozen=True, eq=False)
class Blocks:
    """A stage, cut.

    Attributes:
        stage: what is computed.
        registers: of the processor.
        whole: whether a block has all outputs.
        filled: whether the last block may be filled with outputs of zeros.
    """

    stage: Stage
    registers: Registers
    whole: bool = False
    filled: bool = True

    @property
    def stride(self) -> int:
        """Phases of rows, and of columns."""
        return self.stage.convolution.stride[0]

    @property
    def height(self) -> int:
        """Rows of one phase."""
        return self.stage.convolution.axes[0].length

    @property
    def vectors(self) -> int:
        """Vectors of a row of one phase, the last one perhaps not full."""
        return -(-self.stage.convolution.axes[1].length // self.registers.lanes)

    @property
    def across(self) -> int:
        """Elements of a row of the output, with those that fill the last vector."""
        return self.vectors * self.registers.lanes * self.stride

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Outputs and vectors of a block: as many as there are registers, few of them idle.

        Raises:
            ValueError: a block is to have more outputs than there are registers.
        """
        outputs = self.stage.outputs[0]
        choices = [
            (o, v)
            for v in range(1, _MOST_VECTORS + 1)
            for o in range(outputs if self.whole else 1, outputs + 1)
            if self.vectors % v == 0 and o * v * self.stride <= self.registers.sums
            if self.filled or outputs % o == 0
        ]

        def loads(choice: tuple[int, int]) -> float:
            """Loads for each multiply-add that is wanted."""
            o, v = choice
            whole = -(-outputs // o) * o / outputs
            sums = o * v * self.stride
            too_few = max(1.0, self.registers.sums / 2 / sums)
            return whole * too_few * (1 + (o * self.stride + v) / sums / 4)

        return min(choices, key=loads)

    @property
    def output_blocks(self) -> int:
        """Blocks of outputs; the last may be filled with outputs of zeros."""
        return -(-self.stage.outputs[0] // self.shape[0])

    @property
    def vector_blocks(self) -> int:
        """Blocks of a row."""
        return self.vectors // self.shape[1]

    @property
    def sums(self) -> int:
        """Vectors of a block."""
        return self.shape[0] * self.shape[1] * self.stride

    @property
    def kept_size(self) -> int:
        """Elements of all sums of an image, as they are kept between two computations."""
        blocks = self.stride * self.output_blocks * self.height * self.vector_blocks
        return blocks * self.sums * self.registers.lanes

    @cached_property
    def source(self) -> Plane:
        """How the image that is read lies in memory, so that no tap reaches beyond it."""
        rows, columns = self.stage.convolution.axes
        _, height, width = self.stage.inputs
        top, left = max(0, -rows.window.start), max(0, -columns.window.start)
        below = max(height, rows.length + rows.window.stop - 1)
        beyond = max(width, self.vectors * self.registers.lanes + columns.window.stop - 1)
        return Plane(height, width, top, left, top + below, left + beyond)

    def rows(self, row: int) -> tuple[list[int], list[int]]:
        """The rows that one phase of rows reads, from top to bottom.

        Returns:
            Their offsets, evenly spaced, and their places in the kernel.
        """
        taps = sorted((dy, i) for i, dy in self.stage.convolution.axes[0].taps[row])
        return [dy for dy, _ in taps], [i for _, i in taps]

    @cached_property
    def columns(self) -> list[tuple[int, int, int]]:
        """What is read of every row: (offset, phase of columns, place in the kernel).

        In an order in which what is read serves all phases at once.
        """
        taps = self.stage.convolution.axes[1].taps
        return sorted((dx, phase, j) for phase in range(self.stride) for j, dx in taps[phase])

    @property
    def weights_of_row(self) -> int:
        """Weights for one row of what is read, one input and one block of outputs."""
        return len(self.columns) * self.shape[0]

    def weights_of(self, row: int) -> int:
        """Weights of one phase of rows, for one input and one block of outputs."""
        return len(self.rows(row)[0]) * self.weights_of_row

    @cached_property
    def offsets(self) -> list[int]:
        """Where the weights of every phase of rows begin, and at last where the biases do."""
        sizes = [
            self.output_blocks * self.stage.inputs[0] * self.weights_of(row)
            for row in range(self.stride)
        ]
        return [sum(sizes[:i]) for i in range(len(sizes) + 1)]

    @cached_property
    def packed(self) -> NDArray[np.float32]:
        """All weights, by phase of rows, block of outputs, input and tap; then the biases."""
        convolution, (wide, _) = self.stage.convolution, self.shape
        outputs, inputs = convolution.kernel.shape[:2]
        filled = self.output_blocks * wide
        kernel = np.zeros((filled, *convolution.kernel.shape[1:]), np.float32)
        kernel[:outputs] = convolution.kernel
        bias = np.zeros(filled, np.float32)
        bias[:outputs] = convolution.bias
        blocks = kernel.reshape(self.output_blocks, wide, inputs, *kernel.shape[2:])
        parts = []
        for row in range(self.stride):
            rows, columns = self.rows(row)[1], [j for _, _, j in self.columns]
            taken = blocks[:, :, :, rows][..., columns]  # (blocks, wide, C, rows, columns)
            parts.append(taken.transpose(0, 2, 3, 4, 1).ravel())
        return np.concatenate([*parts, bias])
