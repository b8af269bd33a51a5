"""Facts about `graftscope.graph.find_layers`."""

import numpy as np
import pytest

from graftscope.graph import GraphError, LayerKind, NoLayersError, find_layers
from onnx_toys import CHAIN, REUSED_LATENT, SKIP, parse


def tensors(text: str) -> list[str]:
    return [layer.tensor for layer in find_layers(parse(text))]


def test_layers_lie_behind_normalisation_and_nonlinearity_in_the_graphs_order() -> None:
    assert tensors(CHAIN) == ["first", "second"]


def test_shapes_that_are_missing_are_inferred() -> None:
    first, second = find_layers(parse(CHAIN))
    assert (first.kind, first.channels, first.height, first.width) == (LayerKind.MAP, 4, 4, 4)
    assert (second.kind, second.channels, second.height, second.width) == (LayerKind.MAP, 6, 8, 8)


def test_a_joined_skip_connection_is_a_layer_of_its_own() -> None:
    assert tensors(SKIP) == ["first", "second", "joined"]


def test_what_two_convolutions_read_is_one_layer() -> None:
    text = SKIP.replace("Conv<pads = [1, 1, 1, 1]>(second", "Conv<pads = [1, 1, 1, 1]>(first")
    assert tensors(text) == ["first", "joined"]


def test_neither_latents_nor_constants_nor_the_image_are_layers() -> None:
    model = parse(
        """
        <ir_version: 10, opset_import: ["": 20]>
        toy (float[batch, 4, 4, 4] z) => (float[batch, 3, 4, 4] image) {
            scaled = Mul(z, half)
            one = Conv<pads = [1, 1, 1, 1]>(scaled, w_one)
            learnt = Conv<pads = [1, 1, 1, 1]>(constant, w_two)
            both = Add(one, learnt)
            image = Conv<pads = [1, 1, 1, 1]>(both, w_out)
            after = Conv<pads = [1, 1, 1, 1]>(image, w_after)
        }
        """,
        half=np.array(0.5, np.float32),
        constant=np.ones((1, 4, 4, 4), np.float32),
        w_after=np.ones((1, 3, 3, 3), np.float32),
    )
    assert [layer.tensor for layer in find_layers(model)] == ["both"]


def test_what_does_not_reach_the_image_is_no_layer() -> None:
    side = "aside = Conv<pads = [1, 1, 1, 1]>(middle, w_two)\n    second"
    assert tensors(SKIP.replace("second", side, 1)) == ["first", "second", "joined"]


def test_a_layer_lies_before_padding_and_resampling() -> None:
    model = parse(
        """
        <ir_version: 10, opset_import: ["": 20]>
        toy (float[batch, 8] z) => (float[batch, 3, 8, 8] image) {
            flat = Gemm(z, w_fc)
            maps = Reshape(flat, shape_fc)
            first = Relu(maps)
            larger = Resize<mode = "nearest">(first, , scales)
            padded = Pad(larger, pads)
            colours = Conv(padded, w_out)
            image = Tanh(colours)
        }
        """,
        scales=np.array([1, 1, 2, 2], np.float32),
        pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    )
    (layer,) = find_layers(model)
    assert (layer.tensor, layer.height) == ("first", 4)


def test_padding_that_adds_channels_stays_in_the_layer() -> None:
    model = parse(
        """
        <ir_version: 10, opset_import: ["": 20]>
        toy (float[batch, 8] z) => (float[batch, 3, 2, 2] image) {
            flat = Gemm(z, w_fc)
            maps = Reshape(flat, shape_fc)
            padded = Pad(maps, pads)
            image = Conv(padded, w_out)
        }
        """,
        pads=np.array([0, 1, 0, 0, 0, 1, 0, 0]),
        w_out=np.ones((3, 6, 3, 3), np.float32),
    )
    (layer,) = find_layers(model)
    assert (layer.tensor, layer.channels) == ("padded", 6)


def test_a_latent_that_is_reused_does_not_make_a_layer() -> None:
    assert tensors(REUSED_LATENT) == ["first", "noisy"]


def test_without_names_of_modules_layers_are_called_after_their_tensors() -> None:
    assert [layer.name for layer in find_layers(parse(CHAIN))] == ["first", "second"]


def test_a_graph_without_layers_is_refused_with_its_operations() -> None:
    model = parse(
        """
        <ir_version: 10, opset_import: ["": 20]>
        toy (float[batch, 8] z) => (float[batch, 64] image) { image = Gemm(z, w_fc) }
        """
    )
    with pytest.raises(NoLayersError, match=r"no layer found: .*; the graph's operations: Gemm$"):
        find_layers(model)


def test_a_layer_whose_extents_are_not_fixed_is_refused_by_name() -> None:
    model = parse(
        """
        <ir_version: 10, opset_import: ["": 20]>
        toy (float[batch, 4, side, side] z) => (float[batch, 3, side, side] image) {
            one = Conv<pads = [1, 1, 1, 1]>(z, w_one)
            image = Conv<pads = [1, 1, 1, 1]>(one, w_out)
        }
        """
    )
    with pytest.raises(GraphError, match=r"tensor 'one' feeds a linear operation, but is FLOAT \["):
        find_layers(model)


def test_a_graph_with_two_outputs_is_refused_with_their_names() -> None:
    text = CHAIN.replace("image) {", "image, float[batch, 3, 8, 8] colours) {")
    with pytest.raises(GraphError, match=r"one output, the image; .* outputs: image, colours"):
        find_layers(parse(text))
