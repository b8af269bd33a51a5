"""Splicing and reduction, built onto a downstream half (sections 3.1 and 3.2).

Letters: B pairs, E sets of channels, C channels of the layer, (c, H, W) the image, (h, w) the map.
Neither hybrids nor activations leave the graph one by one: a run takes both originals' activations
and gives sums. It must not know sessions, devices or where pairs come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from graftscope.graph.errors import GraphError

# Names of the inputs and outputs that are added; the dot keeps them apart from a model's own names.
ORIGINAL1 = "graftscope.original1"
ORIGINAL2 = "graftscope.original2"
SETS = "graftscope.sets"
IMAGE1 = "graftscope.image1"
HYBRIDS = "graftscope.hybrids"
TOTAL = "graftscope.total"
MOMENT = "graftscope.moment"
PIXEL_MEANS = "graftscope.pixel_means"

# Reductions take their axes as an input from here on, and Shape takes a start.
OPSET_FLOOR = 18


@dataclass(frozen=True)
class Areas:
    """Side lengths in pixels of the areas that a map is averaged over; (1, 1) keeps every pixel."""

    height: int = 1
    width: int = 1


def splice(
    downstream: ir.Model, *, activation: str | None = None, channel_axis: int = 1
) -> ir.Model:
    """Puts the swap of sets of channels before a downstream half (Definition 5).

    The model is changed in place and returned. Its activation input is replaced by three:
    `ORIGINAL1` (B, C, ...), `ORIGINAL2` (B, C, ...) and `SETS` (E, C), boolean; carried tensors
    (B, ...) stay and are repeated for every set. Its output becomes `HYBRIDS` (E * B, c, H, W), all
    pairs of the first set first. Values are selected, never computed from both.

    Args:
        downstream: a graph whose inputs are the activation and the carried tensors.
        activation: the activation's name; None takes the first input.
        channel_axis: the activation's axis of channels: 1 for maps and vectors, 2 for tokens.

    Raises:
        GraphError: the graph has no such input, not one output, or an opset below 18.
    """
    _check(downstream)
    graph = downstream.graph
    tape = Tape(graph)
    edited, carried = activation_first(graph, activation)
    original1, original2 = (like(edited, name) for name in (ORIGINAL1, ORIGINAL2))
    sets = typed_input(SETS, ir.DataType.BOOL, ["sets", "channels"])

    replace_uses(graph, edited, select(tape, original1, original2, sets, channel_axis))

    count = tape.op("Shape", [sets], {"start": 0, "end": 1})
    for value in filter(is_batched, carried):
        replace_uses(graph, value, repeat(tape, value, count))
    graph.inputs[:] = [original1, original2, sets, *carried]
    graph.outputs[0] = tape.op("Identity", [graph.outputs[0]], output=ir.Value(name=HYBRIDS))
    graph.outputs[0].dtype = ir.DataType.FLOAT
    graph.sort()
    return downstream


def select(
    tape: Tape, original1: ir.Value, original2: ir.Value, sets: ir.Value, channel_axis: int
) -> ir.Value:
    """The spliced activation, (E * B, C, ...), of two (B, C, ...) and sets (E, C)."""
    rank = len(original1.shape or ())
    others = [axis for axis in range(rank + 1) if axis not in (0, channel_axis + 1)]
    chosen = tape.op("Unsqueeze", [sets, _ints(tape, others)])  # (E, 1, C, 1, 1)
    donor = tape.op("Unsqueeze", [original2, _ints(tape, [0])])  # (1, B, C, h, w)
    kept = tape.op("Unsqueeze", [original1, _ints(tape, [0])])
    spliced = tape.op("Where", [chosen, donor, kept])  # (E, B, C, h, w)
    result = merge_leading(tape, spliced, like=original1)
    result.shape, result.type = original1.shape, original1.type
    return result


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
    against = tape.op("Unsqueeze", [image1, _ints(tape, [0])])
    effect = tape.op("Abs", [tape.op("Sub", [stacked, against])])
    grey = tape.op("ReduceMean", [effect, _ints(tape, [2])], {"keepdims": 0})  # (E, B, H, W)
    wide = _double(tape, grey)
    means = tape.op("ReduceMean", [wide, _ints(tape, [2, 3])], {"keepdims": 0})  # (E, B)
    maps = wide if areas == Areas() else _double(tape, average(tape, grey, areas))

    total = tape.op("ReduceSum", [maps, _ints(tape, [1])], {"keepdims": 0})  # (E, h, w)
    centre = tape.op("ReduceMean", [maps, _ints(tape, [1])], {"keepdims": 1})
    deviation = tape.op("Sub", [maps, centre])
    square = tape.op("Mul", [deviation, deviation])
    moment = tape.op("ReduceSum", [square, _ints(tape, [1])], {"keepdims": 0})
    graph.outputs[:] = [
        named(tape, value, name)
        for value, name in ((total, TOTAL), (moment, MOMENT), (means, PIXEL_MEANS))
    ]
    graph.sort()
    return hybrids


def _count_of_sets(tape: Tape, graph: ir.Graph) -> ir.Value:
    """E as a vector of one number."""
    sets = [value for value in graph.inputs if value.name == SETS]
    return tape.op("Shape", sets, {"start": 0, "end": 1}) if sets else _ints(tape, [1])


def _check(model: ir.Model) -> None:
    graph = model.graph
    if not graph.inputs or len(graph.outputs) != 1:
        raise GraphError(
            f"a downstream half has an activation and one image, this graph has "
            f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs"
        )
    opset = graph.opset_imports.get("", 0)
    if opset < OPSET_FLOOR:
        raise GraphError(f"the graph is of opset {opset}; splicing needs {OPSET_FLOOR} or newer")


def activation_first(graph: ir.Graph, name: str | None) -> tuple[ir.Value, list[ir.Value]]:
    """The activation, and the carried tensors."""
    names = [value.name for value in graph.inputs]
    if name is not None and name not in names:
        raise GraphError(f"the graph has no input {name!r}; it has: {', '.join(map(str, names))}")
    edited = graph.inputs[0 if name is None else names.index(name)]
    return edited, [value for value in graph.inputs if value is not edited]


def typed_input(name: str, dtype: ir.DataType, shape: Sequence[str | int | None]) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))


def like(value: ir.Value, name: str) -> ir.Value:
    return ir.Value(name=name, type=value.type, shape=value.shape)


def _ints(tape: Tape, values: Sequence[int]) -> ir.Value:
    """A constant in a node of its own, so that no name can clash."""
    return tape.op("Constant", [], {"value": ir.tensor(np.array(values, dtype=np.int64))})


def _double(tape: Tape, value: ir.Value) -> ir.Value:
    return tape.op("Cast", [value], {"to": int(ir.DataType.DOUBLE)})


def named(tape: Tape, value: ir.Value, name: str) -> ir.Value:
    output = typed_input(name, ir.DataType.DOUBLE, ())
    output.shape = None
    return tape.op("Identity", [value], output=output)


def is_batched(value: ir.Value) -> bool:
    """Whether a carried tensor has one entry a sample: its first axis is free."""
    return bool(value.shape) and not isinstance(value.shape[0], int)  # type: ignore[index]


def merge_leading(tape: Tape, value: ir.Value, *, like: ir.Value) -> ir.Value:
    """(E, B, ...) to (E * B, ...), with the inner extents of `like`."""
    inner = tape.op("Shape", [like], {"start": 1})
    return tape.op("Reshape", [value, tape.op("Concat", [_ints(tape, [-1]), inner], {"axis": 0})])


def repeat(tape: Tape, value: ir.Value, count: ir.Value) -> ir.Value:
    """(B, ...) to (E * B, ...): the whole batch once for every set."""
    shape = tape.op("Concat", [count, tape.op("Shape", [value])], {"axis": 0})
    stacked = tape.op("Expand", [tape.op("Unsqueeze", [value, _ints(tape, [0])]), shape])
    return merge_leading(tape, stacked, like=value)


def replace_uses(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Lets the model's own nodes use `new`; those that make `new` go on with `old`, in place."""
    makers = _ancestors(new)
    for use in tuple(old.uses()):
        if use.node not in makers:
            use.node.replace_input_with(use.idx, new)
    graph.outputs[:] = [new if output is old else output for output in graph.outputs]


def _ancestors(value: ir.Value) -> set[ir.Node]:
    found: set[ir.Node] = set()
    waiting = [value.producer()]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting.extend(source.producer() for source in node.inputs if source is not None)
    return found


def average(tape: Tape, maps: ir.Value, areas: Areas) -> ir.Value:
    """(E, B, H, W) to (E, B, h, w): pooling takes sets for the batch and pairs for channels."""
    sides = [areas.height, areas.width]
    return tape.op(
        "AveragePool",
        [maps],
        {"kernel_shape": sides, "strides": sides, "ceil_mode": 1, "count_include_pad": 0},
    )
