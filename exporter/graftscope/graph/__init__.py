"""Graph surgery: find a generator's layers, cut it at one of them, splice there.

    model = normalise(onnx_ir.load("generator.onnx"))
    layers = find_layers(model)
    halves = cut(model, layers[0].tensor)
    influence = reduce_effects(splice(halves.downstream))

It works on graphs alone, with onnx-ir; it must not know torch, gRPC or sessions.
"""

from graftscope.graph._cut import Cut, cut
from graftscope.graph._layers import Layer, LayerKind, find_layers
from graftscope.graph._normalise import normalise, strip_metadata
from graftscope.graph._shapes import has_batch_axis, static_extents
from graftscope.graph._splice import (
    HYBRIDS,
    IMAGE1,
    MOMENT,
    OPSET_FLOOR,
    ORIGINAL1,
    ORIGINAL2,
    PIXEL_MEANS,
    SETS,
    TOTAL,
    Areas,
    reduce_effects,
    splice,
)
from graftscope.graph._walk import image_of
from graftscope.graph.errors import (
    CutError,
    GraphError,
    NoLayersError,
    RandomGraphError,
    UnknownTensorError,
)

__all__ = [
    "HYBRIDS",
    "IMAGE1",
    "MOMENT",
    "OPSET_FLOOR",
    "ORIGINAL1",
    "ORIGINAL2",
    "PIXEL_MEANS",
    "SETS",
    "TOTAL",
    "Areas",
    "Cut",
    "CutError",
    "GraphError",
    "Layer",
    "LayerKind",
    "NoLayersError",
    "RandomGraphError",
    "UnknownTensorError",
    "cut",
    "find_layers",
    "has_batch_axis",
    "image_of",
    "normalise",
    "reduce_effects",
    "splice",
    "static_extents",
    "strip_metadata",
]
