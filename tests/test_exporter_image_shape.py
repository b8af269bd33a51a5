"""Facts about images that lack axes: flat ones with --image-shape, and those without a batch.

The twin of each is the same network with images (B, C, H, W); it tells the truth.
"""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from graftscope.exporter import Exported, SourceError, export
from graftscope.graph import HYBRIDS, ORIGINAL1, ORIGINAL2, SETS, cut, normalise, splice
from onnx_cases import FIXED, one_sample, save
from onnx_toys import CHAIN, SKIP, above, parse, run

FLAT = CHAIN.replace("float[batch, 3, 8, 8] image", "float[batch, 192] image").replace(
    "image = Tanh(colours)", "curve = Tanh(colours)\n    image = Flatten(curve)"
)
ROWS = """
<ir_version: 10, opset_import: ["": 20]>
rows (float[batch, 8] z) => (float[batch, 100] image) {
    wide = Gemm(z, w_fc)
    first = Relu(wide)
    more = Gemm(first, w_more)
    second = Relu(more)
    last = Gemm(second, w_last)
    image = Sigmoid(last)
}
"""
"""The decoder of every tutorial on variational autoencoders: fully connected, and flat."""

FULL = {
    "w_more": np.random.default_rng(1).standard_normal((64, 32)).astype(np.float32) * 0.2,
    "w_last": np.random.default_rng(2).standard_normal((32, 100)).astype(np.float32),
}
Z = np.random.default_rng(3).standard_normal((5, 8)).astype(np.float32)


def tensors(exported: Exported) -> list[str]:
    return [layer.tensor for layer in exported.manifest.layers]


def stored(folder: Path) -> ir.Model:
    """Read the generator of a bundle, its weights with it."""
    return ir.external_data.load_to_model(ir.load(folder / "generator.onnx"))


def images(model: ir.Model) -> NDArray[np.float32]:
    return run(model, {"z": Z})["image"].astype(np.float32)


def hybrids(model: ir.Model, layer: str, channels: int) -> NDArray[np.float32]:
    """Take every other channel from the next sample."""
    halves = cut(model, layer)
    activation = run(above(halves), {"z": Z})[layer]
    sets = (np.arange(channels) % 2 == 1)[None]
    given = {ORIGINAL1: activation, ORIGINAL2: np.roll(activation, -1, axis=0), SETS: sets}
    return run(splice(halves.downstream, activation=layer), given)[HYBRIDS].astype(np.float32)


def test_flat_images_with_their_shape_are_those_of_the_twin(tmp_path: Path) -> None:
    exported = export(save(tmp_path / "toy.onnx", FLAT), tmp_path / "toy", image_shape=(3, 8, 8))
    stated = exported.manifest.image
    assert (stated.channels, stated.height, stated.width) == (3, 8, 8)
    assert (stated.low, stated.high) == (-1.0, 1.0)
    assert tensors(exported) == ["z", "first", "second"]
    assert exported.notes[0] == (
        "output 'image' [batch,192]: taken as images (3, 8, 8), channels, height and width"
    )
    twin, model = normalise(parse(CHAIN)), stored(tmp_path / "toy")
    np.testing.assert_array_equal(images(model), images(twin))
    for layer, channels in (("first", 4), ("second", 6)):
        np.testing.assert_array_equal(
            hybrids(model, layer, channels), hybrids(twin, layer, channels)
        )


def test_layers_of_a_fully_connected_decoder_are_vectors(tmp_path: Path) -> None:
    source = save(tmp_path / "toy.onnx", ROWS, **FULL)
    exported = export(source, tmp_path / "toy", image_shape=[1, 10, 10])
    assert [(layer.tensor, layer.channels) for layer in exported.manifest.layers] == [
        ("z", 8),
        ("first", 64),
        ("second", 32),
    ]
    whole = run(ir.load(source), {"z": Z})["image"].reshape(5, 1, 10, 10)
    np.testing.assert_array_equal(images(stored(tmp_path / "toy")), whole)


def test_flat_images_with_channels_last_are_turned(tmp_path: Path) -> None:
    text = FLAT.replace("Flatten(curve)", "Flatten(turned)").replace(
        "    image =", "    turned = Transpose<perm = [0, 2, 3, 1]>(curve)\n    image ="
    )
    export(save(tmp_path / "toy.onnx", text), tmp_path / "toy", image_shape=(8, 8, 3))
    np.testing.assert_array_equal(images(stored(tmp_path / "toy")), images(parse(CHAIN)))


def test_a_fixed_batch_of_1_is_made_free_behind_flat_images_too(tmp_path: Path) -> None:
    source = save(tmp_path / "toy.onnx", one_sample(FLAT), **FIXED)
    export(source, tmp_path / "toy", image_shape=(3, 8, 8))
    np.testing.assert_allclose(images(stored(tmp_path / "toy")), images(parse(CHAIN)), atol=1e-6)


@pytest.mark.parametrize(
    ("end", "shape"),
    [
        ("image = Gather<axis = 0>(curve, zero)", "3, 8, 8"),
        ("image = Squeeze(curve, axis)", "3, 8, 8"),
        ("image = Reshape(curve, behind)", "3, 8, 8"),
        ("one = Gather<axis = 0>(curve, zero)\n    image = Identity(one)", "3, 8, 8"),
        (
            "one = Gather<axis = 0>(curve, zero)\n    last = Transpose<perm = [1, 2, 0]>(one)\n"
            "    image = Mul(last, unit)",
            "8, 8, 3",
        ),
    ],
)
@pytest.mark.parametrize("batch", ["batch", "1"])
def test_an_image_without_a_batch_is_given_one(
    tmp_path: Path, end: str, shape: str, batch: str
) -> None:
    text = CHAIN.replace("batch, 8] z", f"{batch}, 8] z").replace("batch, 3, 8, 8", shape)
    text = text.replace("image = Tanh(colours)", f"curve = Tanh(colours)\n    {end}")
    numbers = {
        "zero": np.array(0),
        "axis": np.array([0]),
        "behind": np.array([3, 8, 8]),
        "unit": np.array(1, np.float32),
    }
    read = {name: array for name, array in numbers.items() if name in end}
    exported = export(save(tmp_path / "toy.onnx", text, **read), tmp_path / "toy")
    assert exported.notes[0] == (
        f"image 'image' [{shape}] has no axis for samples; it is given one"
    )
    assert tensors(exported) == ["z", "first", "second"]
    found = images(stored(tmp_path / "toy"))
    assert found.shape == (5, 3, 8, 8)
    np.testing.assert_allclose(found, images(parse(CHAIN)), atol=1e-6)


def test_a_batch_that_is_taken_away_elsewhere_is_refused_with_what_to_change(
    tmp_path: Path,
) -> None:
    text = SKIP.replace("batch, 3, 4, 4", "3, 4, 4").replace(
        "image = Tanh(colours)",
        "one = Gather<axis = 0>(colours, zero)\n    twice = Add(one, one)\n"
        "    image = Concat<axis = 0>(twice)",
    )
    with pytest.raises(SourceError) as refused:
        export(save(tmp_path / "toy.onnx", text, zero=np.array(0)), tmp_path / "toy")
    assert str(refused.value) == (
        "image 'image' [3, 4, 4] has no axis for samples, and that axis is not removed "
        "at the graph's end: export the graph with images (B, C, H, W)"
    )


def test_a_flat_image_is_refused_with_the_shape_that_it_may_have(tmp_path: Path) -> None:
    source = save(tmp_path / "toy.onnx", ROWS, **FULL)
    with pytest.raises(SourceError) as refused:
        export(source, tmp_path / "toy")
    assert str(refused.value).endswith(
        "not 'image' FLOAT [batch,100]; if the numbers of 'image' are pixels, say how many "
        "channels, rows and columns, such as --image-shape 1,10,10"
    )


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (1, 28, 28),
            "--image-shape 1,28,28 has 784 elements, and no output has as many a sample: "
            "'image' FLOAT [batch,100]",
        ),
        (
            (2, 5, 10),
            "--image-shape 2,5,10 is no image's; allowed are channels, height and width, such as "
            "1,28,28, with 1, 3 or 4 channels, first or last",
        ),
        (
            (100,),
            "--image-shape 100 is no image's; allowed are channels, height and width, such as "
            "1,28,28, with 1, 3 or 4 channels, first or last",
        ),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(
    tmp_path: Path, shape: tuple[int, ...], message: str
) -> None:
    source = save(tmp_path / "toy.onnx", ROWS, **FULL)
    with pytest.raises(SourceError) as refused:
        export(source, tmp_path / "toy", image_shape=shape)
    assert str(refused.value) == message


def test_of_several_flat_outputs_one_is_named(tmp_path: Path) -> None:
    text = ROWS.replace("100] image)", "100] image, float[batch, 100] last)")
    source = save(tmp_path / "toy.onnx", text, **FULL)
    with pytest.raises(
        SourceError, match=r"--image-shape 1,10,10; name one with --output: 'image'"
    ):
        export(source, tmp_path / "toy", image_shape=(1, 10, 10))
    exported = export(source, tmp_path / "toy", image_shape=(1, 10, 10), output="image")
    assert tensors(exported) == ["z", "first", "second"]
