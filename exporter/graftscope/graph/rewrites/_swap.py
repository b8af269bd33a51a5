"""A downstream half with channels swapped, and what it gives for original 1 beside it.

As `splice` does it, or with the first linear operation done once a pair, where every set E is one
channel. It must not know how effects are reduced.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from graftscope.graph._splice import (
    ORIGINAL1,
    ORIGINAL2,
    SETS,
    activation_first,
    is_batched,
    repeat,
    replace_uses,
    select,
)
from graftscope.graph._tensors import affected_by
from graftscope.graph._values import ints, like, typed_input
from graftscope.graph.rewrites._groups import share_groups
from graftscope.graph.rewrites._nodes import clean, copied_all, replace
from graftscope.graph.rewrites._share import ChannelSwap, share

CHANNELS = "graftscope.channels"
"""(E,) INT64: the channel that each hybrid takes from original 2."""


@dataclass(frozen=True)
class Swapped:
    """Hybrids in the graph.

    Attributes:
        subject: the input that says what is swapped, `CHANNELS` or `SETS`.
        kept: values that depend on the swap -> what they are for original 1, (1, B, ...) or
            (B, ...).
        shared: whether the first linear operation is done once a pair.
    """

    subject: ir.Value
    kept: Mapping[ir.Value, ir.Value]
    shared: bool


def swap_channels(
    model: ir.Model,
    *,
    activation: str | None,
    channel_axis: int,
    sharing: bool,
    in_groups: bool = False,
) -> Swapped:
    """Puts the swap before a downstream half (Definition 5).

    The model is changed in place: its activation is replaced by the inputs `ORIGINAL1` and
    `ORIGINAL2` (B, C, ...) and `CHANNELS` (E,) or `SETS` (E, C); carried tensors (B, ...) stay. Its
    output becomes (E * B, c, H, W), all pairs of the first set first.

    Args:
        model: a downstream half.
        activation: the activation's name; None takes the first input.
        channel_axis: the activation's axis of channels: 1 for maps and vectors, 2 for tokens.
        sharing: whether every set is one channel, and the first linear operation is done once a
            pair where it can be.
        in_groups: whether that counts for convolutions behind a normalisation too.
    """
    graph = model.graph
    tape = Tape(graph)
    edited, carried = activation_first(graph, activation)
    original1, original2 = (like(edited, name) for name in (ORIGINAL1, ORIGINAL2))
    if sharing:
        subject = typed_input(CHANNELS, ir.DataType.INT64, ["sets"])
    else:
        subject = typed_input(SETS, ir.DataType.BOOL, ["sets", "channels"])
    graph.inputs[:] = [original1, original2, subject, *carried]
    count = count_of(tape, subject)
    kept: dict[ir.Value, ir.Value] = {}
    for value in filter(is_batched, carried):
        repeated = repeat(tape, value, count)
        repeated.shape, repeated.type = value.shape, value.type
        replace_uses(graph, value, repeated)
        kept[repeated] = value
    shares = False
    if sharing:
        swap = ChannelSwap(
            original1, original2, _difference(tape, original1, original2, channel_axis), subject
        )
        own = dict(kept)
        behind = share_groups(graph, edited, channel_axis, swap, own) if in_groups else ()
        for found in behind:
            replace(graph, found.replaced, found.result)
            kept[found.swapped], shares = found.kept, True
        for node in {use.node for use in edited.uses()}:
            shared = share(tape, node, edited, channel_axis, swap)
            if shared is not None:
                replace(graph, shared.replaced, shared.result)
                kept[shared.swapped], shares = shared.kept, True
                node.replace_input_with(0, original1)
    # What read the activation for the convolutions that are shared reads it no longer.
    clean(model)
    if edited.uses() or edited.is_graph_output():
        sets = _one_hot(tape, subject, original1, channel_axis) if sharing else subject
        selected = select(tape, original1, original2, sets, channel_axis)
        replace_uses(graph, edited, selected)
        kept[selected] = original1
    graph.sort()
    return Swapped(subject, kept, shares)


def count_of(tape: Tape, subject: ir.Value) -> ir.Value:
    """E as a vector of one number."""
    return tape.op("Shape", [subject], {"start": 0, "end": 1})


def twin(graph: ir.Graph, swapped: Swapped) -> ir.Value:
    """Adds the same nodes once more for original 1, and gives their image: (B, c, H, W).

    Raises:
        GraphError: a node has a graph inside, which cannot stand in two places.
    """
    tape = Tape(graph)
    other = dict(swapped.kept)
    affected = affected_by(graph, other)
    for node in list(graph):
        if affected.isdisjoint(node.outputs) or any(x in other for x in node.outputs):
            continue
        other |= copied_all(tape, node, other)
    return other[graph.outputs[0]]


def _difference(tape: Tape, first: ir.Value, second: ir.Value, axis: int) -> ir.Value:
    """Original 2 less original 1, channels first: (C, B, ...)."""
    difference = tape.op("Sub", [second, first])
    rank = len(first.shape or ())
    order = [axis, *(i for i in range(rank) if i != axis)]
    return tape.op("Transpose", [difference], {"perm": order})


def _one_hot(tape: Tape, channels: ir.Value, like: ir.Value, axis: int) -> ir.Value:
    """(E,) indices to (E, C), boolean."""
    extent = (like.shape or ())[axis]
    assert isinstance(extent, int)
    every = tape.op("Constant", [], {"value": ir.tensor(np.arange(extent, dtype=np.int64))})
    return tape.op("Equal", [tape.op("Unsqueeze", [channels, ints(tape, [1])]), every])
