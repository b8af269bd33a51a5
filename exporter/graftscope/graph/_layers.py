"""A generator's layers, from the latents to the image: `_points` says which they are.

The latents are the first layers (Definition 3), whatever reads them. All extents but the batch
are fixed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graftscope.graph._kinds import LayerKind, kind_of
from graftscope.graph._names import layer_names
from graftscope.graph._points import LINEAR, find_points
from graftscope.graph._shapes import infer_missing_shapes, static_extents
from graftscope.graph._walk import name_of
from graftscope.graph.errors import NoLayersError


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
        model: A generator with one output. Shapes that are missing are inferred and kept.
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
    inner = find_points(graph, constant)
    _require_fixed_extents(graph, inner)
    fitting = [value for value in inner if kind_of(value) is not None]
    inputs = [value for value in graph.inputs if value.name in latents and kind_of(value)]
    names = layer_names(fitting, taken=[name_of(value) for value in inputs])
    named = [*zip(map(name_of, inputs), inputs, strict=True), *zip(names, fitting, strict=True)]
    return tuple(_describe(name, value) for name, value in named)


def _require_fixed_extents(graph: ir.Graph, inner: Sequence[ir.Value]) -> None:
    if not inner:
        operations = ", ".join(sorted({node.op_type for node in graph})) or "none"
        raise NoLayersError(
            f"no layer found: a layer feeds one of {', '.join(sorted(LINEAR))} and lies behind "
            f"another of them; the graph's operations: {operations}"
        )
    if all(kind_of(value) is None for value in inner):
        value = inner[0]
        raise NoLayersError(
            f"no layer found: tensor {name_of(value)!r} feeds a linear operation, but has shape "
            f"{value.shape}; a layer is a map (B, C, H, W), a vector (B, C) or tokens (B, N, C) "
            "of which only the batch B is free"
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
