"""Splicing, built onto a downstream half (Definition 5): set by set, or sample by sample; or alone.

Letters: B pairs, E sets of channels, C channels of the layer, (c, H, W) the image. Sample by
sample, every image says which samples it is made of, so that one run gives originals and hybrids of
many pairs, each with a set E of its own; S are samples and N images. It must not know sessions,
devices or where pairs come from.
"""

from collections.abc import Sequence

import onnx_ir as ir
from onnx_ir.tape import Tape

from graftscope.graph._values import ints, like, typed_input
from graftscope.graph.errors import GraphError, UnknownTensorError

# Names of the inputs and outputs that are added; the dot keeps them apart from a model's own names.
ORIGINAL1 = "graftscope.original1"
ORIGINAL2 = "graftscope.original2"
SETS = "graftscope.sets"
HYBRIDS = "graftscope.hybrids"
SAMPLES = "graftscope.samples"
FIRST = "graftscope.first"
DONORS = "graftscope.donors"
SPLICED = "graftscope.spliced"

# Reductions take their axes as an input from here on, and Shape takes a start.
OPSET_FLOOR = 18
_IR_VERSION = 8
"""What belongs to that opset."""


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
        UnknownTensorError: the graph has no such input.
        GraphError: it has not one output, or an opset below 18.
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
    give_hybrids(tape, graph)
    return downstream


def splice_samples(downstream: ir.Model, *, activation: str, channel_axis: int = 1) -> ir.Model:
    """Puts a choice of samples, and a swap of channels between them, before a downstream half.

    The model is changed in place and returned. Its activation input is replaced by four: `SAMPLES`
    (S, C, ...); `FIRST` (N,) and `DONORS` (N,) INT64, which of the samples an image is made of;
    and `SETS` (N, C), boolean, the channels that the donor gives. Carried tensors (S, ...) stay;
    an image takes those of its first sample. Its output becomes `HYBRIDS` (N, c, H, W). Values are
    selected, never computed from both.

    Args:
        downstream: a graph whose inputs are the activation and the carried tensors.
        activation: the activation's name.
        channel_axis: the activation's axis of channels: 1 for maps and vectors, 2 for tokens.

    Raises:
        UnknownTensorError: the graph has no such input.
    """
    graph = downstream.graph
    tape = Tape(graph)
    edited, carried = activation_first(graph, activation)
    samples = like(edited, SAMPLES)
    first, donors = (typed_input(name, ir.DataType.INT64, ["images"]) for name in (FIRST, DONORS))
    sets = typed_input(SETS, ir.DataType.BOOL, ["images", "channels"])

    kept = tape.op("Gather", [samples, first], {"axis": 0})  # (N, C, h, w)
    given = tape.op("Gather", [samples, donors], {"axis": 0})
    spliced = _choose(tape, sets, given, kept, channel_axis, like=edited)
    replace_uses(graph, edited, spliced)
    for value in filter(is_batched, carried):
        replace_uses(graph, value, tape.op("Gather", [value, first], {"axis": 0}))

    graph.inputs[:] = [samples, first, donors, sets, *carried]
    give_hybrids(tape, graph)
    return downstream


def splicer(
    activation: ir.Value, *, channel_axis: int = 1, unread: Sequence[ir.Value] = ()
) -> ir.Model:
    """Makes a graph that splices and does nothing else, for whoever runs halves one by one.

    Its inputs are `ORIGINAL1` (B, C, ...), `ORIGINAL2` (B, C, ...) and `SETS` (B, C), boolean, the
    channels that a pair takes from original 2; its output is `SPLICED` (B, C, ...). Values are
    selected, never computed from both.

    Args:
        activation: an activation, which tells shape and element type.
        channel_axis: its axis of channels: 1 for maps and vectors, 2 for tokens.
        unread: further inputs to take, which the graph does not read.
    """
    original1, original2 = (like(activation, name) for name in (ORIGINAL1, ORIGINAL2))
    extents = tuple(activation.shape or ())
    sets = typed_input(SETS, ir.DataType.BOOL, [extents[0], extents[channel_axis]])
    others = [like(value, value.name or "") for value in unread]
    graph = ir.Graph(
        [original1, original2, sets, *others],
        [],
        nodes=[],
        opset_imports={"": OPSET_FLOOR},
        name="splice",
    )
    tape = Tape(graph)
    spliced = _choose(tape, sets, original2, original1, channel_axis, like=activation)
    spliced.name = SPLICED
    graph.outputs.append(spliced)
    return ir.Model(graph, ir_version=_IR_VERSION)


def _choose(
    tape: Tape,
    sets: ir.Value,
    given: ir.Value,
    kept: ir.Value,
    channel_axis: int,
    *,
    like: ir.Value,
) -> ir.Value:
    """Of (N, C, ...) the one or the other, by sets (N, C)."""
    others = [axis for axis in range(1, len(like.shape or ())) if axis != channel_axis]
    chosen = tape.op("Unsqueeze", [sets, ints(tape, others)]) if others else sets
    spliced = tape.op("Where", [chosen, given, kept])
    spliced.type, spliced.shape = like.type, like.shape
    return spliced


def select(
    tape: Tape, original1: ir.Value, original2: ir.Value, sets: ir.Value, channel_axis: int
) -> ir.Value:
    """The spliced activation, (E * B, C, ...), of two (B, C, ...) and sets (E, C)."""
    rank = len(original1.shape or ())
    others = [axis for axis in range(rank + 1) if axis not in (0, channel_axis + 1)]
    chosen = tape.op("Unsqueeze", [sets, ints(tape, others)])  # (E, 1, C, 1, 1)
    donor = tape.op("Unsqueeze", [original2, ints(tape, [0])])  # (1, B, C, h, w)
    kept = tape.op("Unsqueeze", [original1, ints(tape, [0])])
    spliced = tape.op("Where", [chosen, donor, kept])  # (E, B, C, h, w)
    result = merge_leading(tape, spliced, like=original1)
    result.shape, result.type = original1.shape, original1.type
    return result


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
        known = ", ".join(map(str, names))
        raise UnknownTensorError(f"the graph has no input {name!r}; it has: {known}")
    edited = graph.inputs[0 if name is None else names.index(name)]
    return edited, [value for value in graph.inputs if value is not edited]


def is_batched(value: ir.Value) -> bool:
    """Whether a carried tensor has one entry a sample: its first axis is free."""
    return bool(value.shape) and not isinstance(value.shape[0], int)  # type: ignore[index]


def merge_leading(tape: Tape, value: ir.Value, *, like: ir.Value) -> ir.Value:
    """(E, B, ...) to (E * B, ...), with the inner extents of `like`."""
    inner = tape.op("Shape", [like], {"start": 1})
    return tape.op("Reshape", [value, tape.op("Concat", [ints(tape, [-1]), inner], {"axis": 0})])


def repeat(tape: Tape, value: ir.Value, count: ir.Value) -> ir.Value:
    """(B, ...) to (E * B, ...): the whole batch once for every set."""
    shape = tape.op("Concat", [count, tape.op("Shape", [value])], {"axis": 0})
    stacked = tape.op("Expand", [tape.op("Unsqueeze", [value, ints(tape, [0])]), shape])
    return merge_leading(tape, stacked, like=value)


def give_hybrids(tape: Tape, graph: ir.Graph) -> None:
    """Calls the output of a graph that is spliced `HYBRIDS`, and sorts the nodes."""
    graph.outputs[0] = tape.op("Identity", [graph.outputs[0]], output=ir.Value(name=HYBRIDS))
    graph.outputs[0].dtype = ir.DataType.FLOAT
    graph.sort()


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
