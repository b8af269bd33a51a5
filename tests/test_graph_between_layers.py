"""Facts about the kernels between two layers: a convolution by them is what the graph computes."""

import numpy as np
import pytest

from graftscope.graph import LayerKernels, NoKernelsError, kernels_between
from graftscope.graph._shapes import infer_missing_shapes
from onnx_toys import CHAIN, REUSED_LATENT, SKIP, parse, run

SIDE = 6
HEAD = '<ir_version: 10, opset_import: ["": 20]>\nbody (float[batch, 4, 6, 6] a) => '


def computed(kernels: LayerKernels, map_: np.ndarray, channel: int) -> np.ndarray:
    """(O, h, w) what one channel's kernels make of a map, border taken as zeros, uncropped."""
    (down, right), (tall, wide) = kernels.upsampling, kernels.dilation
    large = np.zeros((SIDE * down, SIDE * right))
    large[::down, ::right] = map_
    outputs, rows, columns = kernels.values.shape[1:]
    full = np.zeros(
        (outputs, len(large) + tall * (rows - 1), large.shape[1] + wide * (columns - 1))
    )
    for i in range(rows):
        for j in range(columns):
            part = kernels.values[channel, :, i, j, np.newaxis, np.newaxis] * large
            full[:, tall * i : tall * i + len(large), wide * j : wide * j + large.shape[1]] += part
    return full


BODIES = {
    "ConvTranspose<strides = [2, 2], pads = [1, 1, 1, 1]>(a, w)": (4, 3, 4, 4),
    "ConvTranspose<strides = [2, 1], group = 2>(a, w)": (4, 3, 4, 3),
    "ConvTranspose<dilations = [2, 2]>(a, w)": (4, 3, 2, 2),
    "Conv<pads = [1, 1, 1, 1]>(a, w)": (5, 4, 3, 3),
    "Conv<group = 2, pads = [2, 2, 2, 2], dilations = [2, 2]>(a, w)": (6, 2, 3, 3),
    "Conv<pads = [1, 1, 1, 1]>(large, w)": (5, 4, 3, 3),
}


@pytest.mark.parametrize("body", BODIES)
def test_what_the_kernels_make_of_a_channel_is_what_the_graph_computes(body: str) -> None:

    random = np.random.default_rng(3)
    weights = random.standard_normal(BODIES[body]).astype(np.float32)
    resized = (
        'large = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric",'
        ' nearest_mode = "floor">(a, , twice)\n'
        if "large" in body
        else ""
    )
    model = parse(
        f"{HEAD}(float[batch, o, h, v] image) {{ {resized} image = {body} }}",
        w=weights,
        twice=np.array([1, 1, 2, 2], np.float32),
    )
    infer_missing_shapes(model)
    kernels = kernels_between(model, "a", None)
    maps = np.zeros((1, 4, SIDE, SIDE), np.float32)
    maps[0, 2] = random.standard_normal((SIDE, SIDE))
    image = np.asarray(run(model, {"a": maps})["image"][0], np.float64)
    # Of several groups, channel 2's outputs are those of the second.
    count = kernels.values.shape[1]
    image = image[-count:]
    full = computed(kernels, maps[0, 2].astype(np.float64), 2)
    if body.startswith("Conv<"):
        # What ONNX calls a convolution turns the kernel around.
        turned = LayerKernels(kernels.values[..., ::-1, ::-1], kernels.upsampling, kernels.dilation)
        full = computed(turned, maps[0, 2].astype(np.float64), 2)
    top, left = ((full.shape[i] - image.shape[i]) // 2 for i in (1, 2))
    inner = full[:, top : top + image.shape[1], left : left + image.shape[2]]
    np.testing.assert_allclose(inner, image, atol=1e-5)


def test_normalisation_and_nonlinearity_behind_a_convolution_are_passed() -> None:
    model = parse(CHAIN)
    found = kernels_between(model, "first", "second")
    assert found.values.shape == (4, 6, 4, 4)
    assert found.upsampling == (2, 2)
    assert kernels_between(model, "second", None).values.shape == (6, 3, 3, 3)


@pytest.mark.parametrize(
    ("text", "upper", "lower", "said"),
    [
        (CHAIN, "z", "first", "the operation Reshape lies between them"),
        (CHAIN, "first", None, "reads what Relu gives, not the layer itself"),
        (SKIP, "second", "joined", "a sum of several paths"),
        (REUSED_LATENT, "first", "noisy", "a sum of several paths"),
        (REUSED_LATENT, "first", "second", "the operation Mul"),
        (CHAIN, "first", "z", "'z' is an input"),
    ],
)
def test_what_is_no_convolution_alone_is_said(
    text: str, upper: str, lower: str | None, said: str
) -> None:
    with pytest.raises(NoKernelsError, match=said):
        kernels_between(parse(text), upper, lower)


def test_weights_that_are_computed_are_no_kernels() -> None:
    text = f"{HEAD}(float[batch, o, h, v] image) {{ w = Relu(v) image = Conv(a, w) }}"
    model = parse(text, v=np.ones((5, 4, 3, 3), np.float32))
    with pytest.raises(NoKernelsError, match="weights that are computed"):
        kernels_between(model, "a", None)
