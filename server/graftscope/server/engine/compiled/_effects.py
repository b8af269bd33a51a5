"""The effects of swapping channels in code, from the cut to the sums (section 3.2, equation 3).

Two functions: one for a batch of pairs, one for a run; both call a third one, for one hybrid. A
hybrid begins with the first convolution of original 1, which is kept, and its own channel's share;
its image exists row by row only. Maps are merged into their mean and their squared deviations pair
by pair (Welford). Original 1's image comes from the same code with a difference of zeros, so that a
channel that both originals share has no effect at all.

Letters: B pairs, E channels swapped one at a time, C channels of the layer, O colours, (H, W) the
image. It must not know arrays or how code is compiled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from llvmlite import ir

from graftscope.server.engine.compiled._chain import SUM_LANES, Chain
from graftscope.server.engine.compiled._convolve import Convolve, Place
from graftscope.server.engine.compiled._writer import INT, POINTER, Writer

PREPARE, RUN = "prepare", "run"

PREPARE_ARGUMENTS = (INT, *[POINTER] * 5)
"""Pairs; weights; both originals, (B, C, h, w); what is prepared; working memory."""

RUN_ARGUMENTS = (INT, INT, *[POINTER] * 7)
"""Pairs, channels; weights; what is prepared; which channels; working memory; the mean maps and
their squared deviations, (E, H, across); the sums of every map, (E, B)."""

_HYBRID = "hybrid"
_HYBRID_ARGUMENTS = (INT, INT, *[POINTER] * 7)


def write_effects(layout: Chain) -> ir.Module:
    """Writes both functions, `PREPARE` and `RUN`."""
    module = ir.Module("effects")
    _write_hybrid(module, layout)
    _write_prepare(module, layout)
    _write_run(module, layout)
    return module


@dataclass(frozen=True)
class _Memory:
    """Where all that a pair needs lies.

    Attributes:
        writer: of the function.
        layout: the chain.
        weights: address of `Chain.weights`.
        own: address of what is prepared of the pair.
        buffer: address of the working memory.
    """

    writer: Writer
    layout: Chain
    weights: ir.Value
    own: ir.Value
    buffer: ir.Value

    def stage(self, number: int) -> Convolve:
        at = self.writer.at(self.weights, self.layout.weight_offsets[number])
        return Convolve(self.writer, self.layout.blocks[number], at)

    def buffer_of(self, number: int) -> ir.Value:
        """What a stage reads."""
        return self.writer.at(self.buffer, self.layout.buffer_offsets[number])

    @property
    def zeros(self) -> ir.Value:
        return self.buffer_of(len(self.layout.stages))

    @property
    def row(self) -> ir.Value:
        """A row of every colour."""
        return self.buffer_of(len(self.layout.stages) + 1)

    @property
    def kept(self) -> ir.Value:
        """The first sums of original 1."""
        return self.writer.at(self.own, self.layout.pair_offsets[0])

    @property
    def differences(self) -> ir.Value:
        return self.writer.at(self.own, self.layout.pair_offsets[1])

    @property
    def image1(self) -> ir.Value:
        return self.writer.at(self.own, self.layout.pair_offsets[2])

    def of_colours(self, row: ir.Value, number: ir.Value) -> list[tuple[ir.Value, ir.Value]]:
        """Addresses of every colour's vector of this number, in the row and in original 1's."""
        writer, (colours, height, across) = self.writer, self.layout.image
        column, begins = writer.times(number, writer.lanes), writer.times(row, across)
        return [
            (
                writer.at(self.row, colour * across, column),
                writer.at(self.image1, colour * height * across, begins, column),
            )
            for colour in range(colours)
        ]


def _write_prepare(module: ir.Module, layout: Chain) -> None:
    writer = Writer(module, PREPARE, PREPARE_ARGUMENTS, layout.registers.lanes)
    pairs, weights, first, second, prepared, buffer = writer.arguments
    with writer.loop(pairs) as pair:
        own = writer.at(prepared, writer.times(pair, layout.pair_offsets[-1]))
        memory = _Memory(writer, layout, weights, own, buffer)
        _copy_originals(memory, (first, second), pair)
        stage, kept = memory.stage(0), memory.kept
        stage.write(memory.buffer_of(0), stage.biases, partial(stage.keep, kept))
        zero, nothing = writer.index(0), writer.nowhere()
        writer.call(_HYBRID, zero, zero, weights, own, buffer, memory.zeros, *[nothing] * 3)
    writer.end()


def _copy_originals(memory: _Memory, originals: tuple[ir.Value, ir.Value], pair: ir.Value) -> None:
    """Puts original 1, and how far original 2 is from it, between zeros."""
    writer, layout = memory.writer, memory.layout
    channels, height, width = layout.stages[0].inputs
    plane, image, differences = layout.blocks[0].source, memory.buffer_of(0), memory.differences
    _clear(writer, differences, channels * plane.size)
    first, second = (writer.at(x, writer.times(pair, channels * height * width)) for x in originals)
    with writer.loop(channels) as channel, writer.loop(height) as y:
        source = writer.plus(writer.times(channel, height * width), writer.times(y, width))
        target = writer.plus(
            plane.first, writer.times(channel, plane.size), writer.times(y, plane.stride)
        )
        for x, room in writer.columns(width):
            one, other = (writer.load(writer.at(z, source, x), room) for z in (first, second))
            writer.store(one, writer.at(image, target, x), room)
            writer.store(writer.subtract(other, one), writer.at(differences, target, x), room)


def _clear(writer: Writer, address: ir.Value, size: int) -> None:
    """Fills memory with zeros."""
    zeros, whole = writer.constant(0.0), size // writer.lanes
    with writer.loop(whole) as number:
        writer.store(zeros, writer.at(address, writer.times(number, writer.lanes)))
    if size % writer.lanes:
        rest = writer.at(address, whole * writer.lanes)
        writer.store(zeros, rest, size % writer.lanes)


def _write_run(module: ir.Module, layout: Chain) -> None:
    writer = Writer(module, RUN, RUN_ARGUMENTS, layout.registers.lanes)
    pairs, sets, weights, prepared, channels, buffer, means, deviations, sums = writer.arguments
    _, height, across = layout.image
    with writer.loop(pairs) as pair:
        own = writer.at(prepared, writer.times(pair, layout.pair_offsets[-1]))
        memory = _Memory(writer, layout, weights, own, buffer)
        count = writer.plus(pair, 1)
        with writer.loop(sets) as number:
            channel = writer.load_index(channels, number)
            begins = writer.times(channel, layout.blocks[0].source.size)
            difference = writer.at(memory.differences, begins)
            mean, deviation = (
                writer.at(maps, writer.times(number, height * across))
                for maps in (means, deviations)
            )
            total = writer.at(sums, writer.plus(writer.product(number, pairs), pair))
            addresses = (weights, own, buffer, difference, mean, deviation, total)
            writer.call(_HYBRID, count, channel, *addresses)
    writer.end()


def _write_hybrid(module: ir.Module, layout: Chain) -> None:
    """One hybrid of the pair of this number, from 1 on, is merged; of number 0, original 1."""
    lanes = layout.registers.lanes
    writer = Writer(module, _HYBRID, _HYBRID_ARGUMENTS, lanes, inner=True)
    count, channel, weights, own, buffer, difference, mean, deviation, total = writer.arguments
    memory = _Memory(writer, layout, weights, own, buffer)
    share = writer.divide(writer.constant(1.0), writer.spread_index(count))
    totals = [writer.variable() for _ in range(SUM_LANES // lanes)]
    for variable in totals:
        writer.set(variable, writer.constant(0.0))
    maps = _Maps(memory, mean, deviation, share, totals)

    def row_done(row: ir.Value) -> None:
        with writer.when(count, "==", 0):
            _keep_row(memory, row)
        with writer.when(count, "!=", 0):
            maps.add_row(row)

    last = len(layout.stages) - 1
    for number in range(last + 1):
        stage = memory.stage(number)
        stage.write(
            memory.buffer_of(number) if number else difference,
            stage.biases if number else partial(stage.kept_sums, memory.kept),
            _end(memory, number, stage),
            channel=None if number else channel,
            row_done=row_done if number == last else None,
        )
    with writer.when(count, "!=", 0):
        writer.store_one(writer.sum([writer.get(variable) for variable in totals]), total)
    writer.end()


def _end(memory: _Memory, number: int, stage: Convolve) -> Callable[[Place, list[ir.Value]], None]:
    """What takes a block's sums of a stage: the next one's image, or a row of the last one."""
    if number == len(memory.layout.stages) - 1:
        return partial(stage.row, memory.row, memory.layout.image[2])
    plane = memory.layout.blocks[number + 1].source
    return partial(stage.image, memory.buffer_of(number + 1), plane)


def _keep_row(memory: _Memory, row: ir.Value) -> None:
    """Keeps a row of original 1's image."""
    writer, (_, _, across) = memory.writer, memory.layout.image
    with writer.loop(across // writer.lanes) as number:
        for source, target in memory.of_colours(row, number):
            writer.store(writer.load(source), target)


@dataclass(frozen=True, eq=False)
class _Maps:
    """Where a hybrid's map goes, row by row.

    Attributes:
        memory: of the pair.
        mean: address of the mean map so far.
        deviation: address of the sum of squared deviations.
        share: one over the number of pairs with this one.
        totals: variables, `SUM_LANES` partial sums of the map.
    """

    memory: _Memory
    mean: ir.Value
    deviation: ir.Value
    share: ir.Value
    totals: Sequence[ir.Value]

    def add_row(self, row: ir.Value) -> None:
        """Adds |hybrid - original 1|, averaged over colours, of one row."""
        writer, (_, _, across) = self.memory.writer, self.memory.layout.image
        begins = writer.times(row, across)
        with writer.loop(across // SUM_LANES) as turn:
            for i, total in enumerate(self.totals):
                number = writer.plus(writer.times(turn, len(self.totals)), i)
                value = self._effect(row, number)
                writer.set(total, writer.add(writer.get(total), value))
                self._merge(writer.plus(begins, writer.times(number, writer.lanes)), value)

    def _effect(self, row: ir.Value, number: ir.Value) -> ir.Value:
        writer, (colours, _, _) = self.memory.writer, self.memory.layout.image
        total, *others = [
            writer.absolute(writer.subtract(writer.load(hybrid), writer.load(original)))
            for hybrid, original in self.memory.of_colours(row, number)
        ]
        for effect in others:
            total = writer.add(total, effect)
        return writer.multiply(total, writer.constant(1.0 / colours))

    def _merge(self, place: ir.Value, value: ir.Value) -> None:
        writer = self.memory.writer
        mean_at, deviation_at = writer.at(self.mean, place), writer.at(self.deviation, place)
        before = writer.load(mean_at)
        apart = writer.subtract(value, before)
        mean = writer.fused(apart, self.share, before)
        deviation = writer.fused(apart, writer.subtract(value, mean), writer.load(deviation_at))
        writer.store(mean, mean_at)
        writer.store(deviation, deviation_at)
