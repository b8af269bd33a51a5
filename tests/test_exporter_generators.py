"""Facts about generators that other people trained; they lie where `GRAFTSCOPE_GENERATORS` says."""

import os
import re
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import onnxruntime as ort
import pytest

from every_rewrite import rewritten_effects_are_the_plain_ones
from every_verb import goes_through_every_verb
from graftscope.bundle import read_bundle, read_originals
from graftscope.client import Client, ImagePairs
from graftscope.client.pictures import read_images
from graftscope.exporter import Exported, SourceError, export

FOLDER = os.environ.get("GRAFTSCOPE_GENERATORS")
DATA = os.environ.get("GRAFTSCOPE_DATA")
pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="GRAFTSCOPE_GENERATORS names no folder of generators"
)


def exported(tmp_path: Path, name: str, *inputs: str) -> Exported:
    assert FOLDER is not None
    found = export(Path(FOLDER, name), tmp_path / "bundle", inputs=inputs)
    assert read_bundle(tmp_path / "bundle").manifest == found.manifest
    return found


def layers(found: Exported) -> list[tuple[str, int, int, int]]:
    return [
        (layer.name, layer.channels, layer.height, layer.width) for layer in found.manifest.layers
    ]


def test_a_dcgan_with_readable_names_and_without_shapes(tmp_path: Path) -> None:
    found = exported(tmp_path, "celeba64_dcgan.onnx", "z=truncated:0.7")
    assert layers(found) == [
        ("z", 100, 1, 1),
        ("2.Relu", 512, 4, 4),
        ("5.Relu", 256, 8, 8),
        ("8.Relu", 128, 16, 16),
        ("11.Relu", 64, 32, 32),
    ]
    assert found.manifest.inputs[0].truncated_normal.threshold == 0.7
    assert (found.manifest.image.low, found.manifest.image.high) == (-1, 1)
    assert found.notes == ()


def test_a_decoder_with_opaque_names(tmp_path: Path) -> None:
    found = exported(tmp_path, "celeba64_vae_decoder.onnx")
    assert [extents for _, *extents in layers(found)] == [
        [32, 1, 1],
        [64, 4, 4],
        [64, 8, 8],
        [32, 16, 16],
        [32, 32, 32],
    ]
    assert (found.manifest.image.low, found.manifest.image.high) == (0, 1)


def test_a_conditional_decoder_whose_classes_are_told_by_its_table(tmp_path: Path) -> None:
    found = exported(tmp_path, "mnist_cvae.onnx")
    latent, label = found.manifest.inputs
    assert latent.HasField("normal")
    assert label.classes.count == 10
    image = found.manifest.image
    assert (image.channels, image.height, image.width) == (1, 28, 28)
    assert FOLDER is not None
    source = ort.InferenceSession(str(Path(FOLDER, "mnist_cvae.onnx")))
    bundled = ort.InferenceSession(str(tmp_path / "bundle" / "generator.onnx"))
    given = {
        latent.name: np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32),
        label.name: np.array([0, 3, 9, 3]),
    }
    np.testing.assert_allclose(bundled.run(None, given)[0], source.run(None, given)[0], atol=1e-5)


@pytest.mark.skipif(DATA is None, reason="GRAFTSCOPE_DATA names no folder of images")
def test_a_vae_with_its_encoder_reconstructs_photographs(tmp_path: Path) -> None:
    assert FOLDER is not None
    assert DATA is not None
    with ZipFile(Path(DATA, "celeba64.zip")) as source, ZipFile(tmp_path / "few.zip", "w") as few:
        for name in sorted(source.namelist())[:60]:
            few.writestr(Path(name).name, source.read(name))
    encoder = Path(FOLDER, "celeba64_vae_encoder.onnx")
    found = export(
        Path(FOLDER, "celeba64_vae_decoder.onnx"),
        tmp_path / "bundle",
        encoder=encoder,
        data=tmp_path / "few.zip",
    )
    told = next(note for note in found.notes if note.startswith("reconstructions"))
    made, mean = (float(number) for number in re.findall(r"([0-9.]+)%", told))
    assert made < 0.6 * mean
    with Client(bundles=[tmp_path / "bundle"], state=tmp_path / "state") as client:
        (model,) = client.models()
        photographs = read_images(tmp_path / "few.zip", model.image).images
        posterior = client.encode(model.name, photographs)
        given = photographs.transpose(0, 3, 1, 2).astype(np.float32) / 255
        (expected,) = ort.InferenceSession(str(encoder)).run(None, {"image": given})
        np.testing.assert_allclose(
            np.asarray(posterior.mean["latent"], np.float64), expected, atol=1e-4
        )
        kept = client.hybridize(
            model.name,
            model.layers[2].name,
            [1, 2, 3],
            originals=ImagePairs(photographs[:2], photographs[2:4]),
            keep_photo=True,
        )
        assert kept.edited is not None
        photograph = np.abs(kept.edited - given[:2]).mean()
        reconstruction = np.abs(kept.original1 - given[:2]).mean()
        assert photograph < reconstruction
    folder = tmp_path / "bundle" / found.manifest.encoder.originals
    originals = read_originals(folder)
    np.testing.assert_allclose(originals.mean, expected.mean(axis=0, dtype=np.float64), atol=1e-4)
    covariance = np.cov(expected.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(originals.covariance, covariance, atol=1e-3)


def test_an_encoder_is_no_generator(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"this is no generator of images: .* not 'mean' FLOAT"):
        exported(tmp_path, "celeba64_vae_encoder.onnx")


@pytest.mark.parametrize("name", ["celeba64_dcgan", "celeba64_vae_decoder", "mnist_cvae"])
def test_they_go_through_every_verb(tmp_path: Path, name: str) -> None:
    exported(tmp_path, f"{name}.onnx")
    rewritten_effects_are_the_plain_ones(tmp_path / "bundle")
    goes_through_every_verb(tmp_path / "bundle", tmp_path / "state")
