"""Networks whose maps are (B, H, W, C) between their convolutions: layers as in their twin."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from graftscope.bundle import read_bundle
from graftscope.exporter import export
from onnx_cases import save
from whole_graphs import (
    Array,
    activation,
    bundle_activation,
    bundle_hybrids,
    bundle_image,
    engine_influence,
    hybrids,
    layer_of,
    whole_image,
)

CLOSE = 2e-6
"""Float32 against another order of sums."""

LAST = """
<ir_version: 10, opset_import: ["": 20]>
last (float[batch, 8] z) => (float[batch, 8, 10, 3] image) {
    flat = Gemm(z, w_fc)
    maps = Reshape(flat, shape_last)
    scaled = Mul(maps, gain)
    shifted = Add(scaled, shift)
    first = Relu(shifted)
    front = Transpose<perm = [0, 3, 1, 2]>(first)
    convolved = Conv<pads = [1, 1, 1, 1]>(front, w_one)
    back = Transpose<perm = [0, 2, 3, 1]>(convolved)
    second = Relu(back)
    joined = Add(second, first)
    product = MatMul(joined, w_mix)
    mixed = LeakyRelu(product)
    both = Concat<axis = 3>(joined, mixed)
    padded = Pad<mode = "reflect">(both, around_last)
    front_again = Transpose<perm = [0, 3, 1, 2]>(padded)
    colours = ConvTranspose<strides = [2, 2], pads = [3, 3, 3, 3]>(front_again, w_up)
    turned = Transpose<perm = [0, 2, 3, 1]>(colours)
    image = Tanh(turned)
}
"""
FIRST = """
<ir_version: 10, opset_import: ["": 20]>
first (float[batch, 8] z) => (float[batch, 3, 8, 10] image) {
    flat = Gemm(z, w_fc)
    as_last = Reshape(flat, shape_last)
    maps = Transpose<perm = [0, 3, 1, 2]>(as_last)
    scaled = Mul(maps, gain_first)
    shifted = Add(scaled, shift_first)
    first = Relu(shifted)
    convolved = Conv<pads = [1, 1, 1, 1]>(first, w_one)
    second = Relu(convolved)
    joined = Add(second, first)
    product = Conv(joined, w_mix_one)
    mixed = LeakyRelu(product)
    both = Concat<axis = 1>(joined, mixed)
    padded = Pad<mode = "reflect">(both, around_first)
    colours = ConvTranspose<strides = [2, 2], pads = [3, 3, 3, 3]>(padded, w_up)
    image = Tanh(colours)
}
"""


def weights() -> dict[str, Array]:
    randomness = np.random.default_rng(5)

    def some(*shape: int) -> NDArray[np.float32]:
        return (0.4 * randomness.standard_normal(shape)).astype(np.float32)

    mix, gain, shift = some(6, 5), some(6) + 1, some(6)
    return {
        "w_fc": some(8, 4 * 5 * 6),
        "shape_last": np.array([-1, 4, 5, 6]),
        "gain": gain,
        "shift": shift,
        "gain_first": gain.reshape(6, 1, 1),
        "shift_first": shift.reshape(6, 1, 1),
        "w_one": some(6, 6, 3, 3),
        "w_mix": mix,
        "w_mix_one": mix.T.reshape(5, 6, 1, 1).copy(),
        "around_last": np.array([0, 1, 1, 0, 0, 1, 1, 0]),
        "around_first": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "w_up": some(11, 3, 4, 4),
    }


def drawn(seed: int, batch: int = 3) -> dict[str, Array]:
    return {"z": np.random.default_rng(seed).standard_normal((batch, 8)).astype(np.float32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both files and their bundles."""
    path = tmp_path_factory.mktemp("layouts")
    for name, text in (("last", LAST), ("first", FIRST)):
        export(save(path / f"{name}.onnx", text, **weights()), path / name)
    return path


def test_layers_are_those_of_the_twin_with_channels_first(folder: Path) -> None:
    last, first = (read_bundle(folder / name).manifest.layers for name in ("last", "first"))
    described = [
        [(each.name, each.kind, each.channels, each.height, each.width) for each in layers]
        for layers in (last, first)
    ]
    assert described[0] == described[1]
    assert [(each.name, each.channels) for each in last] == [
        ("z", 8),
        ("first", 6),
        ("joined", 6),
        ("mixed", 5),
        ("both", 11),
    ]


def test_activations_hybrids_and_images_are_those_of_the_twin_and_of_the_file(folder: Path) -> None:
    originals = drawn(1), drawn(2)
    truth = whole_image(folder / "last.onnx", originals[0]).transpose(0, 3, 1, 2)
    assert np.abs(bundle_image(folder / "last", originals[0]) - truth).max() < CLOSE
    assert np.abs(bundle_image(folder / "first", originals[0]) - truth).max() < CLOSE
    for layer in read_bundle(folder / "last").manifest.layers[1:]:
        file, chosen = folder / "last.onnx", (0, layer.channels - 1)
        found = bundle_activation(folder / "last", layer, originals[0])
        by_hand = activation(file, layer.name, originals[0]).astype(np.float64)
        assert np.abs(found.transpose(0, 2, 3, 1) - by_hand).max() < 10 * CLOSE
        spliced = bundle_hybrids(folder / "last", layer, chosen, originals)
        slow = hybrids(file, layer.name, chosen, originals, axis=3).transpose(0, 3, 1, 2)
        assert np.abs(spliced - slow).max() < CLOSE
        assert np.abs(slow - truth).max() > 0.01
        twin = layer_of(folder / "first", layer.name)
        assert (
            np.abs(bundle_hybrids(folder / "first", twin, chosen, originals) - slow).max() < CLOSE
        )


def test_influence_is_that_of_a_slow_loop_over_the_file(folder: Path) -> None:
    originals = drawn(3), drawn(4)
    layer = layer_of(folder / "last", "joined")
    maps = engine_influence(folder / "last", layer, originals)
    image = whole_image(folder / "last.onnx", originals[0])
    for channel in range(layer.channels):
        slow = hybrids(folder / "last.onnx", "joined", (channel,), originals, axis=3)
        expected = np.abs(slow - image).mean(axis=(0, 3))
        assert np.abs(maps[channel] - expected).max() < CLOSE


def test_a_layer_that_is_turned_to_the_front_anyway_needs_no_more_turning(tmp_path: Path) -> None:
    text = LAST.replace("joined = Add(second, first)", "joined = Identity(second)")
    export(save(tmp_path / "toy.onnx", text, **weights()), tmp_path / "toy")
    layers = {each.name: each.tensor for each in read_bundle(tmp_path / "toy").manifest.layers}
    assert layers["first"] == "front"
    graph = onnx.load(tmp_path / "toy" / "generator.onnx", load_external_data=False).graph
    turned = [node.input[0] for node in graph.node if node.op_type == "Transpose"]
    assert turned.count("first") == 1
