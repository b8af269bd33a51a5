"""Blocks that begin with a normalisation: only the group of the swapped channel is computed anew.

Between the cut and the first convolution, steps that mix no more than a group of channels
(`_channelwise`) leave all other groups as they are for original 1. So the convolution is done in
full once a pair, on original 1, and for every swapped channel only what has changed in its group is
added: M / C of the multiplications. Letters: B pairs, E channels swapped one at a time, C channels
of the layer in G groups of M, K taps, P places, O outputs, S phases.

1. A convolution that reads the activation through such steps alone is shared, where they mix at
   most half of the channels, and read nothing else but constants.

It must not know what comes before or behind.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from graftscope.graph._values import ints
from graftscope.graph.rewrites._channelwise import Step, step_at
from graftscope.graph.rewrites._geometry import Convolution
from graftscope.graph.rewrites._nodes import floats, image_extents, weights
from graftscope.graph.rewrites._share import Change, ChannelSwap, Shared, share_convolution


def share_groups(
    graph: ir.Graph, activation: ir.Value, channel_axis: int, swap: ChannelSwap
) -> Iterator[Shared]:
    """Shares convolutions that read the activation through steps on groups of channels.

    Args:
        graph: new nodes are added to it; nothing reads them yet.
        activation: what is swapped, (N, C, h, w).
        channel_axis: of the activation; others than 1 are left alone.
        swap: which channels.
    """
    if channel_axis != 1 or len(activation.shape or ()) != 4:
        return
    steps = _steps(graph, activation)
    for node in list(graph):
        source = node.inputs[0] if node.inputs else None
        if source is None or source not in steps or source is activation:
            continue
        convolution = Convolution.of(node)
        path = _path(steps, source)
        mixed = int(np.lcm.reduce([step.mixed for step in path]))
        if convolution is None or 2 * mixed > image_extents(activation)[0]:
            continue
        if any(_is_styled(step) for step in path):
            continue
        shared = _share(Tape(graph), convolution, path, activation, swap, mixed)
        if shared is not None:
            yield shared


def _steps(graph: ir.Graph, activation: ir.Value) -> dict[ir.Value, Step | None]:
    """What comes of the activation by steps, and by which."""
    found: dict[ir.Value, Step | None] = {activation: None}
    for node in graph:
        step = step_at(node, found)
        if step is not None:
            found[step.output] = step
    return found


def _path(steps: dict[ir.Value, Step | None], value: ir.Value) -> list[Step]:
    """The steps that a value needs, in order."""
    needed, waiting = set[ir.Value](), [value]
    while waiting:
        step = steps[waiting.pop()]
        if step is not None and step.output not in needed:
            needed.add(step.output)
            waiting.extend(step.images)
    return [step for output, step in steps.items() if step is not None and output in needed]


def _is_styled(step: Step) -> bool:
    """Whether a step reads numbers that are computed: they are repeated for every set."""
    others = (x for node in step.nodes[:1] for x in node.inputs if x is not None)
    return any(x not in step.images and weights(x) is None for x in others)


def _share(
    tape: Tape,
    convolution: Convolution,
    path: list[Step],
    activation: ir.Value,
    swap: ChannelSwap,
    mixed: int,
) -> Shared | None:
    chosen = tape.op("Div", [swap.channels, ints(tape, (mixed,))])  # (E,)
    every, some = _Groups(tape, mixed), _Groups(tape, mixed, chosen)
    whole = {activation: swap.original1}
    kept = {activation: every.of(swap.original1)}
    hybrids = {activation: _swapped(tape, swap, some)}
    for step in path:
        whole[step.output] = step.whole(tape, whole)
        # By the same operations as the hybrids, so that what a swap leaves as it is differs by 0.
        kept[step.output] = step.of_parts(tape, kept, every)
        hybrids[step.output] = step.of_parts(tape, hybrids, some)
    last = path[-1].output
    before = some.chosen(kept[last])
    change = Change(tape.op("Sub", [hybrids[last], before]), chosen, mixed)
    return share_convolution(tape, convolution, whole[last], change)


@dataclass(frozen=True, eq=False)
class _Groups:
    """Groups of M channels.

    Attributes:
        tape: where nodes are added.
        channels: M.
        indices: (E,), which groups; None takes each of them once.
    """

    tape: Tape
    channels: int
    indices: ir.Value | None = None

    def of(self, numbers: ir.Value | NDArray[np.float32]) -> ir.Value:
        """As `Parts`; also (B, C, h, w) to (E, B, M, h, w)."""
        if not isinstance(numbers, ir.Value):
            by_group = floats(self.tape, numbers.reshape(-1, 1, self.channels, 1, 1))
            return self.chosen(by_group)
        channels, height, width = image_extents(numbers)
        shape = ints(self.tape, (-1, channels // self.channels, self.channels, height, width))
        split = self.tape.op("Reshape", [numbers, shape])
        return self.chosen(self.tape.op("Transpose", [split], {"perm": [1, 0, 2, 3, 4]}))

    def chosen(self, groups: ir.Value) -> ir.Value:
        """Those of the groups, (G, ...), that are wanted."""
        if self.indices is None:
            return groups
        return self.tape.op("Gather", [groups, self.indices], {"axis": 0})


def _swapped(tape: Tape, swap: ChannelSwap, groups: _Groups) -> ir.Value:
    """The group of each swapped channel, with what original 2 gives: (E, B, M, h, w)."""
    by_channel = tape.op("Transpose", [swap.original2], {"perm": [1, 0, 2, 3]})
    chosen = tape.op("Gather", [by_channel, swap.channels], {"axis": 0})  # (E, B, h, w)
    donor = tape.op("Unsqueeze", [chosen, ints(tape, (2,))])
    place = tape.op("Mod", [swap.channels, ints(tape, (groups.channels,))])
    every = ints(tape, range(groups.channels))
    here = tape.op("Equal", [tape.op("Unsqueeze", [place, ints(tape, (1,))]), every])
    spread = tape.op("Unsqueeze", [here, ints(tape, (1, 3, 4))])  # (E, 1, M, 1, 1)
    return tape.op("Where", [spread, donor, groups.of(swap.original1)])
