"""Facts about exporting generators that come as ONNX files."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from graftscope.bundle import read_bundle
from graftscope.exporter import Exported, ProofError, SourceError, export
from graftscope.graph import splice
from graftscope.v1 import bundle_pb2
from onnx_cases import (
    BIAS,
    CLASSES,
    COMPARED,
    FIXED,
    LOOKED_UP,
    ONE_HOT,
    TIMED,
    changed,
    drawing,
    of_opset,
    one_sample,
    save,
)
from onnx_toys import CHAIN, REUSED_LATENT, SKIP, parse

OPSETS = (7, 9, 11, 13, 17, 18, 20, 21, 22, 23)


def exported(
    tmp_path: Path,
    text: str,
    *inputs: str,
    output: str | None = None,
    image_range: tuple[float, float] | None = None,
    shapes: tuple[str, ...] = (),
    constants: Mapping[str, NDArray[np.generic]] = MappingProxyType({}),
) -> Exported:
    """Export a graph, and open the bundle."""
    source = save(tmp_path / "toy.onnx", text, **constants)
    found = export(
        source,
        tmp_path / "toy",
        inputs=inputs,
        output=output,
        image_range=image_range,
        shapes=shapes,
    )
    assert read_bundle(tmp_path / "toy").manifest == found.manifest
    return found


def tensors(exported: Exported) -> list[str]:
    return [layer.tensor for layer in exported.manifest.layers]


def image_range(exported: Exported) -> tuple[float, float]:
    return exported.manifest.image.low, exported.manifest.image.high


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CHAIN, (-1.0, 1.0)),
        (CHAIN.replace("Tanh", "Sigmoid"), (0.0, 1.0)),
        (CHAIN.replace("Tanh(colours)", "Clip(colours, zero, full)"), (0.0, 255.0)),
        (
            CHAIN.replace(
                "image = Tanh(colours)",
                "curve = Tanh(colours)\n    raised = Add(one, curve)\n"
                "    doubled = Mul(raised, half)\n    image = Identity(doubled)",
            ),
            (0.0, 1.0),
        ),
        (
            CHAIN.replace(
                "image = Tanh(colours)", "curve = Sigmoid(colours)\n    image = Sub(one, curve)"
            ),
            (0.0, 1.0),
        ),
    ],
)
def test_the_images_range_is_that_of_the_graphs_end(
    tmp_path: Path, text: str, expected: tuple[float, float]
) -> None:
    numbers = {"zero": 0, "full": 255, "one": 1, "half": 0.5}
    constants = {name: np.array(each, np.float32) for name, each in numbers.items()}
    found = exported(tmp_path, text, constants=constants)
    assert image_range(found) == expected
    assert len(found.notes) == 1  # on the latent; nothing was guessed of the range


UNBOUNDED = CHAIN.replace("image = Tanh(colours)", "image = Mul(colours, small)")


@pytest.mark.parametrize(
    ("scale", "shift", "expected"),
    [(0.15, 0.0, (-1.0, 1.0)), (0.03, 0.5, (0.0, 1.0)), (8.0, 120.0, (0.0, 255.0))],
)
def test_a_range_that_the_graph_does_not_tell_is_guessed_and_said(
    tmp_path: Path, scale: float, shift: float, expected: tuple[float, float]
) -> None:
    text = UNBOUNDED.replace("image = Mul(", "smaller = Mul(").replace(
        "small)", "small)\n    image = Add(smaller, shifted)"
    )
    constants = {"small": scale, "shifted": shift}
    found = exported(
        tmp_path, text, constants={name: np.array(x, np.float32) for name, x in constants.items()}
    )
    assert image_range(found) == expected
    low, high = expected
    assert found.notes[1].startswith(
        f"image range [{low:g}, {high:g}]: guessed from 64 samples, which reach from "
    )
    assert found.notes[1].endswith("; change it with --range LOW,HIGH")


def test_by_how_much_an_unbounded_generator_leaves_its_range_is_said(tmp_path: Path) -> None:
    found = exported(
        tmp_path, UNBOUNDED, image_range=(-0.5, 0.5), constants={"small": np.array(0.2, np.float32)}
    )
    assert image_range(found) == (-0.5, 0.5)
    assert found.notes[1].startswith("images leave their range [-0.5, 0.5] by up to ")


def test_a_bounded_generator_that_leaves_the_range_it_is_given_is_said_too(tmp_path: Path) -> None:
    found = exported(tmp_path, CHAIN, image_range=(0.0, 1.0))
    assert found.notes[1] == "images leave their range [0, 1] by up to 1 in 64 samples"


def test_the_manifest_says_where_it_comes_from(tmp_path: Path) -> None:
    source = save(tmp_path / "toy.onnx", SKIP)
    manifest = export(source, tmp_path / "toy", name="skip", licence="MIT").manifest
    assert manifest.name == "skip"
    assert manifest.provenance.recipe == "imported from toy.onnx"
    assert manifest.provenance.licence == "MIT"
    assert [layer.tensor for layer in manifest.layers] == ["z", "first", "second", "joined"]
    assert list(manifest.layers[2].carried) == ["first"]


def test_a_latent_is_a_layer_whose_lower_half_is_the_generator(tmp_path: Path) -> None:
    manifest = exported(tmp_path, REUSED_LATENT).manifest
    latent = manifest.layers[0]
    assert (latent.name, latent.tensor, latent.channels) == ("z", "z", 8)
    assert (latent.upstream, latent.downstream) == ("", manifest.generator)
    assert list(latent.carried) == ["noise"]
    assert "noise" not in [layer.tensor for layer in manifest.layers]


@pytest.mark.parametrize("opset", OPSETS)
def test_generators_of_every_opset_become_bundles_that_can_be_spliced(
    tmp_path: Path, opset: int
) -> None:
    manifest = exported(tmp_path, of_opset(CHAIN, opset), constants=BIAS).manifest
    assert [layer.tensor for layer in manifest.layers] == ["z", "first", "second"]
    for file in (tmp_path / "toy").glob("*.onnx"):
        assert ir.load(file).opset_imports == {"": max(opset, 18)}
    for layer in manifest.layers:
        splice(ir.load(tmp_path / "toy" / layer.downstream), activation=layer.tensor)


@pytest.mark.parametrize("text", [LOOKED_UP, ONE_HOT, COMPARED])
def test_the_number_of_classes_is_what_the_graph_tells(tmp_path: Path, text: str) -> None:
    found = exported(tmp_path, text, constants=CLASSES)
    _, label = found.manifest.inputs
    assert (label.name, label.datatype, label.classes.count) == ("label", "INT64", 10)
    assert found.notes == (
        "input 'z' FP32 (B, 8): normal, guessed; change it with --input z=...",
        "input 'label' INT64 (B,): classes:10, guessed from the table that it looks up; change it "
        "with --input label=...",
    )


def test_what_is_given_is_not_guessed(tmp_path: Path) -> None:
    np.savez(tmp_path / "real.npz", z=np.ones((20, 8)), label=np.arange(20) % 10)
    path = tmp_path / "real.npz"
    found = exported(tmp_path, LOOKED_UP, f"z=file:{path}", f"label=file:{path}", constants=CLASSES)
    z, label = found.manifest.inputs
    assert z.stored == label.stored == bundle_pb2.Stored(file="inputs1.safetensors", count=20)
    assert "inputs1.safetensors" in [file.name for file in found.manifest.files]
    assert found.notes == ()


def test_noise_is_told_from_latents_by_its_shape_and_name(tmp_path: Path) -> None:
    found = exported(tmp_path, REUSED_LATENT)
    assert [each.noise for each in found.manifest.inputs] == [False, True]


@pytest.mark.parametrize("batch", ["1", "?", "n", "the batch"])
def test_any_batch_is_made_free(tmp_path: Path, batch: str) -> None:
    if batch == "the batch":  # not a name that ONNX's text form can hold
        source = save(tmp_path / "toy.onnx", CHAIN)
        found = export(changed(source, _rename_batch), tmp_path / "toy")
    else:
        text = CHAIN.replace("batch", batch)
        found = exported(tmp_path, text, constants=FIXED if batch == "1" else {})
    assert tensors(found) == ["z", "first", "second"]
    generator = onnx.load(tmp_path / "toy" / "generator.onnx", load_external_data=False)
    for value in (*generator.graph.input, *generator.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param.isidentifier()


def _rename_batch(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "the batch"


def test_shapes_that_are_missing_are_taken_from_the_user(tmp_path: Path) -> None:
    text = CHAIN.replace("float[batch, 8] z", "float[batch, size] z")
    assert list(exported(tmp_path, text, shapes=("z=8",)).manifest.inputs[0].shape) == [8]


def test_the_only_image_of_several_outputs_is_taken_and_said(tmp_path: Path) -> None:
    text = CHAIN.replace("8, 8] image)", "8, 8] image, float[batch, 64] flat)")
    found = exported(tmp_path, text)
    note = "output 'image': the only image of 2 outputs; name another with --output NAME"
    assert found.notes[0] == note


def test_one_of_several_images_is_named(tmp_path: Path) -> None:
    text = CHAIN.replace("8, 8] image)", "8, 8] image, float[batch, 3, 8, 8] colours)")
    found = exported(tmp_path, text, output="image")
    assert image_range(found) == (-1, 1)


def test_an_input_that_does_not_reach_the_image_is_left_out(tmp_path: Path) -> None:
    text = CHAIN.replace("8] z)", "8] z, float[batch, 2] other)").replace(
        "flat = Gemm", "aside = Relu(other)\n    flat = Gemm"
    )
    found = exported(tmp_path, text)
    assert [each.name for each in found.manifest.inputs] == ["z"]
    assert found.notes[0] == "input 'other' is left out: it does not reach the image"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_have_one_three_or_four_channels(tmp_path: Path, channels: int) -> None:
    weights = np.random.default_rng(0).standard_normal((channels, 6, 3, 3)).astype(np.float32)
    found = exported(
        tmp_path, CHAIN.replace("3, 8, 8", f"{channels}, 8, 8"), constants={"w_out": weights}
    )
    assert found.manifest.image.channels == channels


DRAWN = {
    "normal": "RandomNormalLike<mean = 0.5, scale = 2.0>(last)",
    "uniform": "RandomUniform<shape = [4, 4], low = -0.5, high = 1.5>()",
}


@pytest.mark.parametrize("kind", DRAWN)
def test_random_nodes_become_inputs(tmp_path: Path, kind: str) -> None:
    found = exported(tmp_path, drawing(DRAWN[kind]))
    _, noise = found.manifest.inputs
    assert (noise.name, noise.noise, noise.WhichOneof("distribution")) == ("noise", True, kind)
    if kind == "uniform":
        assert (noise.uniform.low, noise.uniform.high, list(noise.shape)) == (-0.5, 1.5, [1, 4, 4])
    assert found.notes[-1] == (
        f"input 'noise' FP32 (B, {'4' if kind == 'normal' else '1'}, 4, 4): was drawn inside the "
        f"graph; {'normal' if kind == 'normal' else 'uniform:-0.5,1.5'}"
    )


@pytest.mark.parametrize("kind", DRAWN)
def test_noise_that_is_not_the_files_is_noticed(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graftscope.exporter.sources._onnx_file.held_value", lambda noise: 0.25)
    message = r"of a batch of 1, against its source's with all noise held at one value is off by"
    with pytest.raises(ProofError, match=message):
        exported(tmp_path, drawing(DRAWN[kind]))


def test_random_nodes_of_one_sample_become_free_inputs(tmp_path: Path) -> None:
    text = one_sample(drawing("RandomNormal<shape = [1, 1, 4, 4]>()"))
    assert exported(tmp_path, text, constants=FIXED).manifest.inputs[1].noise


def test_a_layer_that_cannot_be_cut_is_left_out_and_said(tmp_path: Path) -> None:
    # Below `second`, both sums are of tensors whose first axis is the channels.
    text = SKIP.replace(
        "joined = Add(last, first)",
        "turned = Transpose<perm = [1, 0, 2, 3]>(middle)\n"
        "    beside = Transpose<perm = [1, 0, 2, 3]>(last)\n"
        "    both = Add(beside, turned)\n"
        "    joined = Transpose<perm = [1, 0, 2, 3]>(both)",
    )
    found = exported(tmp_path, text)
    assert tensors(found) == ["z", "first", "joined"]
    assert found.notes[1].startswith("layer 'second' is left out: the graph cannot be cut at")
    assert "'turned' [4," in found.notes[1]


def test_time_is_given_where_it_cannot_be_guessed(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.full((1, 1, 1), 0.5))
    found = exported(tmp_path, TIMED, f"t=constant:{tmp_path / 't.npy'}")
    assert found.manifest.inputs[1].fixed.file == "inputs1.safetensors"


@pytest.mark.parametrize("batch", ["batch", "1"])
def test_one_number_for_all_samples_is_built_in(tmp_path: Path, batch: str) -> None:
    text = CHAIN.replace("8] z)", "8] z, float psi)").replace(
        "flat = Gemm(z,", "shrunk = Mul(z, psi)\n    flat = Gemm(shrunk,"
    )
    np.save(tmp_path / "psi.npy", np.array(0.7))
    found = exported(
        tmp_path,
        text.replace("batch", batch),
        f"psi=constant:{tmp_path / 'psi.npy'}",
        constants=FIXED if batch == "1" else {},
    )
    assert [each.name for each in found.manifest.inputs] == ["z"]


def test_external_data_is_read_from_the_files_folder(tmp_path: Path) -> None:
    source = save(tmp_path / "toy.onnx", CHAIN)
    model = onnx.load(source)
    onnx.save(model, source, save_as_external_data=True, location="toy.weights", size_threshold=100)
    assert tensors(export(source, tmp_path / "toy")) == ["z", "first", "second"]
    assert "toy.weights" not in [path.name for path in (tmp_path / "toy").iterdir()]


@pytest.mark.parametrize("opset", [17, 20])
def test_external_data_is_read_beside_the_file_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opset: int
) -> None:
    place, elsewhere = tmp_path / "source", tmp_path / "elsewhere"
    place.mkdir()
    elsewhere.mkdir()
    source = save(place / "toy.onnx", of_opset(REUSED_LATENT, opset), **BIAS)
    truth = export(source, tmp_path / "whole" / "toy").manifest
    onnx.save(
        onnx.load(source),
        source,
        save_as_external_data=True,
        location="toy.data",
        size_threshold=100,
    )
    size = (place / "toy.data").stat().st_size
    (elsewhere / "toy.data").write_bytes(bytes(size))  # of the same name, and not the file's
    monkeypatch.chdir(elsewhere)
    found = export(source, tmp_path / "apart" / "toy").manifest
    weights = [
        {each.name: each.sha256 for each in manifest.files}["weights.bin"]
        for manifest in (truth, found)
    ]
    assert weights[0] == weights[1]
    (place / "toy.data").unlink()
    with pytest.raises(SourceError, match=r"weights of '\w+' are missing: toy\.data$"):
        export(source, tmp_path / "missing" / "toy")


def test_a_name_with_an_equals_sign_is_no_obstacle(tmp_path: Path) -> None:
    model = parse(CHAIN)
    model.graph.inputs[0].name = "z=1"
    onnx.save(ir.to_proto(model), tmp_path / "toy.onnx")
    (note,) = (x for x in export(tmp_path / "toy.onnx", tmp_path / "toy").notes if "z=1" in x)
    assert note.endswith(": normal, guessed; change it with --input z=1=...")
    said = export(
        tmp_path / "toy.onnx", tmp_path / "said", inputs=["z=1=uniform:-1,1"], shapes=["z=1=8"]
    )
    (stated,) = said.manifest.inputs
    assert (stated.name, stated.uniform.low, stated.uniform.high) == ("z=1", -1.0, 1.0)


def test_small_tensors_in_external_data_are_read_too(tmp_path: Path) -> None:
    source = save(tmp_path / "toy.onnx", REUSED_LATENT)
    model = onnx.load(source)  # its w_style has 128 bytes
    onnx.save(model, source, save_as_external_data=True, location="toy.bin", size_threshold=100)
    found = export(source, tmp_path / "toy")
    assert read_bundle(tmp_path / "toy").manifest == found.manifest
    assert "toy.bin" not in [file.name for file in found.manifest.files]


def test_an_operation_that_only_onnx_runtime_knows_is_no_obstacle(tmp_path: Path) -> None:
    text = CHAIN.replace('opset_import: ["": 20]', 'opset_import: ["": 20, "com.microsoft": 1]')
    text = text.replace("second = Relu(scaled)", "second = com.microsoft.QuickGelu(scaled)")
    found = exported(tmp_path, text)
    assert tensors(found) == ["z", "first"]
    assert found.notes[0].startswith(
        "no tensor is a layer that is made or read by operations of domain com.microsoft (QuickGelu"
    )


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    exported(tmp_path, of_opset(REUSED_LATENT, 17), constants=BIAS)
    assert capfd.readouterr() == ("", "")
