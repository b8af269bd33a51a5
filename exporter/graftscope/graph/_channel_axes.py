"""Which axis of a map is its channels: the first behind the batch, or the last.

Networks of other frameworks hold maps as (B, H, W, C), wholly or between their convolutions.

Rules
1. Convolutions, pooling and normalisation over maps read and make channels first, (B, C, H, W).
2. A product with a matrix of weights reads and makes channels last, and so does normalisation over
   the last axis alone.
3. What works on every element by itself, pads, resizes, joins or averages leaves them where they
   are; a Transpose takes them along. This holds upwards and downwards.
4. What nothing tells is channels first.
"""

from collections.abc import Collection, Container, Iterator, Mapping
from typing import Final

import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._tensors import constants_of, inputs_of

FIRST: Final = 1
LAST: Final = 3

_FIRST = """
    AveragePool BatchNormalization Conv ConvTranspose DepthToSpace GlobalAveragePool GlobalMaxPool
    GroupNormalization InstanceNormalization LRN LpPool MaxPool SpaceToDepth
"""
_ON_MAPS: Final = frozenset(_FIRST.split())
_OVER_LAST: Final = frozenset({"LayerNormalization", "RMSNormalization"})
_MOVES: Final = frozenset(
    {
        "Einsum", "Expand", "Flatten", "Gather", "MatMul", "Reshape", "Shape", "Size", "Slice",
        "Squeeze", "Tile", "Unsqueeze",
    }
)  # fmt: skip
"""Operations across which nothing is told."""


def channel_axes(graph: ir.Graph) -> Mapping[ir.Value, int]:
    """Return the axis of channels, `FIRST` or `LAST`, of those maps of a graph that rules tell.

    Args:
        graph: A generator's graph whose shapes are known.
    """
    axes: dict[ir.Value, int] = {}
    same = constants_of(graph)
    for node in graph:
        axes.update(dict.fromkeys(_maps(node), FIRST) if _is(node, _ON_MAPS) else {})
        axes.update(dict.fromkeys(_maps(node), LAST) if _reads_last(node, same) else {})
    nodes = list(graph)
    before = -1
    while len(axes) != before:
        before = len(axes)
        for node in (*nodes, *reversed(nodes)):
            _spread(node, axes)
    return axes


def _spread(node: ir.Node, axes: dict[ir.Value, int]) -> None:
    maps = list(_maps(node))
    if _is(node, frozenset({"Transpose"})):
        order = tuple(node.attributes.get_ints("perm", ()))
        if len(maps) == 2 and len(order) == 4:
            _take_along(order, node, axes)
        return
    if node.domain or operation(node) in _MOVES | _ON_MAPS:
        return
    told = next((axes[value] for value in maps if value in axes), None)
    if told is not None:
        for value in maps:
            axes.setdefault(value, told)


def _take_along(order: tuple[int, ...], node: ir.Node, axes: dict[ir.Value, int]) -> None:
    data, turned = node.inputs[0], node.outputs[0]
    assert data is not None
    if data in axes:
        axes.setdefault(turned, order.index(axes[data]))
    elif turned in axes:
        axes.setdefault(data, order[axes[turned]])


def _maps(node: ir.Node) -> Iterator[ir.Value]:
    """Yield what a node reads and makes that has four axes, but for constants."""
    for value in (*inputs_of(node), *node.outputs):
        if value.const_value is None and value.shape is not None and len(value.shape) == 4:
            yield value


def _reads_last(node: ir.Node, same: Container[ir.Value]) -> bool:
    """Tell whether a node works along the last axis, with weights that are the same everywhere."""
    if _is(node, _OVER_LAST):
        return node.attributes.get_int("axis", -1) in (-1, LAST)
    weights = node.inputs[1] if _is(node, frozenset({"MatMul"})) else None
    return weights is not None and weights in same and len(weights.shape or ()) == 2


def _is(node: ir.Node, operations: frozenset[str]) -> bool:
    return operation(node) in operations


def is_channels_last(graph: ir.Graph, value: ir.Value, counts: Collection[int]) -> bool:
    """Tell whether an image is (B, H, W, C) rather than (B, C, H, W).

    Args:
        graph: Its graph.
        value: The image, an input or the output.
        counts: Numbers of channels that an image may have.

    Returns:
        What the graph tells; of an output of which it tells nothing, whether its last axis alone
        can be the channels. An input may be no image at all.
    """
    if value.shape is None or len(value.shape) != 4 or value.shape[LAST] not in counts:
        return False
    told = channel_axes(graph).get(value)
    if told is None and not value.is_graph_input():
        return value.shape[FIRST] not in counts
    return told == LAST
