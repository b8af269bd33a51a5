"""Halves of a generator by themselves; a tensor that has no rows keeps samples in one run."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest

from graftscope.bundle import BundleFolder, read_bundle
from graftscope.server.engine import (
    FREE,
    Cancellation,
    Device,
    Generator,
    SessionPool,
    downstream,
    halves,
    upstream,
)
from graftscope.v1 import bundle_pb2

SAMPLES = 3
Z = np.random.default_rng(0).standard_normal((SAMPLES, 4)).astype(np.float32)

HEAD = '<ir_version: 10, opset_import: ["" : 18]>\n'
ABOVE = "r = Relu(z)\n    sizes = Shape(r)"
BELOW = """
    x = Reshape(r, sizes)
    square = Constant<value_ints: ints = [-1, 1, 2, 2]>()
    image = Reshape(x, square)
"""
IMAGE = "float[batch, 1, 2, 2] image"
GRAPHS = {
    "generator.onnx": f"(float[batch, 4] z) => ({IMAGE}) {{ {ABOVE} {BELOW} }}",
    "up.onnx": f"(float[batch, 4] z) => (float[batch, 4] r, int64[2] sizes) {{ {ABOVE} }}",
    "down.onnx": f"(int64[2] sizes, float[batch, 4] r) => ({IMAGE}) {{ {BELOW} }}",
}


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    """One whose lower half is told how many samples there are."""
    folder = tmp_path_factory.mktemp("sizes")
    for name, text in GRAPHS.items():
        onnx.save(onnx.parser.parse_model(f"{HEAD}g {text}"), folder / name)
    manifest = bundle_pb2.Bundle(
        name="sizes",
        digest="sizes",
        generator="generator.onnx",
        image=bundle_pb2.Image(channels=1, height=2, width=2, low=-1.0, high=1.0),
        inputs=[bundle_pb2.Input(name="z", datatype="FP32", shape=[4])],
    )
    manifest.layers.add(
        name="r",
        kind=bundle_pb2.LAYER_KIND_VECTOR,
        channels=4,
        height=1,
        width=1,
        tensor="r",
        carried=["sizes"],
        upstream="up.onnx",
        downstream="down.onnx",
    )
    return Generator(BundleFolder(folder, manifest), SessionPool(Device.CPU, 8))


def test_the_activation_comes_first_and_extents_are_told(sizes: Generator) -> None:
    found = halves(sizes, sizes.layer("r"))
    assert [(x.name, x.dtype.name, x.shape) for x in found.crossing] == [
        ("r", "float32", (FREE, 4)),
        ("sizes", "int64", (2,)),
    ]
    assert not found.has_rows
    assert (found.image.name, found.image.shape) == ("image", (FREE, 1, 2, 2))


def test_what_has_no_rows_is_made_in_one_run_that_nobody_shares(sizes: Generator) -> None:
    layer = sizes.layer("r")
    above, below = (half(sizes, layer, SAMPLES) for half in (upstream, downstream))
    crossing = above.make(lambda: {"z": Z}, Cancellation())
    np.testing.assert_array_equal(crossing["sizes"], [SAMPLES, 4])
    image = below.make(lambda: crossing, Cancellation())["image"]
    np.testing.assert_array_equal(image, np.maximum(Z, 0).reshape(-1, 1, 2, 2))
    assert above.limit == below.limit == SAMPLES
    assert above.key != upstream(sizes, layer, SAMPLES).key
    assert below.key != downstream(sizes, layer, SAMPLES).key


def test_callers_whose_tensors_have_rows_share_a_run(toy_vae_bundle: Path) -> None:
    generator = Generator(read_bundle(toy_vae_bundle), SessionPool(Device.CPU, 8))
    z = np.random.default_rng(1).standard_normal((6, 8)).astype(np.float32)
    parts = [{"z": z[a:b]} for a, b in pairwise((0, 1, 3, 6))]
    for layer in generator.manifest.layers:
        above, below = (half(generator, layer, 6) for half in (upstream, downstream))
        assert above.key == upstream(generator, layer, 1).key
        crossing = above.run(parts, Cancellation())
        images = below.run(crossing, Cancellation())
        alone = [below.make(lambda x=x: x, Cancellation()) for x in crossing]  # type: ignore[misc]
        for one, other in zip(images, alone, strict=True):
            np.testing.assert_array_equal(one["image"], other["image"])
        assert [len(x["image"]) for x in images] == [1, 2, 3]
