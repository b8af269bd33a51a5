"""A stage in code: block by block, all sums of a block in registers.

A block begins with biases or with sums that were kept, takes one input channel after another, every
tap a broadcast weight times a vector of columns, and is handed on: kept, or made the next image.
It must not know what images are of.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from graftscope.server.engine.compiled._blocks import Blocks, Plane
from graftscope.server.engine.compiled._elementwise import apply
from graftscope.server.engine.compiled._writer import Writer


@dataclass(frozen=True)
class Place:
    """Where a block lies.

    Attributes:
        row: phase of rows.
        outputs: which block of outputs.
        down: row in its phase.
        across: which block of vectors.
    """

    row: ir.Value
    outputs: ir.Value
    down: ir.Value
    across: ir.Value


Begin = Callable[[Place], list[ir.Value]]
Finish = Callable[[Place, list[ir.Value]], None]
RowDone = Callable[[ir.Value], None]


@dataclass(frozen=True, eq=False)
class Convolve:
    """Writes one stage.

    Attributes:
        writer: of the function.
        blocks: the stage.
        weights: address of `Blocks.packed`.
    """

    writer: Writer
    blocks: Blocks
    weights: ir.Value

    def write(
        self,
        source: ir.Value,
        begin: Begin,
        finish: Finish,
        *,
        channel: ir.Value | None = None,
        row_done: RowDone | None = None,
    ) -> None:
        """Writes the loops.

        Args:
            source: address of the image that is read, channel by channel, as `Blocks.source`; of
                one channel alone where `channel` is given.
            begin: gives the sums that a block begins with.
            finish: takes a block's sums.
            channel: the only input channel that is read; all of them if not given.
            row_done: is told the output's row that is complete; then all outputs must be one block.
        """
        writer, blocks = self.writer, self.blocks
        with (
            writer.loop(blocks.stride) as row,
            writer.loop(blocks.output_blocks) as outputs,
            writer.loop(blocks.height) as down,
        ):
            with writer.loop(blocks.vector_blocks) as across:
                place = Place(row, outputs, down, across)
                finish(place, self._sums(source, place, begin(place), channel))
            if row_done is not None:
                row_done(writer.plus(writer.times(down, blocks.stride), row))

    def _sums(
        self, source: ir.Value, place: Place, sums: list[ir.Value], channel: ir.Value | None
    ) -> list[ir.Value]:
        writer, blocks, plane = self.writer, self.blocks, self.blocks.source
        phases, inputs = range(blocks.stride), blocks.stage.inputs[0]
        size = writer.choose(place.row, [blocks.weights_of(row) for row in phases])
        own = writer.at(
            self.weights,
            writer.choose(place.row, [blocks.offsets[row] for row in phases]),
            writer.product(writer.times(place.outputs, inputs), size),
        )
        wide = blocks.shape[1] * blocks.registers.lanes
        image = writer.at(
            source,
            plane.first,
            writer.times(place.down, plane.stride),
            writer.times(place.across, wide),
        )
        if channel is not None:
            return self._one_input(
                image, writer.at(own, writer.product(channel, size)), place, sums
            )
        variables = [writer.variable() for _ in sums]
        self._set(variables, sums)
        with writer.loop(inputs) as number:
            at_input = writer.at(image, writer.times(number, plane.size))
            at_weights = writer.at(own, writer.product(number, size))
            before = [writer.get(variable) for variable in variables]
            self._set(variables, self._one_input(at_input, at_weights, place, before))
        return [writer.get(variable) for variable in variables]

    def _one_input(
        self, image: ir.Value, weights: ir.Value, place: Place, sums: list[ir.Value]
    ) -> list[ir.Value]:
        """Adds what one input channel gives, row by row."""
        writer, blocks = self.writer, self.blocks
        offsets = [blocks.rows(row)[0] for row in range(blocks.stride)]
        count = writer.choose(place.row, [len(x) for x in offsets])
        along = blocks.source.stride
        first = writer.choose(place.row, [x[0] * along for x in offsets])
        step = writer.choose(
            place.row, [(x[1] - x[0]) * along if len(x) > 1 else 0 for x in offsets]
        )
        variables = [writer.variable() for _ in sums]
        self._set(variables, sums)
        with writer.loop(count) as number:
            row = writer.plus(first, writer.product(number, step))
            at_weights = writer.at(weights, writer.times(number, blocks.weights_of_row))
            before = [writer.get(variable) for variable in variables]
            self._set(variables, self._one_row(writer.at(image, row), at_weights, before))
        return [writer.get(variable) for variable in variables]

    def _one_row(
        self, row: ir.Value, weights: ir.Value, sums: Sequence[ir.Value]
    ) -> list[ir.Value]:
        """Adds what one row gives: every vector that is read serves all its weights."""
        writer, blocks, result = self.writer, self.blocks, list(sums)
        outputs, vectors = blocks.shape
        read: dict[int, ir.Value] = {}
        for number, (dx, phase, _) in enumerate(blocks.columns):
            factors = [
                writer.broadcast(writer.at(weights, number * outputs + o)) for o in range(outputs)
            ]
            for v in range(vectors):
                column = dx + v * blocks.registers.lanes
                if column not in read:
                    read[column] = writer.load(writer.at(row, column))
                for o, factor in enumerate(factors):
                    i = self.number(o, v, phase)
                    result[i] = writer.fused(factor, read[column], result[i])
        return result

    def _set(self, variables: Sequence[ir.Value], values: Sequence[ir.Value]) -> None:
        for variable, value in zip(variables, values, strict=True):
            self.writer.set(variable, value)

    def number(self, output: int, vector: int, phase: int) -> int:
        """Which of a block's sums is of this output, vector and phase of columns."""
        return (output * self.blocks.shape[1] + vector) * self.blocks.stride + phase

    def biases(self, place: Place) -> list[ir.Value]:
        """Sums that begin with the biases."""
        writer, blocks = self.writer, self.blocks
        outputs, vectors = blocks.shape
        first = writer.at(self.weights, blocks.offsets[-1], writer.times(place.outputs, outputs))
        every = [writer.broadcast(writer.at(first, o)) for o in range(outputs)]
        return [every[o] for o in range(outputs) for _ in range(vectors * blocks.stride)]

    def keep(self, kept: ir.Value, place: Place, sums: list[ir.Value]) -> None:
        """Puts a block's sums where `kept_sums` finds them."""
        for address, value in zip(self._kept(kept, place), sums, strict=True):
            self.writer.store(value, address)

    def kept_sums(self, kept: ir.Value, place: Place) -> list[ir.Value]:
        """Sums that begin where others ended."""
        return [self.writer.load(address) for address in self._kept(kept, place)]

    def _kept(self, kept: ir.Value, place: Place) -> list[ir.Value]:
        writer, blocks = self.writer, self.blocks
        size = blocks.sums * blocks.registers.lanes
        row = blocks.vector_blocks * size
        first = writer.at(
            kept,
            writer.times(place.row, blocks.output_blocks * blocks.height * row),
            writer.times(place.outputs, blocks.height * row),
            writer.times(place.down, row),
            writer.times(place.across, size),
        )
        return [writer.at(first, i * blocks.registers.lanes) for i in range(blocks.sums)]

    def image(self, target: ir.Value, plane: Plane, place: Place, sums: list[ir.Value]) -> None:
        """Ends a block as the stage does, and puts it into an image that another stage reads."""
        writer, blocks = self.writer, self.blocks
        outputs, _ = blocks.shape
        stride = blocks.stride
        first = writer.at(
            target,
            plane.first,
            writer.times(place.row, plane.stride),
            writer.times(place.outputs, outputs * plane.size),
            writer.times(place.down, stride * plane.stride),
        )
        self._store(first, plane.size, plane.width, place, sums)

    def row(self, target: ir.Value, size: int, place: Place, sums: list[ir.Value]) -> None:
        """Ends a block as the stage does, and puts it into one row of every output.

        Args:
            target: address of the rows.
            size: elements from one to the next.
            place: where the block lies.
            sums: the block's.
        """
        self._store(target, size, self.blocks.stage.outputs[2], place, sums)

    def _store(
        self, first: ir.Value, size: int, width: int, place: Place, sums: list[ir.Value]
    ) -> None:
        """Stores columns in order; those that fill the last vector are left out."""
        writer, blocks = self.writer, self.blocks
        (outputs, vectors), lanes = blocks.shape, blocks.registers.lanes
        whole = width % (lanes * blocks.stride) == 0
        begins = writer.times(place.across, vectors * lanes * blocks.stride)
        for o in range(outputs):
            for v in range(vectors):
                ended = [
                    self._ended(sums[self.number(o, v, phase)]) for phase in range(blocks.stride)
                ]
                columns = writer.interleave(*ended) if blocks.stride == 2 else ended
                for i, vector in enumerate(columns):
                    column = writer.plus(begins, (v * blocks.stride + i) * lanes)
                    room = None if whole else writer.minus(width, column)
                    writer.store(vector, writer.at(first, o * size, column), room)

    def _ended(self, value: ir.Value) -> ir.Value:
        for operation in self.blocks.stage.then:
            value = apply(self.writer, operation, value)
        return value
