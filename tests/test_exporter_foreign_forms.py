"""Images, weights and activations in other layouts and types than (B, C, H, W) in float32."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto

from graftscope.bundle import read_bundle
from graftscope.exporter import Exported, SourceError, export
from graftscope.exporter._sessions import CpuSession
from onnx_cases import BIAS, FIXED, of_opset, one_sample, save
from onnx_toys import CHAIN, SKIP, parse
from whole_graphs import (
    Array,
    bundle_activation,
    bundle_hybrids,
    bundle_image,
    hybrids,
    in_type,
    layer_of,
    whole_image,
)

CHANNELS = (1, 4)
CLOSE = 2e-6
"""Float32 against another order of sums, of images in [-1, 1]."""

LAST = CHAIN.replace("3, 8, 8] image", "8, 8, 3] image").replace(
    "image = Tanh(colours)",
    "turned = Transpose<perm = [0, 2, 3, 1]>(colours)\n    image = Tanh(turned)",
)
TURNED_AT_THE_END = CHAIN.replace("3, 8, 8] image", "8, 8, 3] image").replace(
    "image = Tanh(colours)",
    "curve = Tanh(colours)\n    image = Transpose<perm = [0, 2, 3, 1]>(curve)",
)
BYTES = CHAIN.replace("float[batch, 3, 8, 8] image", "uint8[batch, 8, 8, 3] image").replace(
    "image = Tanh(colours)",
    """curve = Sigmoid(colours)
    wide = Mul(curve, full)
    raised = Add(wide, half)
    whole = Floor(raised)
    cut = Clip(whole, zero, full)
    turned = Transpose<perm = [0, 2, 3, 1]>(cut)
    image = Cast<to = 2>(turned)""",
)
UNTOLD_BYTES = CHAIN.replace("float[batch, 3, 8, 8] image", "uint8[batch, 3, 8, 8] image").replace(
    "image = Tanh(colours)",
    """curve = Sigmoid(colours)
    image = QuantizeLinear(curve, step, nought)""",
)
NUMBERS: dict[str, Array] = {
    "full": np.array(255, np.float32),
    "zero": np.array(0, np.float32),
    "half": np.array(0.5, np.float32),
    "step": np.array(1 / 255, np.float32),
    "nought": np.array(0, np.uint8),
}


def exported(folder: Path, text: str) -> Exported:
    return export(save(folder / "toy.onnx", text, **NUMBERS), folder / "toy")


def drawn(seed: int, batch: int = 3) -> dict[str, Array]:
    latents = np.random.default_rng(seed).standard_normal((batch, 8))
    return {"z": latents.astype(np.float32)}


@pytest.mark.parametrize("text", [LAST, TURNED_AT_THE_END])
def test_an_image_with_channels_last_gives_the_bundle_of_its_twin(
    text: str, tmp_path: Path
) -> None:
    exported(tmp_path, CHAIN)
    (tmp_path / "toy").rename(tmp_path / "twin")
    manifest = exported(tmp_path, text).manifest
    twin = read_bundle(tmp_path / "twin").manifest
    assert manifest.image == twin.image
    assert manifest.layers == twin.layers
    assert list(manifest.provenance.changes) == [
        "image 'image' [batch,8,8,3]: channels last; taken as (B, C, H, W)"
    ]
    originals = drawn(1), drawn(2)
    truth = whole_image(tmp_path / "toy.onnx", originals[0])
    assert (
        np.abs(bundle_image(tmp_path / "toy", originals[0]).transpose(0, 2, 3, 1) - truth).max()
        < CLOSE
    )
    for name in ("first", "second"):
        layer = layer_of(tmp_path / "toy", name)
        found = bundle_hybrids(tmp_path / "toy", layer, CHANNELS[:1], originals)
        by_hand = hybrids(tmp_path / "toy.onnx", layer.tensor, CHANNELS[:1], originals)
        assert np.abs(found.transpose(0, 2, 3, 1) - by_hand).max() < CLOSE
        assert np.abs(by_hand - truth).max() > 0.01


def test_an_image_that_is_turned_at_the_end_alone_is_the_one_before_it(tmp_path: Path) -> None:
    exported(tmp_path, TURNED_AT_THE_END)
    graph = onnx.load(tmp_path / "toy" / "generator.onnx", load_external_data=False).graph
    assert "Transpose" not in {node.op_type for node in graph.node}


def test_an_image_of_bytes_is_taken_before_it_is_rounded(tmp_path: Path) -> None:
    found = exported(tmp_path, BYTES)
    image = found.manifest.image
    assert (image.channels, image.height, image.width) == (3, 8, 8)
    assert (image.low, image.high) == (0, 255)
    assert list(found.manifest.provenance.changes) == [
        "image 'image' [batch,8,8,3]: channels last; taken as (B, C, H, W)",
        "image 'image' UINT8: taken before it is rounded to whole numbers",
    ]
    z = drawn(1)
    rounded = whole_image(tmp_path / "toy.onnx", z)
    exact = bundle_image(tmp_path / "toy", z)
    assert np.abs(exact - np.rint(exact)).max() > 0.1
    assert np.array_equal(np.floor(exact).clip(0, 255).transpose(0, 2, 3, 1), rounded)


def test_an_image_of_bytes_that_nothing_bounds_is_cast_and_allowed_a_step(tmp_path: Path) -> None:
    found = exported(tmp_path, UNTOLD_BYTES)
    assert (found.manifest.image.low, found.manifest.image.high) == (0, 255)
    z = drawn(1)
    truth = whole_image(tmp_path / "toy.onnx", z)
    assert np.abs(bundle_image(tmp_path / "toy", z) - truth).max() <= 1
    assert found.manifest.provenance.agreement.halves_allowed >= 1 / 255


@pytest.mark.parametrize(
    ("kind", "close"), [(TensorProto.DOUBLE, CLOSE), (TensorProto.FLOAT16, 8e-3)]
)
def test_another_floating_point_type_is_computed_in_float32(
    kind: int, close: float, tmp_path: Path
) -> None:
    path = tmp_path / "toy.onnx"
    onnx.save(in_type(ir.to_proto(parse(CHAIN)), kind), path)
    manifest = export(path, tmp_path / "toy").manifest
    (stated,) = manifest.inputs
    assert stated.datatype == "FP32"
    layer = layer_of(tmp_path / "toy", "second")
    own = onnx.helper.tensor_dtype_to_np_dtype(kind)
    originals = drawn(1), drawn(2)
    in_own = tuple({"z": each["z"].astype(own)} for each in originals)
    truth = hybrids(path, layer.tensor, CHANNELS, (in_own[0], in_own[1]))
    found = bundle_hybrids(tmp_path / "toy", layer, CHANNELS, originals)
    assert found.dtype == np.float32
    assert bundle_activation(tmp_path / "toy", layer, originals[0]).dtype == np.float32
    assert np.abs(found - truth).max() < close
    assert np.abs(truth - whole_image(path, in_own[0])).max() > 10 * close


def test_float16_is_allowed_what_its_rounding_does_and_float64_nothing(tmp_path: Path) -> None:
    for kind in (TensorProto.FLOAT16, TensorProto.DOUBLE):
        onnx.save(in_type(ir.to_proto(parse(CHAIN)), kind), tmp_path / f"{kind}.onnx")
    half = export(tmp_path / f"{TensorProto.FLOAT16}.onnx", tmp_path / "half")
    stated = half.manifest.provenance.agreement
    assert 0 < stated.source_found <= stated.source_allowed < 0.02
    assert stated.halves_allowed == 1e-5
    assert any("computed in float32: what is float16 in the source" in note for note in half.notes)
    wide = export(tmp_path / f"{TensorProto.DOUBLE}.onnx", tmp_path / "wide")
    assert not wide.manifest.provenance.HasField("agreement")


def test_float16_between_two_casts_gives_its_layers(tmp_path: Path) -> None:
    inside = CHAIN.replace(
        "flat = Gemm(z, w_fc)", "half = Cast<to = 10>(z)\n    flat = Gemm(half, w_fc)"
    ).replace("image = Tanh(colours)", "full = Cast<to = 1>(colours)\n    image = Tanh(full)")
    path = tmp_path / "toy.onnx"
    model = in_type(ir.to_proto(parse(inside)), TensorProto.FLOAT16)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.save(model, path)
    manifest = export(path, tmp_path / "toy").manifest
    assert [layer.name for layer in manifest.layers] == ["z", "first", "second"]
    graph = onnx.load(tmp_path / "toy" / "generator.onnx", load_external_data=False).graph
    assert "Cast" not in {node.op_type for node in graph.node}


def test_an_input_with_channels_last_is_taken_as_channels_first(tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    turned (float[batch, 6, 5, 3] photo) => (float[batch, 6, 5, 3] image) {
        maps = Transpose<perm = [0, 3, 1, 2]>(photo)
        first = Conv<pads = [1, 1, 1, 1]>(maps, w_in)
        bent = Relu(first)
        second = Conv<pads = [1, 1, 1, 1]>(bent, w_out)
        curve = Tanh(second)
        image = Transpose<perm = [0, 2, 3, 1]>(curve)
    }
    """
    randomness = np.random.default_rng(0)
    shapes = {"w_in": (4, 3, 3, 3), "w_out": (3, 4, 3, 3)}
    weights = {k: randomness.standard_normal(s).astype(np.float32) for k, s in shapes.items()}
    path = save(tmp_path / "toy.onnx", text, **weights)
    manifest = export(path, tmp_path / "toy").manifest
    assert list(manifest.inputs[0].shape) == [3, 6, 5]
    assert (manifest.layers[0].channels, manifest.layers[0].height) == (3, 6)
    photos = randomness.standard_normal((2, 3, 6, 5)).astype(np.float32)
    truth = whole_image(path, {"photo": photos.transpose(0, 2, 3, 1)}).transpose(0, 3, 1, 2)
    session = CpuSession(tmp_path / "toy" / "generator.onnx", optimised=False)
    assert np.abs(session.run({"photo": photos})["image"] - truth).max() < CLOSE


def test_another_type_of_image_is_refused_by_its_type(tmp_path: Path) -> None:
    text = CHAIN.replace("float[batch, 3, 8, 8] image", "int32[batch, 3, 8, 8] image").replace(
        "image = Tanh(colours)", "curve = Tanh(colours)\n    image = Cast<to = 6>(curve)"
    )
    with pytest.raises(SourceError, match=r"an image is float or uint8.*'image' INT32"):
        exported(tmp_path, text)


@pytest.mark.parametrize("text", [LAST, BYTES])
def test_a_batch_of_one_is_made_free_with_channels_last_too(text: str, tmp_path: Path) -> None:
    path = save(tmp_path / "toy.onnx", one_sample(text), **FIXED, **NUMBERS)
    export(path, tmp_path / "toy")
    z = drawn(1)
    rows = [whole_image(path, {"z": z["z"][i : i + 1]}) for i in range(3)]
    found = bundle_image(tmp_path / "toy", z).transpose(0, 2, 3, 1)
    truth = np.concatenate(rows)
    assert np.abs(found - truth).max() < (1.001 if text is BYTES else CLOSE)


@pytest.mark.parametrize("opset", [11, 13, 17])
def test_float64_of_older_operation_sets_is_evaluated_as_it_is_meant(
    opset: int, tmp_path: Path
) -> None:
    twin = export(save(tmp_path / "twin.onnx", CHAIN, **BIAS), tmp_path / "twin").manifest
    model = in_type(ir.to_proto(parse(of_opset(CHAIN, opset), **BIAS)), TensorProto.DOUBLE)
    onnx.save(model, tmp_path / "toy.onnx")
    manifest = export(tmp_path / "toy.onnx", tmp_path / "toy").manifest
    assert [each.name for each in manifest.layers] == [each.name for each in twin.layers]
    # The proof is the fact here: the file, evaluated, gives what the bundle gives.
    assert not manifest.provenance.HasField("agreement")


def test_bfloat16_is_computed_in_float32_with_a_bound_of_its_own(tmp_path: Path) -> None:
    model = in_type(ir.to_proto(parse(SKIP.replace('"": 20', '"": 22'))), TensorProto.BFLOAT16)
    onnx.save(model, tmp_path / "toy.onnx")
    manifest = export(tmp_path / "toy.onnx", tmp_path / "toy").manifest
    assert [layer.name for layer in manifest.layers] == ["z", "first", "second", "joined"]
    stated = manifest.provenance.agreement
    assert 1e-4 < stated.source_found <= stated.source_allowed < 0.2
