"""The effects of swapping channels, by whichever rewrites are wanted.

One table says which there are; each keeps the numbers within 1e-5 of the plain path's. It must not
know sessions, or which rewrites are fast where.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.tape import Tape

from graftscope.graph._splice import Areas
from graftscope.graph.rewrites._build import clean
from graftscope.graph.rewrites._chunks import interleave_in_chunks
from graftscope.graph.rewrites._defer import defer_interleaving
from graftscope.graph.rewrites._fold import fold_normalisation
from graftscope.graph.rewrites._hoist import hoist
from graftscope.graph.rewrites._subpixel import subpixel
from graftscope.graph.rewrites._sums import sum_effects
from graftscope.graph.rewrites._swap import count_of, swap_channels, twin

FOLD = "fold"
SHARE = "share"
SUBPIXEL = "subpixel"
DEFER = "defer"
CHUNKS = "chunks"

_ANYWHERE: dict[str, Callable[[ir.Model], ir.Model]] = {
    FOLD: fold_normalisation,
    SUBPIXEL: subpixel,
    DEFER: defer_interleaving,
    CHUNKS: interleave_in_chunks,
}

REWRITES = (FOLD, SHARE, SUBPIXEL, DEFER, CHUNKS)
"""Names of all rewrites, in the order in which they are done."""


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
    rewrite(downstream, {FOLD} & {*rewrites})
    swapped = swap_channels(
        downstream, activation=activation, channel_axis=channel_axis, sharing=SHARE in rewrites
    )
    rewrite(downstream, {*rewrites} - {FOLD})
    graph = downstream.graph
    original = twin(graph, swapped)
    count = count_of(Tape(graph), swapped.subject)
    sum_effects(graph, graph.outputs[0], original, count, areas)
    clean(downstream)
    pair, run = hoist(downstream, swapped.subject.name or "")
    return ChannelEffects(pair, run, swapped.shared)
