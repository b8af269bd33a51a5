"""Hybrids reduced to sums inside the graph (section 3.2, equation 3), and runs' sums merged there.

Letters: B pairs, E sets of channels, (c, H, W) the image, (h, w) the map. Hybrids do not leave the
graph one by one: a run gives sums. It must not know sessions, devices or where pairs come from.
"""

from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.tape import Tape

from graftscope.graph._splice import OPSET_FLOOR, SETS
from graftscope.graph._values import ints, typed_input

# Names of the inputs and outputs that are added; the dot keeps them apart from a model's own names.
IMAGE1 = "graftscope.image1"
TOTAL = "graftscope.total"
MOMENT = "graftscope.moment"
PIXEL_MEANS = "graftscope.pixel_means"
COUNT = "graftscope.count"
MEAN = "graftscope.mean"
M2 = "graftscope.m2"
ADDED = "graftscope.added"

_IR_VERSION = 10
_MAP = ("sets", "height", "width")


@dataclass(frozen=True)
class Areas:
    """Side lengths in pixels of the areas that a map is averaged over; (1, 1) keeps every pixel."""

    height: int = 1
    width: int = 1


def reduce_effects(hybrids: ir.Model, *, areas: Areas = Areas()) -> ir.Model:
    """Reduces hybrids to the sums of their absolute differences from original 1 (equation 3).

    The model is changed in place and returned. It gains the input `IMAGE1` (B, c, H, W) and its
    output is replaced by three, in float64, all centred within this run's B pairs:

    1. `TOTAL` (E, h, w): sum over pairs of the map |hybrid - original 1|, averaged over colour.
    2. `MOMENT` (E, h, w): sum over pairs of the squared deviation from the run's own mean map.
    3. `PIXEL_MEANS` (E, B): every pair's mean over all pixels.

    Args:
        hybrids: a graph that gives `HYBRIDS`: what `splice` returns, or an intervention's lower
            half, which makes one hybrid a pair, so that E is 1.
        areas: sides of the areas that maps are averaged over; the last of a row may be partial.
    """
    graph = hybrids.graph
    tape = Tape(graph)
    images = graph.outputs[0]
    image1 = typed_input(IMAGE1, ir.DataType.FLOAT, ["batch", "colour", "height", "width"])
    graph.inputs.append(image1)

    count = _count_of_sets(tape, graph)
    shape = tape.op("Concat", [count, tape.op("Shape", [image1])], {"axis": 0})
    stacked = tape.op("Reshape", [images, shape])  # (E, B, c, H, W)
    against = tape.op("Unsqueeze", [image1, ints(tape, [0])])
    effect = tape.op("Abs", [tape.op("Sub", [stacked, against])])
    grey = tape.op("ReduceMean", [effect, ints(tape, [2])], {"keepdims": 0})  # (E, B, H, W)
    wide = double(tape, grey)
    means = tape.op("ReduceMean", [wide, ints(tape, [2, 3])], {"keepdims": 0})  # (E, B)
    maps = wide if areas == Areas() else double(tape, average(tape, grey, areas))
    total, moment = moments(tape, maps)
    graph.outputs[:] = sum_outputs(tape, total, moment, means)
    graph.sort()
    return hybrids


def _count_of_sets(tape: Tape, graph: ir.Graph) -> ir.Value:
    """E as a vector of one number."""
    sets = [value for value in graph.inputs if value.name == SETS]
    return tape.op("Shape", sets, {"start": 0, "end": 1}) if sets else ints(tape, [1])


def moments(tape: Tape, maps: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Sum over pairs, and sum of squared deviations from their mean: (E, B, ...) to (E, ...)."""
    total = tape.op("ReduceSum", [maps, ints(tape, [1])], {"keepdims": 0})
    centre = tape.op("ReduceMean", [maps, ints(tape, [1])], {"keepdims": 1})
    deviation = tape.op("Sub", [maps, centre])
    square = tape.op("Mul", [deviation, deviation])
    return total, tape.op("ReduceSum", [square, ints(tape, [1])], {"keepdims": 0})


def sum_outputs(tape: Tape, total: ir.Value, moment: ir.Value, means: ir.Value) -> list[ir.Value]:
    """`TOTAL`, `MOMENT` and `PIXEL_MEANS`, of values in float64."""
    named = ((total, TOTAL), (moment, MOMENT), (means, PIXEL_MEANS))
    kind = ir.TensorType(ir.DataType.DOUBLE)
    return [
        tape.op("Identity", [value], output=ir.Value(name=name, type=kind)) for value, name in named
    ]


def double(tape: Tape, value: ir.Value) -> ir.Value:
    return tape.op("Cast", [value], {"to": int(ir.DataType.DOUBLE)})


def average(tape: Tape, maps: ir.Value, areas: Areas) -> ir.Value:
    """(E, B, H, W) to (E, B, h, w): pooling takes sets for the batch and pairs for channels."""
    sides = [areas.height, areas.width]
    return tape.op(
        "AveragePool",
        [maps],
        {"kernel_shape": sides, "strides": sides, "ceil_mode": 1, "count_include_pad": 0},
    )


def accumulate() -> ir.Model:
    """Chan's rule in float64: the moments of all pairs so far from those before and a run's sums.

    Its inputs are `COUNT` (1,), the pairs before, 0 with any finite `MEAN` and an `M2` of zeros for
    none; `MEAN` (E, h, w), their mean map; `M2` (E, h, w), their sum of squared deviations from it;
    `ADDED` (1,), the run's pairs, at least 1; and what `reduce_effects` gives of them, `TOTAL` and
    `MOMENT`. Its outputs are the new `MEAN` and `M2`, named so with `.next` after it.
    """
    wide = ir.DataType.DOUBLE
    count, added = (typed_input(name, wide, (1,)) for name in (COUNT, ADDED))
    mean, m2, total, moment = (typed_input(name, wide, _MAP) for name in (MEAN, M2, TOTAL, MOMENT))
    graph = ir.Graph(
        [count, mean, m2, added, total, moment],
        [],
        nodes=[],
        opset_imports={"": OPSET_FLOOR},
        name="accumulate",
    )
    tape = Tape(graph)
    pairs = tape.op("Add", [count, added])
    share = tape.op("Div", [added, pairs])
    weight = tape.op("Div", [tape.op("Mul", [count, added]), pairs])
    delta = tape.op("Sub", [tape.op("Div", [total, added]), mean])
    apart = tape.op("Mul", [tape.op("Mul", [delta, delta]), weight])
    next_mean = tape.op("Add", [mean, tape.op("Mul", [delta, share])])
    next_m2 = tape.op("Add", [tape.op("Add", [m2, moment]), apart])
    graph.outputs[:] = [
        tape.op("Identity", [value], output=typed_input(f"{name}.next", wide, _MAP))
        for value, name in ((next_mean, MEAN), (next_m2, M2))
    ]
    return ir.Model(graph, ir_version=_IR_VERSION)
