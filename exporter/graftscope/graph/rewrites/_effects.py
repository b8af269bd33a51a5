"""The effects of swapping channels, by whichever rewrites are wanted.

One table says which there are; each keeps the numbers within 1e-5 of the plain path's. Effects are
summed as `reduce_effects` of the plain path does (equation 3), but in float32 within a run, and the
last interleaving is done on the sums, not on every hybrid. What does not depend on the swapped
channels goes into a graph of its own. It must not know sessions, or which rewrites are fast where.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.tape import Tape

from graftscope.graph._reduction import Areas, average, double, moments, sum_outputs
from graftscope.graph._shapes import infer_missing_shapes
from graftscope.graph._tensors import affected_by, constants_of, inputs_of
from graftscope.graph._values import ints, like
from graftscope.graph.rewrites._chunks import interleave_in_chunks
from graftscope.graph.rewrites._defer import defer_interleaving
from graftscope.graph.rewrites._fold import fold_normalisation
from graftscope.graph.rewrites._nodes import clean, image_extents
from graftscope.graph.rewrites._subpixel import interleaved, subpixel
from graftscope.graph.rewrites._swap import count_of, swap_channels, twin
from graftscope.graph.rewrites._upsampling import move_upsampling

FOLD = "fold"
UPSAMPLE = "upsample"
SHARE = "share"
GROUPS = "groups"
SUBPIXEL = "subpixel"
DEFER = "defer"
CHUNKS = "chunks"
COMPILE = "compile"

_ANYWHERE: dict[str, Callable[[ir.Model], ir.Model]] = {
    FOLD: fold_normalisation,
    UPSAMPLE: move_upsampling,
    SUBPIXEL: subpixel,
    DEFER: defer_interleaving,
    CHUNKS: interleave_in_chunks,
}

_BEFORE = {FOLD, UPSAMPLE}

REWRITES = (FOLD, UPSAMPLE, SHARE, GROUPS, SUBPIXEL, DEFER, CHUNKS)
"""Names of all rewrites of graphs, in the order in which they are done. `COMPILE` is none of them:
it takes the place of the graphs below a cut (`chain_of`).
"""


_PREFIX = "graftscope.kept."


@dataclass(frozen=True)
class ChannelEffects:
    """Two graphs that give the effects of swapping channels.

    Attributes:
        pair: `ORIGINAL1` and `ORIGINAL2` (B, C, ...) and the carried tensors -> what is the same
            for all sets; run once a batch of pairs.
        run: what `pair` gives, some of its inputs, and `CHANNELS` (E,) with `share` or else `SETS`
            (E, C) -> `TOTAL`, `MOMENT` and `PIXEL_MEANS`, as `reduce_effects` gives them.
        shared: whether the first linear operation is done once a pair.
    """

    pair: ir.Model
    run: ir.Model
    shared: bool


def rewrite(model: ir.Model, rewrites: Collection[str]) -> ir.Model:
    """Rewrites any graph; `share` needs a cut and is left out.

    Args:
        model: changed in place.
        rewrites: names among `REWRITES`.

    Returns:
        The same model.
    """
    for name, change in _ANYWHERE.items():
        if name in rewrites:
            change(model)
    return model


def channel_effects(
    downstream: ir.Model,
    *,
    activation: str | None = None,
    channel_axis: int = 1,
    areas: Areas = Areas(),
    rewrites: Collection[str] = REWRITES,
) -> ChannelEffects:
    """Builds the graphs for the effects of swapping channels (section 3.2, equation 3).

    Args:
        downstream: a downstream half; changed in place.
        activation: the activation's name; None takes the first input.
        channel_axis: the activation's axis of channels: 1 for maps and vectors, 2 for tokens.
        areas: sides of the areas that maps are averaged over.
        rewrites: names among `REWRITES`; with `share` every set is one channel.
    """
    rewrite(downstream, _BEFORE & {*rewrites})
    swapped = swap_channels(
        downstream,
        activation=activation,
        channel_axis=channel_axis,
        sharing=SHARE in rewrites,
        in_groups=GROUPS in rewrites,
    )
    rewrite(downstream, {*rewrites} - _BEFORE)
    graph = downstream.graph
    original = twin(graph, swapped)
    count = count_of(Tape(graph), swapped.subject)
    _sum_effects(graph, graph.outputs[0], original, count, areas)
    clean(downstream)
    pair, run = _hoist(downstream, swapped.subject.name or "")
    return ChannelEffects(pair, run, swapped.shared)


def _sum_effects(
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
    colours, height, width = image_extents(hybrids)
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
    total, moment = moments(tape, maps)
    if areas == Areas():
        total, moment = (_map(tape, x, (stride, height, width)) for x in (total, moment))
    graph.outputs[:] = sum_outputs(tape, *(double(tape, x) for x in (total, moment, means)))


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


def _hoist(model: ir.Model, varying: str) -> tuple[ir.Model, ir.Model]:
    """Divides a graph into what is the same for every run and what is not.

    Args:
        model: the whole; it stays as it is, but for names and shapes that were missing.
        varying: name of the input that changes from run to run.

    Returns:
        The part that does not depend on it, and the rest, which reads what the first gives by the
        same names.
    """
    infer_missing_shapes(model)
    graph = model.graph
    inputs = [value for value in graph.inputs if value.name == varying]
    affected = affected_by(graph, inputs)
    fixed = constants_of(graph)
    fixed |= {x for node in graph if not node.inputs for x in node.outputs}
    crossing: dict[ir.Value, None] = {}
    for node in graph:
        if affected.isdisjoint(node.outputs):
            continue
        for value in inputs_of(node):
            if value not in affected and value not in fixed and not value.is_graph_input():
                crossing[value] = None
    for i, value in enumerate(crossing):
        value.name = f"{_PREFIX}{i}"
    names = [str(value.name) for value in crossing]
    return _only(model, names), _without(model, names)


def _only(model: ir.Model, names: list[str]) -> ir.Model:
    part = model.clone()
    made = _made_in(part.graph)
    part.graph.outputs[:] = [made[name] for name in names]
    return _trimmed(part)


def _without(model: ir.Model, names: list[str]) -> ir.Model:
    part = model.clone()
    made = _made_in(part.graph)
    for name in names:
        old = made[name]
        new = like(old, name)
        old.name = None
        for use in tuple(old.uses()):
            use.node.replace_input_with(use.idx, new)
        part.graph.inputs.append(new)
    return _trimmed(part)


def _made_in(graph: ir.Graph) -> dict[str, ir.Value]:
    return {value.name or "": value for node in graph for value in node.outputs}


def _trimmed(part: ir.Model) -> ir.Model:
    clean(part)
    part.graph.inputs[:] = [value for value in part.graph.inputs if value.uses()]
    return part
