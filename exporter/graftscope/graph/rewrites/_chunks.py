"""Interleavings that stay inside a graph done on whole pixels.

1. `DepthToSpace` (DCR) of a `Transpose` that put channels in front: done before that
   transposition, where a pixel's channels lie together and are moved as one.
2. `DepthToSpace` (DCR) of a `Concat` of phases: pixels of the phases are put beside each other,
   then their rows.

ONNX Runtime keeps convolutions in a blocked layout, which it reaches from pixels' channels with
less work than from whole channels; a pooling of single pixels makes it do so once for several
readers.
"""

import onnx_ir as ir
from onnx_ir.tape import Tape

from graftscope.graph._operations import operation
from graftscope.graph.rewrites._nodes import (
    clean,
    extents,
    image_extents,
    only_use,
    replace,
    reshape,
    sized,
    transpose,
)
from graftscope.graph.rewrites._subpixel import interleaved, joined

_TO_FRONT = (0, 3, 1, 2)
_TO_BACK = (0, 2, 3, 1)


def interleave_in_chunks(model: ir.Model) -> ir.Model:
    """Rewrites interleavings whose result is read inside the graph; in place.

    Args:
        model: best after `defer_interleaving`.

    Returns:
        The same model.
    """
    for node in list(model.graph):
        output = node.outputs[0]
        if interleaved(output) is not None and not output.is_graph_output():
            _in_chunks(model.graph, node)
    clean(model)
    return model


def _in_chunks(graph: ir.Graph, node: ir.Node) -> None:
    output = node.outputs[0]
    shape, stride = extents(output, 4), node.attributes.get_int("blocksize")
    source = node.inputs[0]
    producer = source.producer() if source is not None else None
    if shape is None or producer is None or only_use(producer.outputs[0]) is not node:
        return
    tape = Tape(graph)
    if (
        operation(producer) == "Transpose"
        and tuple(producer.attributes.get_ints("perm")) == _TO_FRONT
    ):
        pixels = _split(tape, producer.inputs[0], shape, stride)
    else:
        phases = joined(producer.outputs[0])
        if phases is None or [image_extents(x)[0] for x in phases] != [shape[0]] * stride**2:
            return
        pixels = _join(tape, phases, shape, stride)
    front = sized(transpose(tape, pixels, _TO_FRONT), *shape)
    if only_use(output) is None:
        front = sized(tape.op("MaxPool", [front], {"kernel_shape": [1, 1]}), *shape)
    replace(graph, output, front)


def _split(tape: Tape, pixels: ir.Value | None, shape: tuple[int, ...], stride: int) -> ir.Value:
    """(N, h, w, s * s * C) to (N, s * h, s * w, C)."""
    assert pixels is not None
    channels, height, width = shape
    split = reshape(
        tape, pixels, (-1, height // stride, width // stride, stride, stride * channels)
    )
    mixed = transpose(tape, split, (0, 1, 3, 2, 4))
    return reshape(tape, mixed, (-1, height, width, channels))


def _join(tape: Tape, phases: list[ir.Value], shape: tuple[int, ...], stride: int) -> ir.Value:
    """s * s times (N, C, h, w) to (N, s * h, s * w, C)."""
    channels, height, width = shape
    rows = []
    for i in range(stride):
        beside = [transpose(tape, x, _TO_BACK) for x in phases[i * stride : (i + 1) * stride]]
        row = tape.op("Concat", beside, {"axis": 3})  # (N, h, w, s * C)
        rows.append(reshape(tape, row, (-1, height // stride, 1, width * channels)))
    return reshape(tape, tape.op("Concat", rows, {"axis": 2}), (-1, height, width, channels))
