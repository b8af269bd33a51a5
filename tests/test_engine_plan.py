"""The size of a run, and how many go side by side, are bounded by what a sample's tensors take."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from graftscope.bundle import BundleFolder, read_bundle
from graftscope.server.engine import (
    Device,
    Generator,
    SessionPool,
    runs_side_by_side,
)
from graftscope.server.engine._graph_memory import GraphMemory, graph_memory
from graftscope.server.engine._plan import choose_plan, rewritten
from graftscope.server.engine._rewritten_layers import require_room
from graftscope.server.errors import TooLarge
from graftscope.v1 import bundle_pb2


def large(bundle: Path, side: int) -> Generator:
    """A generator whose manifest speaks of 32 maps of this side; it is not run."""
    manifest = bundle_pb2.Bundle()
    manifest.CopyFrom(read_bundle(bundle).manifest)
    manifest.image.height = manifest.image.width = side
    last = manifest.layers[-1]
    last.channels, last.height, last.width = 32, side, side
    return Generator(BundleFolder(bundle, manifest), SessionPool(Device.CPU, 4))


def test_large_images_are_made_one_at_a_time(toy_vae_bundle: Path) -> None:
    generator = large(toy_vae_bundle, 1024)
    assert generator.widest_bytes() == 32 * 1024 * 1024 * 4
    plan = choose_plan(generator, generator.layer("coarse"), 512)
    assert (plan.batch, plan.sets) == (1, 1)
    assert runs_side_by_side(generator, 8) == 1


def test_smaller_ones_have_all_workers(toy_vae_bundle: Path) -> None:
    small = Generator(read_bundle(toy_vae_bundle), SessionPool(Device.CPU, 4))
    assert runs_side_by_side(small, 8) == 8
    middle = large(toy_vae_bundle, 512)
    assert 1 < runs_side_by_side(middle, 8) < 8


def test_places_leave_out_what_lies_above(toy_vae_bundle: Path) -> None:
    generator = large(toy_vae_bundle, 64)
    assert generator.widest_bytes(64 * 64 + 1) == 3 * 64 * 64 * 4


def test_a_bundle_of_few_layers_is_known_to_be_as_wide(toy_vae_bundle: Path) -> None:
    whole, manifest = read_bundle(toy_vae_bundle), bundle_pb2.Bundle()
    manifest.CopyFrom(whole.manifest)
    del manifest.layers[1:]
    every, few = (
        Generator(BundleFolder(toy_vae_bundle, x), SessionPool(Device.CPU, 4))
        for x in (whole.manifest, manifest)
    )
    colours, height, width = every.image_shape
    assert every.widest_bytes() == few.widest_bytes() > 4 * colours * height * width
    assert every.widest_bytes(width * height) == few.widest_bytes(width * height)


def test_large_images_are_rewritten_one_hybrid_at_a_time(toy_vae_bundle: Path) -> None:
    generator = large(toy_vae_bundle, 1024)
    plain, *others = rewritten(
        generator, choose_plan(generator, generator.layer("coarse"), 512), single=True
    )
    assert not plain.rewrites
    assert others
    assert {(x.batch, x.sets, bool(x.rewrites)) for x in others} == {(1, 1, True)}


def test_what_rewritten_graphs_take_beyond_what_is_reckoned_is_refused() -> None:
    pair, run = GraphMemory(0, 300, 200, has_batch=True), GraphMemory(0, 200, 8, has_batch=True)
    require_room("coarse/effects", pair, run, 400)
    with pytest.raises(TooLarge, match="'coarse/effects' take 0 MiB for one"):
        require_room("coarse/effects", pair, run, 399)


def test_weights_inside_a_graph_and_tensors_behind_computed_shapes_are_counted() -> None:
    weights = numpy_helper.from_array(np.ones((4, 8), np.float32))
    nodes = [
        helper.make_node("Constant", [], ["weights"], value=weights),
        helper.make_node("MatMul", ["x", "weights"], ["y"]),
        helper.make_node("Reshape", ["y", "shape"], ["rows"]),
        helper.make_node("Relu", ["rows"], ["z"]),
    ]
    x, y, rows, z = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])
        for name, width in (("x", 4), ("y", 8), ("rows", 8), ("z", 8))
    )
    shape = helper.make_tensor_value_info("shape", TensorProto.INT64, [2])
    graph = helper.make_graph(nodes, "rows", [x, shape], [z], value_info=[y, rows])
    found = graph_memory(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))
    assert found.weights_bytes == 4 * 8 * 4
    # One sample's y and rows lie side by side, or rows and what is given.
    assert (found.sample_bytes, found.given_bytes) == (2 * 8 * 4, 8 * 4)
