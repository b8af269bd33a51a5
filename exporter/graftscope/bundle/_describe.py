"""A manifest's layers as rows of a table for people."""

from dataclasses import dataclass

from graftscope.v1 import bundle_pb2


@dataclass(frozen=True)
class LayerRow:
    """One layer, ready to print.

    Attributes:
        layer: Its name.
        level: Its level's name; empty where the model has none.
        shape: Its extents without the batch, such as `64 x 16 x 16`.
        carried: Names of the tensors that cross the cut beside it, joined by `, `.
        tensor: The activation's name in the source graph.
    """

    layer: str
    level: str
    shape: str
    carried: str
    tensor: str


def describe(manifest: bundle_pb2.Bundle) -> tuple[LayerRow, ...]:
    """Return a row for each layer, from the latents to the image.

    Args:
        manifest: A bundle's manifest.
    """
    return tuple(_row(layer) for layer in manifest.layers)


def _row(layer: bundle_pb2.Layer) -> LayerRow:
    extents = {
        bundle_pb2.LAYER_KIND_VECTOR: (layer.channels,),
        bundle_pb2.LAYER_KIND_TOKENS: (layer.height, layer.channels),
    }.get(layer.kind, (layer.channels, layer.height, layer.width))
    return LayerRow(
        layer=layer.name,
        level=layer.level,
        shape=" x ".join(str(extent) for extent in extents),
        carried=", ".join(layer.carried),
        tensor=layer.tensor,
    )
