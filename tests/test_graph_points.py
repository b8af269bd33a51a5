"""Facts about which points of a graph are layers: sums, styles, blurs, vectors, tokens, latents."""

import numpy as np
import pytest

from graftscope.graph import LayerKind, NoLayersError, find_layers
from onnx_toys import REUSED_LATENT, SKIP, parse

TOKENS = """
<ir_version: 10, opset_import: ["": 20]>
tokens (float[batch, 8] z) => (float[batch, 1, 4, 4] image) {
    flat = Gemm(z, w_fc)
    start = Reshape(flat, shape_tokens)
    mixed = MatMul(start, w_mix)
    kept = Add(mixed, start)
    normal = LayerNormalization<axis = -1>(kept, gain, shift)
    scores = MatMul(normal, w_mix)
    turned = Transpose<perm = [0, 2, 1]>(normal)
    products = MatMul(scores, turned)
    shares = Softmax(products)
    attended = MatMul(shares, normal)
    pixels = MatMul(attended, w_pixel)
    image = Reshape(pixels, shape_image)
}
"""

FLAT = """
<ir_version: 10, opset_import: ["": 20]>
flat (float[batch, 8] z) => (float[batch, 3, 4, 4] image) {
    first = Gemm(z, w_fc)
    hidden = Relu(first)
    maps = Reshape(hidden, shape_fc)
    seen = Conv<pads = [1, 1, 1, 1]>(maps, w_one)
    code = Flatten(seen)
    pixels = Gemm(code, w_out)
    image = Reshape(pixels, shape_image)
}
"""

STYLED = """
<ir_version: 10, opset_import: ["": 20]>
styled (float[batch, 8] z, float[batch, 1, 4, 4] noise) => (float[batch, 3, 4, 4] image) {
    flat = Gemm(z, w_fc)
    maps = Reshape(flat, shape_fc)
    first = Relu(maps)
    again = Gemm(z, w_style)
    style = Reshape(again, shape_style)
    scaled = Mul(first, style)
    middle = Conv<pads = [1, 1, 1, 1]>(scaled, w_one)
    noisy = Add(middle, noise)
    second = Relu(noisy)
    blurred = Conv<pads = [1, 1, 1, 1], group = 4>(second, w_blur)
    image = Conv<pads = [1, 1, 1, 1]>(blurred, w_out)
}
"""

RANDOM = np.random.default_rng(3)


def weights(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Draw weights."""
    return RANDOM.standard_normal(shape).astype(np.float32)


def test_the_sum_in_which_a_skip_connection_ends_is_a_layer() -> None:
    # `joined` is read by a convolution here, and by a normalisation alone there.
    assert [layer.name for layer in find_layers(parse(SKIP))] == ["first", "second", "joined"]
    behind = SKIP.replace(
        "= Conv<pads = [1, 1, 1, 1]>(joined", "= Conv<pads = [1, 1, 1, 1]>(normal"
    )
    behind = behind.replace("colours =", "normal = Relu(joined)\n    colours =")
    names = [layer.name for layer in find_layers(parse(behind))]
    assert names == ["first", "second", "joined", "normal"]


def test_what_only_adds_noise_or_a_style_is_no_layer_of_its_own() -> None:
    names = [layer.name for layer in find_layers(parse(REUSED_LATENT))]
    assert names == ["first", "noisy"]


def test_a_layer_lies_before_its_scaling_by_a_style_and_before_a_blur() -> None:
    blur = np.broadcast_to(weights(1, 1, 3, 3), (4, 1, 3, 3)).copy()
    names = [layer.name for layer in find_layers(parse(STYLED, w_blur=blur))]
    assert names == ["first", "again", "second"]
    # A filter of its own for every channel is learned, so what it gives is a layer.
    learned = find_layers(parse(STYLED, w_blur=weights(4, 1, 3, 3)))
    assert [layer.name for layer in learned] == ["first", "again", "second", "blurred"]


def test_the_parts_that_a_skip_connection_joins_are_layers() -> None:
    joining = SKIP.replace("Add(last, first)", "Concat<axis = 1>(last, first)")
    model = parse(joining, w_out=weights(3, 8, 3, 3))
    assert [layer.name for layer in find_layers(model)] == ["first", "second", "last", "joined"]


def test_tokens_are_layers_whose_channels_come_last() -> None:
    model = parse(
        TOKENS,
        shape_tokens=np.array([-1, 16, 4]),
        shape_image=np.array([-1, 1, 4, 4]),
        w_mix=weights(4, 4),
        w_pixel=weights(4, 1),
        gain=weights(4),
        shift=weights(4),
    )
    layers = find_layers(model)
    assert [layer.name for layer in layers] == ["start", "kept", "normal", "attended"]
    assert {(x.kind, x.channels, x.height, x.width) for x in layers} == {
        (LayerKind.TOKENS, 4, 16, 1)
    }


def test_a_vector_is_a_layer_and_what_is_flattened_is_a_map() -> None:
    model = parse(FLAT, shape_image=np.array([-1, 3, 4, 4]), w_out=weights(64, 48))
    layers = find_layers(model, latents=["z"])
    found = [(x.name, x.kind, x.channels, x.height, x.width) for x in layers]
    assert found == [
        ("z", LayerKind.VECTOR, 8, 1, 1),
        ("maps", LayerKind.MAP, 4, 4, 4),
        ("seen", LayerKind.MAP, 4, 4, 4),
    ]


def test_latents_come_first_and_keep_their_names() -> None:
    model = parse(STYLED.replace("first", "Z_"), w_blur=weights(4, 1, 3, 3))
    names = [layer.name for layer in find_layers(model, latents=["z", "noise"])]
    assert names == ["z", "noise", "Z_2", "again", "second", "blurred"]


def test_what_is_the_same_in_every_sample_is_no_layer() -> None:
    model = parse(
        STYLED.replace("Gemm(z, w_style)", "Gemm(t, w_style)")
        .replace("float[batch, 1, 4, 4] noise", "float[batch, 1, 4, 4] noise, float[batch, 8] t")
        .replace("style = Reshape(again", "deep = Gemm(again, w_deep)\n    style = Reshape(deep"),
        w_blur=weights(4, 1, 3, 3),
        w_deep=weights(4, 4),
    )
    assert "again" in [layer.name for layer in find_layers(model)]
    assert "again" not in [layer.name for layer in find_layers(model, constant=["t"])]


def test_a_graph_without_a_point_between_two_linear_operations_has_no_layers() -> None:
    with pytest.raises(NoLayersError, match="no layer found: a layer feeds one of Conv"):
        find_layers(
            parse(
                """
                <ir_version: 10, opset_import: ["": 20]>
                one (float[batch, 4, 4, 4] z) => (float[batch, 3, 4, 4] image) {
                    image = Conv<pads = [1, 1, 1, 1]>(z, w_out)
                }
                """
            )
        )
