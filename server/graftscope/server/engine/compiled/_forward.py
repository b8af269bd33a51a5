"""Stages in code, sample by sample: what originals are made by, above the cut.

Letters: N samples, C channels of what is read, O of what is given. It must not know arrays or how
code is compiled.
"""

from functools import partial

from llvmlite import ir

from graftscope.server.engine.compiled._blocks import Plane
from graftscope.server.engine.compiled._chain import Stages
from graftscope.server.engine.compiled._convolve import Convolve
from graftscope.server.engine.compiled._writer import INT, POINTER, Writer

FORWARD = "forward"

FORWARD_ARGUMENTS = (INT, *[POINTER] * 4)
"""Samples; weights; what is read, (N, C, h, w); what is given, (N, O, H, W); working memory."""


def write_forward(stages: Stages) -> ir.Module:
    """Writes the function `FORWARD`."""
    module = ir.Module("forward")
    writer = Writer(module, FORWARD, FORWARD_ARGUMENTS, stages.registers.lanes)
    samples, weights, given, result, buffer = writer.arguments
    outputs, height, width = stages.stages[-1].outputs
    channels, *extents = stages.stages[0].inputs
    dense = Plane(height, width, top=0, left=0, rows=height, stride=width)
    with writer.loop(samples) as sample:
        reads = [writer.at(buffer, offset) for offset in stages.buffer_offsets[:-1]]
        own = writer.at(given, writer.times(sample, channels * extents[0] * extents[1]))
        _copy(writer, stages, own, reads[0])
        targets = [*reads[1:], writer.at(result, writer.times(sample, outputs * dense.size))]
        planes = [*(blocks.source for blocks in stages.blocks[1:]), dense]
        for i, blocks in enumerate(stages.blocks):
            stage = Convolve(writer, blocks, writer.at(weights, stages.weight_offsets[i]))
            stage.write(reads[i], stage.biases, partial(stage.image, targets[i], planes[i]))
    writer.end()
    return module


def _copy(writer: Writer, stages: Stages, given: ir.Value, target: ir.Value) -> None:
    """Puts a sample between zeros."""
    channels, height, width = stages.stages[0].inputs
    plane = stages.blocks[0].source
    with writer.loop(channels) as channel, writer.loop(height) as y:
        source = writer.at(given, writer.times(channel, height * width), writer.times(y, width))
        row = writer.at(
            target,
            plane.first,
            writer.times(channel, plane.size),
            writer.times(y, plane.stride),
        )
        for x, room in writer.columns(width):
            writer.store(writer.load(writer.at(source, x), room), writer.at(row, x), room)
