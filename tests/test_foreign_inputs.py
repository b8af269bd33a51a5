"""Inputs of foreign generators, from the export to hybrids: each against a slow computation."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from _cli_shell import Shell, arrays
from foreign_toys import CONSTANTS, PHOTOGRAPHS, SIGMAS, TEXT, export_foreign, put_photographs
from graftscope.bundle import read_bundle
from graftscope.client.cli import run
from graftscope.exporter import Exported, SourceError, export
from graftscope.exporter._samples import draw_latents, read_stored
from graftscope.server.engine import Device, Generator, PriorPairs, SessionPool
from onnx_cases import save
from server_toys import served
from test_analysis_philox import philox_4x64_10

SEED = 5
PAIRS = range(3, 9)
LATENTS = "graftscope/latents/1"
STORED = "graftscope/stored/1"
IMAGE_TO_IMAGE = """
<ir_version: 10, opset_import: ["": 17]>
paint (float[1, 3, 8, 8] photo) => (float[1, 3, 8, 8] image) {
    first = Conv<pads = [1, 1, 1, 1]>(photo, w_first)
    bright = Relu(first)
    colours = Conv<pads = [1, 1, 1, 1]>(bright, w_last)
    image = Sigmoid(colours)
}
"""
WEIGHTS = {
    "w_first": np.random.default_rng(0).standard_normal((6, 3, 3, 3)).astype(np.float32),
    "w_last": np.random.default_rng(1).standard_normal((3, 6, 3, 3)).astype(np.float32),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


@pytest.fixture(scope="module")
def exported(folder: Path) -> Exported:
    return export_foreign(folder)


@pytest.fixture(scope="module")
def originals(exported: Exported, folder: Path) -> tuple[Any, Any]:
    generator = Generator(read_bundle(folder / "foreign"), SessionPool(Device.CPU, 4))
    return PriorPairs(generator, SEED).latents(PAIRS)


@pytest.fixture(scope="module")
def address(
    exported: Exported, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with served([folder / "foreign"], tmp_path_factory.mktemp("state")) as stubs:
        yield stubs.address


def float32(*numbers: float) -> list[float]:
    """Numbers written as float32's shortest decimals, so that equality is to the bit."""
    return [float(np.float32(each)) for each in numbers]


def words(domain: str, which: int, name: str, pair: int, count: int) -> list[int]:
    """A pair's first words, by the published cipher in plain integers."""
    digest = hashlib.sha256(f"{domain}\0{SEED}\0{which}\0{name}".encode()).digest()
    key = [int.from_bytes(digest[i : i + 8], "little") for i in (0, 8)]
    blocks = (philox_4x64_10([i, pair, 0, 0], key) for i in range(1, 2 + count // 4))
    return [word for block in blocks for word in block][:count]


def one_of(domain: str, which: int, name: str, pair: int, count: int) -> int:
    return (words(domain, which, name, pair, 1)[0] * count) >> 64


@pytest.mark.parametrize("which", [1, 2])
def test_every_row_is_what_its_words_say(
    originals: tuple[Any, Any], folder: Path, which: int
) -> None:
    latents = originals[which - 1]
    file = next(x for x in read_bundle(folder / "foreign").manifest.inputs if x.name == "photo")
    pixels = put_photographs(folder / f"again{which}").transpose(0, 3, 1, 2)
    for row, pair in enumerate(PAIRS):
        uniforms = [((w >> 11) | 1) / 2**53 for w in words(LATENTS, which, "noisy", pair, 64)]
        normals = [NormalDist(0, 80).inv_cdf(each) for each in uniforms]
        np.testing.assert_allclose(latents["noisy"][row].ravel(), normals, rtol=1e-6)
        sigma = SIGMAS[one_of(LATENTS, which, "sigma", pair, len(SIGMAS))]
        assert latents["sigma"][row] == np.float32(sigma)
        label = one_of(LATENTS, which, "label", pair, 5)
        assert latents["label"][row].tolist() == [float(i == label) for i in range(5)]
        (word,) = words(LATENTS, which, "level", pair, 1)
        np.testing.assert_allclose(latents["level"][row], 0.5 + ((word >> 11) | 1) / 2**53)
        assert latents["t"][row].tolist() == [0.25]
        shown = pixels[one_of(STORED, which, file.pictures.file, pair, PHOTOGRAPHS)]
        np.testing.assert_allclose(latents["photo"][row], shown / 127.5 - 1, atol=2e-7)
    assert {array.dtype.name for array in latents.values()} == {"float32"}


def test_rows_have_their_golden_values(originals: tuple[Any, Any]) -> None:
    first, _ = originals
    assert first["noisy"][:2, 0, 0, 0].tolist() == float32(-47.702904, -2.2826984)
    assert first["sigma"].tolist() == [20.0, 0.5, 80.0, 20.0, 80.0, 20.0]
    assert first["label"].argmax(axis=1).tolist() == [3, 3, 4, 3, 0, 4]


def test_stratified_choices_labels_and_photographs_take_turns(folder: Path) -> None:
    generator = Generator(read_bundle(folder / "foreign"), SessionPool(Device.CPU, 4))
    for latents in PriorPairs(generator, 1, stratified=True).latents(range(32, 64)):
        for counts in (
            np.unique(latents["sigma"], return_counts=True)[1],
            latents["label"].sum(axis=0),
            np.unique(latents["photo"], axis=0, return_counts=True)[1],
        ):
            # Parts that two values share may go to either, one at each end.
            assert np.abs(counts - 32 / len(counts)).max() < 2
        for element in latents["noisy"].reshape(32, -1).T:
            parts = [int(NormalDist(0, 80).cdf(float(each)) * 32) for each in element]
            assert sorted(parts) == [*range(32)]


def test_the_export_proves_with_samples_of_each_distribution(
    exported: Exported, folder: Path
) -> None:
    inputs = exported.manifest.inputs
    drawn = draw_latents(inputs, read_stored(folder / "foreign", inputs), 400)
    assert abs(drawn["noisy"].std() - 80) < 2
    assert {*drawn["sigma"].tolist()} == {*SIGMAS}
    assert drawn["label"].sum(axis=1).tolist() == [1.0] * 400
    assert {*drawn["label"].argmax(axis=1).tolist()} == {*range(5)}
    assert (drawn["photo"].min(), drawn["photo"].max()) == (-1.0, 1.0)
    assert drawn["photo"].shape == (400, 3, 8, 8)


def test_noise_and_photographs_are_layers_and_labels_are_none(exported: Exported) -> None:
    latents = [layer.name for layer in exported.manifest.layers if not layer.upstream]
    assert latents == ["noisy", "photo"]
    carried = {name for layer in exported.manifest.layers for name in layer.carried}
    assert {"sigma", "label"} <= carried


def test_samples_are_what_the_file_computes_from_their_latents(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "samples.npz"
    assert shell("generate", "--count", 6, "--out", out)[0] == 0
    found = arrays(out)
    images = found.pop("images")
    session = ort.InferenceSession(folder / "foreign.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(images, session.run(None, found)[0], atol=2e-6)
    assert shell("generate", "--latents", out, "--out", tmp_path / "again.npz")[0] == 0
    np.testing.assert_array_equal(arrays(tmp_path / "again.npz")["images"], images)


def test_the_drawing_says_each_distribution(
    exported: Exported, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", str(folder / "foreign")]) == 0
    out = capsys.readouterr().out
    for told in (
        "normal 0 ± 80",
        "one of 0.5, 20, 80",
        "one-hot 5",
        "uniform [0.5, 1.5)",
        "constant",
        "7 images, -1 to 1",
    ):
        assert told in out


def test_a_class_by_its_number_is_that_of_every_one_hot_label(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "samples.npz"
    assert shell("generate", "--count", 3, "--fix", "label=3", "--out", out)[0] == 0
    assert arrays(out)["label"].tolist() == [[0, 0, 0, 1, 0]] * 3
    for wrong in ("5", "-1", "2.5"):
        told = shell.refused("generate", "--fix", f"label={wrong}", "--out", out)[1]
        assert "takes a class from 0 to 4" in told


def test_labels_as_numbers_in_given_latents_are_told_how_they_are_written(
    shell: Shell, tmp_path: Path
) -> None:
    out = tmp_path / "samples.npz"
    assert shell("generate", "--count", 3, "--out", out)[0] == 0
    latents = arrays(out)
    np.savez(out, **{**latents, "label": np.array([1, 2, 3])})
    told = shell.refused("generate", "--latents", out, "--out", tmp_path / "a.png")[1]
    assert "latents[label] is int64 of shape (3,); float32 of shape (B, 5) is needed" in told
    assert "one-hot of 5 classes, 1 at the label" in told


def test_hybrids_take_only_the_layer_from_original_2(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "hybrids.npz"
    given = ("hybridize", "--layer", "noisy", "--channels", "0", "--pairs", 4)
    assert shell(*given, "--share", "sigma,label,level,photo", "--out", out)[0] == 0
    found = arrays(out)
    np.testing.assert_allclose(found["hybrid"], found["original2"], atol=2e-6)
    assert np.abs(found["original1"] - found["original2"]).max() > 0.01


def test_one_photograph_is_another_whatever_its_size_and_a_batch_of_1_is_freed(
    tmp_path: Path,
) -> None:
    put_photographs(tmp_path / "photographs", (16, 24))
    (tmp_path / "photographs" / "broken.png").write_bytes(b"no image")
    source = save(tmp_path / "paint.onnx", IMAGE_TO_IMAGE, **WEIGHTS)
    inputs = [f"photo=images:{tmp_path / 'photographs'},0,255"]
    found = export(source, tmp_path / "paint", inputs=inputs)
    (photo,) = found.manifest.inputs
    assert (photo.pictures.count, photo.pictures.low, photo.pictures.high) == (7, 0.0, 255.0)
    assert found.notes == (
        "input 'photo': skipped 1 of 8 images: broken.png: not an image of a known format",
    )
    generator = Generator(read_bundle(tmp_path / "paint"), SessionPool(Device.CPU, 4))
    latents, _ = PriorPairs(generator, 0).latents(range(5))
    session = ort.InferenceSession(source, providers=["CPUExecutionProvider"])
    expected = [session.run(None, {"photo": each[None]})[0][0] for each in latents["photo"]]
    np.testing.assert_allclose(generator.generate(latents), expected, atol=2e-6)


def test_given_photographs_are_the_originals_of_a_network_from_image_to_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_photographs(tmp_path / "photographs")
    source = save(tmp_path / "paint.onnx", IMAGE_TO_IMAGE, **WEIGHTS)
    inputs = [f"photo=images:{tmp_path / 'photographs'},-1,1"]
    export(source, tmp_path / "paint", inputs=inputs)
    own = np.random.default_rng(9).integers(256, size=(2, 8, 8, 3), dtype=np.uint8)
    paths = [tmp_path / f"own{number}.png" for number in (1, 2)]
    for path, pixels in zip(paths, own, strict=True):
        Image.fromarray(pixels).save(path)
    session = ort.InferenceSession(source, providers=["CPUExecutionProvider"])
    planes = (own.transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)
    first, second = (session.run(None, {"photo": x[None]})[0] for x in planes)

    at = ["--bundle", str(tmp_path / "paint"), "--state", str(tmp_path / "state")]
    out = tmp_path / "hybrids.npz"
    layer = ["hybridize", *at, "--layer", "photo", "--channels", "0,1,2", "--out", str(out)]
    assert run([*layer, "--image1", str(paths[0]), "--image2", str(paths[1])]) == 0
    found = arrays(out)
    np.testing.assert_allclose(found["original1"], first, atol=2e-6)
    np.testing.assert_allclose(found["original2"], second, atol=2e-6)
    np.testing.assert_allclose(found["hybrid"], second, atol=2e-6)

    out = tmp_path / "samples.npz"
    drawn = ["generate", *at, "--originals", str(paths[0]), "--count", "2", "--out", str(out)]
    assert run(drawn) == 0
    np.testing.assert_allclose(arrays(out)["images"], np.repeat(first, 2, axis=0), atol=2e-6)


def test_an_input_without_an_axis_of_samples_is_built_in(tmp_path: Path) -> None:
    put_photographs(tmp_path / "photographs")
    text = IMAGE_TO_IMAGE.replace("photo)", "photo, float[6] gains)", 1).replace(
        "bright = Relu(first)",
        "most = Reshape(gains, six)\n scaled = Mul(first, most)\nbright = Relu(scaled)",
    )
    source = save(tmp_path / "paint.onnx", text, **WEIGHTS, six=np.array([1, 6, 1, 1]))
    photographs = f"photo=images:{tmp_path / 'photographs'},-1,1"
    with pytest.raises(SourceError, match=r"\[6\], whose first axis is no batch.*=constant:FILE"):
        export(source, tmp_path / "paint", inputs=[photographs])
    gains = np.array([0.5, 1, 0, 2, 1, 1], np.float32)
    told = ",".join(map(str, gains))
    found = export(source, tmp_path / "paint", inputs=[photographs, f"gains=constant:{told}"])
    assert [each.name for each in found.manifest.inputs] == ["photo"]
    generator = Generator(read_bundle(tmp_path / "paint"), SessionPool(Device.CPU, 4))
    latents, _ = PriorPairs(generator, 0).latents(range(2))
    session = ort.InferenceSession(source, providers=["CPUExecutionProvider"])
    one = [session.run(None, {"photo": x[None], "gains": gains})[0][0] for x in latents["photo"]]
    np.testing.assert_allclose(generator.generate(latents), one, atol=2e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label=onehot:4", "(B, 5) cannot be one-hot of 4: no axis is 4 long"),
        ("sigma=classes:3", "is for UINT8 and INT32 and INT64; labels in floats are choice:0..2"),
        ("t=constant:1,2", "constant takes one number; 2 are given"),
        (
            "label=images:photos,0,1",
            "cannot be images: those are (B, C, H, W) or (B, H, W, C)",
        ),
    ],
)
def test_what_does_not_fit_an_input_is_refused(tmp_path: Path, text: str, message: str) -> None:
    source = save(tmp_path / "foreign.onnx", TEXT, **CONSTANTS)
    fitting = {
        "noisy": "normal",
        "sigma": "constant:80",
        "label": "onehot:5",
        "level": "constant:1",
        "t": "constant:1",
        "photo": "normal",
    }
    name, _, distribution = text.partition("=")
    inputs = [f"{key}={each}" for key, each in {**fitting, name: distribution}.items()]
    with pytest.raises(SourceError) as refused:
        export(source, tmp_path / "out", inputs=inputs)
    assert message in str(refused.value)
