"""Effects summed inside the graph, on phases where the image comes in phases (equation 3).

As `reduce_effects` of the plain path, but in float32 within a run, centred within it; and the last
interleaving is done on the sums, not on every hybrid. It must not know how hybrids are made.
"""

import onnx_ir as ir
from onnx_ir.tape import Tape

from graftscope.graph._splice import MOMENT, PIXEL_MEANS, TOTAL, Areas, average, named
from graftscope.graph.rewrites._build import extents, ints
from graftscope.graph.rewrites._subpixel import interleaved


def sum_effects(
    graph: ir.Graph, hybrids: ir.Value, original: ir.Value, count: ir.Value, areas: Areas
) -> None:
    """Replaces the output by `TOTAL`, `MOMENT` and `PIXEL_MEANS`, float64.

    Args:
        graph: changed in place.
        hybrids: (E * B, c, H, W).
        original: the image of original 1 in the same arithmetic, (B, c, H, W).
        count: (1,) INT64, E.
        areas: sides of the areas that maps are averaged over.
    """
    tape = Tape(graph)
    shape = extents(hybrids, 4)
    assert shape is not None
    colours, height, width = shape
    stride, phases, phases1 = 1, interleaved(hybrids), interleaved(original)
    if phases is not None and phases1 is not None and phases[1] == phases1[1]:
        (hybrids, stride), (original, _) = phases, phases1
        height, width = height // stride, width // stride
    inner = ints(tape, [-1, stride * stride, colours, height * width])
    stacked = tape.op("Reshape", [hybrids, tape.op("Concat", [count, inner], {"axis": 0})])
    against = tape.op(
        "Reshape", [original, ints(tape, [1, -1, stride**2, colours, height * width])]
    )
    effect = tape.op("Abs", [tape.op("Sub", [stacked, against])])
    maps = tape.op("ReduceMean", [effect, ints(tape, [3])], {"keepdims": 0})  # (E, B, s * s, P)
    means = tape.op("ReduceMean", [maps, ints(tape, [2, 3])], {"keepdims": 0})  # (E, B)
    if areas != Areas():
        maps = average(tape, _whole(tape, maps, count, (stride, height, width)), areas)
    total = tape.op("ReduceSum", [maps, ints(tape, [1])], {"keepdims": 0})
    centre = tape.op("ReduceMean", [maps, ints(tape, [1])], {"keepdims": 1})
    deviation = tape.op("Sub", [maps, centre])
    square = tape.op("Mul", [deviation, deviation])
    moment = tape.op("ReduceSum", [square, ints(tape, [1])], {"keepdims": 0})
    if areas == Areas():
        total, moment = (_map(tape, x, (stride, height, width)) for x in (total, moment))
    graph.outputs[:] = [
        named(tape, tape.op("Cast", [value], {"to": int(ir.DataType.DOUBLE)}), name)
        for value, name in ((total, TOTAL), (moment, MOMENT), (means, PIXEL_MEANS))
    ]


def _map(tape: Tape, maps: ir.Value, phase: tuple[int, int, int]) -> ir.Value:
    """(E, s * s, h * w) to (E, s * h, s * w)."""
    stride, height, width = phase
    split = tape.op("Reshape", [maps, ints(tape, [-1, stride, stride, height, width])])
    mixed = tape.op("Transpose", [split], {"perm": [0, 3, 1, 4, 2]})
    return tape.op("Reshape", [mixed, ints(tape, [-1, height * stride, width * stride])])


def _whole(tape: Tape, maps: ir.Value, count: ir.Value, phase: tuple[int, int, int]) -> ir.Value:
    """(E, B, s * s, h * w) to (E, B, s * h, s * w)."""
    stride, height, width = phase
    whole = _map(tape, maps, phase)
    inner = ints(tape, [-1, height * stride, width * stride])
    return tape.op("Reshape", [whole, tape.op("Concat", [count, inner], {"axis": 0})])
