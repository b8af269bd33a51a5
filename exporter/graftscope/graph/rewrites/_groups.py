"""Blocks that begin with a normalisation or a style: only the swapped channel's group is new.

Between the cut and the first convolution, steps that mix no more than a group of channels
(`_channelwise`) leave all other groups as they are for original 1. So the convolution is done in
full once a pair, on original 1, and for every swapped channel only what has changed in its group is
added: M / C of the multiplications. Letters: B pairs, E channels swapped one at a time, C channels
of the layer in G groups of M, K taps, P places, O outputs, S phases.

1. A convolution that reads the activation through such steps alone is shared, where they mix at
   most half of the channels. What else they read does not depend on the activation: constants, or
   numbers of each pair, such as a style's.
2. An interpolation to another size, which works on each channel by itself, is such a step too.

It must not know what comes before or behind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from graftscope.graph._values import ints
from graftscope.graph.rewrites._channelwise import Images, Resized, Step, step_at
from graftscope.graph.rewrites._geometry import Convolution
from graftscope.graph.rewrites._nodes import (
    ancestors,
    copied_all,
    floats,
    image_extents,
    weights,
)
from graftscope.graph.rewrites._share import Change, ChannelSwap, Shared, share_convolution


def share_groups(
    graph: ir.Graph,
    activation: ir.Value,
    channel_axis: int,
    swap: ChannelSwap,
    repeated: Images,
) -> Iterator[Shared]:
    """Shares convolutions that read the activation through steps on groups of channels.

    Args:
        graph: new nodes are added to it; nothing reads them yet.
        activation: what is swapped, (N, C, h, w).
        channel_axis: of the activation; others than 1 are left alone.
        swap: which channels.
        repeated: carried tensors as all sets have them -> as the pairs have them.
    """
    if channel_axis != 1 or len(activation.shape or ()) != 4:
        return
    for behind in convolutions_behind(graph, activation):
        tape = Tape(graph)
        styles = _styles(tape, behind.path, repeated)
        shared = _share(tape, behind, activation, swap, styles)
        if shared is not None:
            yield shared


@dataclass(frozen=True)
class Behind:
    """A convolution that reads the activation through steps on groups of channels.

    Attributes:
        convolution: as it stands in the graph.
        path: the steps, in order.
        mixed: channels of a group that a swapped channel changes.
    """

    convolution: Convolution
    path: tuple[Step, ...]
    mixed: int


def convolutions_behind(graph: ir.Graph, activation: ir.Value) -> list[Behind]:
    """Convolutions of which a swapped channel changes the share of its group alone.

    Args:
        graph: with the activation, (N, C, h, w), in it.
        activation: what is swapped.
    """
    steps, found = _steps(graph, activation), []
    for node in graph:
        source = node.inputs[0] if node.inputs else None
        if source is None or source not in steps or source is activation:
            continue
        convolution, path = Convolution.of(node), _path(steps, source)
        mixed = int(np.lcm.reduce([step.mixed for step in path]))
        if convolution is None or 2 * mixed > image_extents(activation)[0]:
            continue
        makers = [node for style in _read(path) for node in ancestors(style, ())]
        if not any(activation in node.inputs for node in makers):
            found.append(Behind(convolution, tuple(path), mixed))
    return found


def _steps(graph: ir.Graph, activation: ir.Value) -> dict[ir.Value, Step | None]:
    """What comes of the activation by steps, and by which."""
    found: dict[ir.Value, Step | None] = {activation: None}
    for node in graph:
        step = step_at(node, found) or Resized.at(node, found)
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


def _read(path: Sequence[Step]) -> list[ir.Value]:
    """Numbers that steps read beside images, and that are computed."""
    read = (x for step in path for x in step.nodes[0].inputs if x not in step.images)
    return [x for x in read if x is not None and weights(x) is None]


def _styles(tape: Tape, path: Sequence[Step], repeated: Images) -> dict[ir.Value, ir.Value]:
    """Numbers that steps read, as all sets have them -> as the pairs have them."""
    known = dict(repeated)
    for style in _read(path):
        for node in ancestors(style, known):
            known |= copied_all(tape, node, known)
    return {style: known.get(style, style) for style in _read(path)}


def _share(
    tape: Tape, behind: Behind, activation: ir.Value, swap: ChannelSwap, styles: Images
) -> Shared | None:
    path, mixed = behind.path, behind.mixed
    chosen = tape.op("Div", [swap.channels, ints(tape, (mixed,))])  # (E,)
    every, some = _Groups(tape, mixed, styles), _Groups(tape, mixed, styles, chosen)
    # Single channels are soon done again, and all of them, or larger ones, would be much to keep.
    again = mixed == 1 or any(isinstance(step, Resized) for step in path)
    before = some if again else every
    whole = {**styles, activation: swap.original1}
    kept = {activation: before.of(swap.original1)}
    hybrids = {activation: _swapped(tape, swap, some)}
    for step in path:
        whole[step.output] = step.whole(tape, whole)
        # By the same operations as the hybrids, so that what a swap leaves as it is differs by 0.
        kept[step.output] = step.of_parts(tape, kept, before)
        hybrids[step.output] = step.of_parts(tape, hybrids, some)
    last = path[-1].output
    same = kept[last] if before is some else some.chosen(kept[last])
    change = Change(tape.op("Sub", [hybrids[last], same]), chosen, mixed)
    return share_convolution(tape, behind.convolution, whole[last], change)


@dataclass(frozen=True, eq=False)
class _Groups:
    """Groups of M channels.

    Attributes:
        tape: where nodes are added.
        channels: M.
        styles: numbers of the graph -> as the pairs have them.
        indices: (E,), which groups; None takes each of them once.
    """

    tape: Tape
    channels: int
    styles: Images
    indices: ir.Value | None = None

    def of(self, numbers: ir.Value | NDArray[np.float32]) -> ir.Value:
        """As `Parts`; also (B, C, h, w) to (E, B, M, h, w)."""
        if not isinstance(numbers, ir.Value):
            by_group = floats(self.tape, numbers.reshape(-1, 1, self.channels, 1, 1))
            return self.chosen(by_group)
        numbers = self.styles.get(numbers, numbers)
        if self.indices is not None:
            return self._chosen_of(numbers, self.indices)
        channels, height, width = image_extents(numbers)
        shape = ints(self.tape, (-1, channels // self.channels, self.channels, height, width))
        split = self.tape.op("Reshape", [numbers, shape])
        return self.tape.op("Transpose", [split], {"perm": [1, 0, 2, 3, 4]})

    def _chosen_of(self, numbers: ir.Value, indices: ir.Value) -> ir.Value:
        """From where they lie, without another order of all of them."""
        tape = self.tape
        first = tape.op("Mul", [indices, ints(tape, (self.channels,))])
        rows = tape.op("Unsqueeze", [first, ints(tape, (1,))])
        each = tape.op("Add", [rows, ints(tape, range(self.channels))])  # (E, M)
        gathered = tape.op("Gather", [numbers, each], {"axis": 1})  # (B, E, M, h, w)
        return tape.op("Transpose", [gathered], {"perm": [1, 0, 2, 3, 4]})

    def chosen(self, groups: ir.Value) -> ir.Value:
        """Those of the groups, (G, ...), that are wanted."""
        if self.indices is None:
            return groups
        return self.tape.op("Gather", [groups, self.indices], {"axis": 0})


def _swapped(tape: Tape, swap: ChannelSwap, groups: _Groups) -> ir.Value:
    """The group of each swapped channel, with what original 2 gives: (E, B, M, h, w)."""
    chosen = tape.op("Gather", [swap.original2, swap.channels], {"axis": 1})  # (B, E, h, w)
    by_channel = tape.op("Transpose", [chosen], {"perm": [1, 0, 2, 3]})
    donor = tape.op("Unsqueeze", [by_channel, ints(tape, (2,))])
    if groups.channels == 1:
        return donor
    every = ints(tape, range(groups.channels))
    place = tape.op("Mod", [swap.channels, ints(tape, (groups.channels,))])
    here = tape.op("Equal", [tape.op("Unsqueeze", [place, ints(tape, (1,))]), every])
    spread = tape.op("Unsqueeze", [here, ints(tape, (1, 3, 4))])  # (E, 1, M, 1, 1)
    return tape.op("Where", [spread, donor, groups.of(swap.original1)])
