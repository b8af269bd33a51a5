"""Which tensors of a generator are its layers: the points at which it can be cut and edited.

Rules
1. A layer is what a linear operation reads as its data, so it lies after normalisation and
   nonlinearity (section 3.1). What several of them read is one layer.
2. Padding, resampling, blurring and scaling by a style keep channels apart: a layer lies before
   them, where it is smallest and feeds everything. What is flattened is a map.
3. The sum in which a skip connection ends is a layer too: it feeds the next block, whose first
   linear operation reads it only after normalisation, or not at all. So are the parts that a
   skip connection joins channel by channel, where it starts, and a style that scales a map.
4. A layer lies behind a linear operation, so a constant is none; and the image depends on what
   reads it, so it is not the image. It differs between samples: what only constants and inputs
   that are the same in every sample decide is none.
5. Channels of a map are its first axis behind the batch or its last, as `channel_axes` tells. What
   only turns the one into the other keeps them apart; a layer is (B, C, H, W) in either case.
6. They are ordered as the graph computes them, from the latents to the image; latents are the
   first layers (Definition 3), whatever reads them.
7. Rounding to the steps of a quantisation keeps channels apart too. A layer is the activation
   behind it, where all that reads the activation reads it rounded to constant steps; else before.
8. All extents but the batch are fixed.
9. What operations of foreign domains make or read is none, for they may arrange it in another way.

Axes: B batch, C channels, H and W pixels, N tokens.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import onnx_ir as ir

from graftscope.graph._channel_axes import FIRST, LAST, channel_axes
from graftscope.graph._foreign import foreign_operations, foreign_tensors
from graftscope.graph._image_form import TO_FIRST, TO_LAST, rearranges
from graftscope.graph._layer_names import layer_names
from graftscope.graph._operations import operation
from graftscope.graph._plain_layers import channels_first
from graftscope.graph._shapes import LayerKind, infer_missing_shapes, kind_of, static_extents
from graftscope.graph._tensors import (
    affected_by,
    constants_of,
    image_of,
    inputs_of,
    name_of,
    needed_for,
)
from graftscope.graph.errors import NoLayersError
from graftscope.graph.quantised import (
    before_rounding_to_steps,
    behind_rounding,
    holds_whole_numbers,
    is_rounding,
)

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
_PRODUCTS = frozenset({"Gemm", "MatMul"})
_LINEAR = _CONVOLUTIONS | _PRODUCTS | {"Einsum"}
_KEEPS_CHANNELS_APART = frozenset({"Identity", "Dropout", "Pad", "Resize", "Upsample"})

_Axes: TypeAlias = Mapping[ir.Value, int]


@dataclass(frozen=True)
class Layer:
    """A point at which a generator can be cut and edited.

    Attributes:
        name: Unique in its graph, also where case is ignored, and fit for a file's name.
        tensor: The activation's name in the graph.
        kind: How its axes are arranged.
        channels: Number of channels, C.
        height: Height of a map in pixels, H; number of tokens, N; 1 for a vector.
        width: Width of a map in pixels, W; else 1.
    """

    name: str
    tensor: str
    kind: LayerKind
    channels: int
    height: int
    width: int


def find_layers(
    model: ir.Model, *, latents: Collection[str] = (), constant: Collection[str] = ()
) -> tuple[Layer, ...]:
    """Find the layers of a generator, from the latents to the image.

    Args:
        model: A generator with one output. Shapes that are missing are inferred and kept, and maps
            with channels last that are layers are turned to the front and back.
        latents: Names of the inputs that are layers themselves, such as all that are drawn from
            a continuous distribution.
        constant: Names of the inputs that are the same in every sample.

    Returns:
        At least one layer behind the latents. Its name is that of the PyTorch module that
        computed it, where the graph's metadata tell, else made from the tensor's name; a
        latent's is the input's.

    Raises:
        NoLayersError: If no activation fits the rules.
        GraphError: If there is not exactly one output.
    """
    infer_missing_shapes(model)
    graph = model.graph
    axes = channel_axes(graph)
    inner = _points(graph, constant, axes)
    _require_fixed_extents(graph, inner)
    fitting = [value for value in inner if kind_of(value) is not None]
    inputs = [value for value in graph.inputs if value.name in latents and kind_of(value)]
    named_after = [before_rounding_to_steps(value) for value in fitting]
    names = layer_names(named_after, taken=[name_of(value) for value in inputs])
    plain = [
        channels_first(graph, value) if axes.get(value) == LAST else value for value in fitting
    ]
    named = [*zip(map(name_of, inputs), inputs, strict=True), *zip(names, plain, strict=True)]
    return tuple(_describe(name, value) for name, value in named)


def _require_fixed_extents(graph: ir.Graph, inner: Sequence[ir.Value]) -> None:
    if not inner:
        operations = ", ".join(sorted({operation(node) for node in graph})) or "none"
        foreign = foreign_operations(graph)
        raise NoLayersError(
            f"no layer found: a layer feeds one of {', '.join(sorted(_LINEAR))} and lies behind "
            f"another of them; the graph's operations: {operations}"
            + (f"; layers may hide behind {foreign}" if foreign else "")
        )
    if all(kind_of(value) is None for value in inner):
        value = inner[0]
        raise NoLayersError(
            f"no layer found: tensor {name_of(value)!r} feeds a linear operation, but is "
            f"{value.dtype} {value.shape}; a layer is in FLOAT: a map (B, C, H, W), a vector "
            "(B, C) or tokens (B, N, C) of which only the batch B is free"
        )


def _describe(name: str, value: ir.Value) -> Layer:
    extents, kind = static_extents(value), kind_of(value)
    assert extents is not None
    assert kind is not None
    channels, height, width = _arranged(kind, extents)
    return Layer(name, name_of(value), kind, channels, height, width)


def _arranged(kind: LayerKind, extents: tuple[int, ...]) -> tuple[int, int, int]:
    """Return channels, height and width; tokens are a map of width 1, a vector of one pixel."""
    if kind is LayerKind.TOKENS:
        return extents[1], extents[0], 1
    return (extents[0], *extents[1:], 1, 1)[:3]  # type: ignore[return-value]  # three of them


def _points(graph: ir.Graph, constant: Collection[str], axes: _Axes) -> list[ir.Value]:
    """Return the tensors of the layers behind the latents, in the graph's order.

    Args:
        graph: A generator's, with one output.
        constant: Names of the inputs that are the same in every sample.
        axes: Of the channels of maps.

    Raises:
        GraphError: If there is not exactly one output.
    """
    linear = [
        out for node in graph if operation(node) in _LINEAR or node.domain for out in node.outputs
    ]
    same = constants_of(graph, [value for value in graph.inputs if value.name in constant])
    behind = affected_by(graph, linear) - same
    feeding = [*_read_values(graph, same), *_joined_parts(graph, axes)]
    read = {each for value in feeding for each in _before_resampling(value, same, axes)}
    found = {behind_rounding(value) for value in (*read, *_sums(graph, same, axes))}
    wanted = (found & behind) - foreign_tensors(graph)
    return [value for node in graph for value in node.outputs if value in wanted]


def _read_values(graph: ir.Graph, same: set[ir.Value]) -> Iterator[ir.Value]:
    needed = needed_for([image_of(graph)])
    for node in graph:
        if _reads_data(node, same) and not needed.isdisjoint(node.outputs):
            data = node.inputs[0]
            assert data is not None
            yield data


def _reads_data(node: ir.Node, same: set[ir.Value]) -> bool:
    """Tell whether a node multiplies data, not weights, by weights that mix channels."""
    if operation(node) in _CONVOLUTIONS:
        return not _is_blur(node)
    return operation(node) in _PRODUCTS and node.inputs[1] in same and node.inputs[0] not in same


def _is_blur(node: ir.Node) -> bool:
    """Tell whether a convolution filters every channel by itself, and all in the same way."""
    weights = node.inputs[1].const_value if node.inputs[1] is not None else None
    group = node.attributes.get_int("group", 1)
    if weights is None or group == 1 or weights.shape.numpy()[:2] != (group, 1):
        return False
    filters = weights.numpy()
    return bool((filters == filters[:1]).all())


def _joined_parts(graph: ir.Graph, axes: _Axes) -> Iterator[ir.Value]:
    """Yield the maps and tokens that are joined channel by channel."""
    needed = needed_for([image_of(graph)]) - {image_of(graph)}
    for node in graph:
        if operation(node) == "Concat" and node.outputs[0] in needed:
            axis = node.attributes.get_int("axis", 0)
            for each in inputs_of(node):
                own = {LayerKind.MAP: axes.get(each, FIRST), LayerKind.TOKENS: 2}
                kind = kind_of(each)
                if kind in own and axis % kind.value == own[kind]:
                    yield each


def _sums(graph: ir.Graph, same: set[ir.Value], axes: _Axes) -> Iterator[ir.Value]:
    """Yield the sums of two activations of one shape, but those of two partial images.

    Where one of them is read elsewhere too, the skip connection starts there: it comes first.
    """
    image = image_of(graph)
    needed = needed_for([image]) - {image}
    for node in graph:
        joined = node.outputs[0]
        if operation(node) != "Add" or joined not in needed or not same.isdisjoint(inputs_of(node)):
            continue
        shapes = {str(value.shape) for value in (*inputs_of(node), joined)}
        if len(shapes) == 1 and _channels(joined, axes) != _channels(image, axes):
            # The side of a sum that is read elsewhere too is what its skip connection skips with.
            yield from (value for value in inputs_of(node) if len(value.uses()) > 1)
            yield joined


def _before_resampling(value: ir.Value, same: set[ir.Value], axes: _Axes) -> Iterator[ir.Value]:
    """Yield what a tensor is before its channels are only kept apart, and the styles on the way."""
    node, found = value.producer(), value
    while node is not None:
        scaled = None if is_rounding(node) else _scaled_by_style(node, same, axes)
        source = _source(node, value, axes) if scaled is None else scaled.data
        if source is None:
            break
        if scaled is not None:
            yield _before_unsqueezing(scaled.style, axes)
        value, node = source, source.producer()
        if not holds_whole_numbers(value):
            found = value
    yield found


def _source(node: ir.Node, value: ir.Value, axes: _Axes) -> ir.Value | None:
    """Return what a node reads whose result holds the same channels; None for other nodes."""
    data = node.inputs[0] if node.inputs else None
    if data is None:
        return None
    if is_rounding(node):
        return data
    if operation(node) in ("Reshape", "Flatten"):
        flattened = kind_of(data) is LayerKind.MAP and kind_of(value) is LayerKind.VECTOR
        return data if flattened else None
    squared = operation(node) == "Pow" or (operation(node) == "Mul" and data is node.inputs[1])
    if squared and kind_of(value) is LayerKind.VECTOR:
        return data
    apart = operation(node) in _KEEPS_CHANNELS_APART or _turns(node, axes)
    if not apart and not (operation(node) in _CONVOLUTIONS and _is_blur(node)):
        return None
    return data if _channels(data, axes) == _channels(value, axes) else None


def _turns(node: ir.Node, axes: _Axes) -> bool:
    """Tell whether a node turns a map with channels first into one with channels last, or back."""
    before = node.inputs[0] if node.inputs else None
    told = (None if before is None else axes.get(before), axes.get(node.outputs[0]))
    return (told == (FIRST, LAST) and rearranges(node, TO_LAST)) or (
        told == (LAST, FIRST) and rearranges(node, TO_FIRST)
    )


class _Scaled(NamedTuple):
    data: ir.Value
    style: ir.Value


def _scaled_by_style(node: ir.Node, same: set[ir.Value], axes: _Axes) -> _Scaled | None:
    """Tell a product of a map (B, C, H, W) and a sample's own style (B, C, 1, 1) apart."""
    for data, style in (node.inputs, node.inputs[::-1]) if operation(node) == "Mul" else ():
        if data is None or style is None or style in same or kind_of(data) is not LayerKind.MAP:
            continue
        channels = _channels(data, axes)
        alone = (1, 1, channels) if axes.get(data) == LAST else (channels, 1, 1)
        if static_extents(data) != alone == static_extents(style):
            return _Scaled(data, style)
    return None


def _before_unsqueezing(style: ir.Value, axes: _Axes) -> ir.Value:
    """Return the vector that a style (B, C, 1, 1) is made of, if it is made of one."""
    node = style.producer()
    while node is not None and operation(node) in ("Unsqueeze", "Reshape"):
        source = node.inputs[0]
        if source is None or _channels(source, axes) != _channels(style, axes):
            break
        style, node = source, source.producer()
    return style


def _channels(value: ir.Value, axes: _Axes) -> object:
    if value.shape is None or len(value.shape) < 2:
        return None
    return value.shape[axes.get(value, FIRST)]
