"""Facts about `graftscope.bundle.describe`."""

import pytest

from bundle_toys import toy_manifest
from graftscope.bundle import LayerRow, describe
from graftscope.v1 import bundle_pb2


def test_a_layer_becomes_a_row() -> None:
    assert describe(toy_manifest()) == (LayerRow("fc", "coarse", "4 x 2 x 2", "z", "relu"),)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (bundle_pb2.LAYER_KIND_MAP, "4 x 16 x 1"),
        (bundle_pb2.LAYER_KIND_TOKENS, "16 x 4"),
        (bundle_pb2.LAYER_KIND_VECTOR, "4"),
    ],
)
def test_a_shape_has_the_kinds_own_axes(kind: bundle_pb2.LayerKind.ValueType, shape: str) -> None:
    manifest = toy_manifest()
    layer = manifest.layers[0]
    layer.kind, layer.height, layer.width = kind, 16, 1
    assert describe(manifest)[0].shape == shape
