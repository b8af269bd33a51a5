"""Find a generator's layers: the activations that feed the next linear operation.

Rules
1. A layer is what a linear operation reads as its data, so it lies after batch normalisation
   and nonlinearity (section 3.1). What several of them read is one layer.
2. Padding and resampling keep channels apart: a layer lies before them, where it is smallest.
3. A layer lies behind a linear operation, so neither the latents nor a constant is one; and
   the image depends on what reads it, so it is not the image.
4. Layers are ordered as the graph computes them, from the latents to the image.

`_READS` says which operations count, and the kind of layer that they read. Axes: B batch,
C channels, H and W pixels, N tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import onnx_ir as ir

from graftscope.graph._names import layer_names
from graftscope.graph._shapes import infer_missing_shapes, static_extents
from graftscope.graph._walk import affected_by, image_of, name_of, needed_for
from graftscope.graph.errors import GraphError, NoLayersError


class LayerKind(Enum):
    """How a layer's axes are arranged; the value is their number."""

    VECTOR = 2
    """(B, C)"""
    TOKENS = 3
    """(B, N, C)"""
    MAP = 4
    """(B, C, H, W)"""


@dataclass(frozen=True)
class Layer:
    """A point at which a generator can be cut and edited.

    Attributes:
        name: Unique in its graph, also where case is ignored, and fit for a file's name.
        tensor: The activation's name in the graph.
        kind: How its axes are arranged.
        channels: Number of channels, C.
        height: Height of a map in pixels, H.
        width: Width of a map in pixels, W.
    """

    name: str
    tensor: str
    kind: LayerKind
    channels: int
    height: int
    width: int


_READS = {"Conv": LayerKind.MAP, "ConvTranspose": LayerKind.MAP}
_LINEAR = frozenset({*_READS, "Gemm", "MatMul", "Einsum"})
_KEEPS_CHANNELS_APART = frozenset({"Identity", "Dropout", "Pad", "Resize", "Upsample"})


def find_layers(model: ir.Model) -> tuple[Layer, ...]:
    """Find the layers of a generator, from the latents to the image.

    Args:
        model: A generator with one output. Shapes that are missing are inferred and kept.

    Returns:
        At least one layer. A name is that of the PyTorch module that computed the layer, where
        the graph's metadata tell, else it is made from the tensor's name.

    Raises:
        NoLayersError: If no activation fits the rules.
        GraphError: If there is not exactly one output, or a layer's extents are not fixed.
    """
    infer_missing_shapes(model)
    kinds = _layer_values(model.graph)
    if not kinds:
        operations = ", ".join(sorted({node.op_type for node in model.graph})) or "none"
        raise NoLayersError(
            f"no layer found: a layer feeds one of {', '.join(_READS)} and lies behind another "
            f"linear operation; the graph's operations: {operations}"
        )
    names = layer_names(list(kinds))
    return tuple(
        _describe(name, value, kind)
        for name, (value, kind) in zip(names, kinds.items(), strict=True)
    )


def _layer_values(graph: ir.Graph) -> dict[ir.Value, LayerKind]:
    """Return the layers' tensors in the graph's order."""
    linear = [out for node in graph if node.op_type in _LINEAR for out in node.outputs]
    behind = affected_by(graph, linear)
    read = {value: kind for value, kind in _read_values(graph) if value in behind}
    return {value: read[value] for node in graph for value in node.outputs if value in read}


def _read_values(graph: ir.Graph) -> Iterator[tuple[ir.Value, LayerKind]]:
    needed = needed_for([image_of(graph)])
    for node in graph:
        data = node.inputs[0] if node.op_type in _READS else None
        if data is not None and not needed.isdisjoint(node.outputs):
            yield _before_resampling(data), _READS[node.op_type]


def _before_resampling(value: ir.Value) -> ir.Value:
    node = value.producer()
    while node is not None and node.op_type in _KEEPS_CHANNELS_APART:
        source = node.inputs[0]
        if source is None or _channels(source) != _channels(value):
            break
        value, node = source, source.producer()
    return value


def _channels(value: ir.Value) -> object:
    return None if value.shape is None or len(value.shape) < 2 else value.shape[1]


def _describe(name: str, value: ir.Value, kind: LayerKind) -> Layer:
    extents = static_extents(value)
    if extents is None or len(extents) + 1 != kind.value:
        raise GraphError(
            f"layer {name!r} (tensor {name_of(value)!r}) has shape {value.shape}; it needs "
            f"{kind.value} axes, of which all but the first have a fixed extent"
        )
    channels, height, width = extents
    return Layer(name, name_of(value), kind, channels, height, width)
