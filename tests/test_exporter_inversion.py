"""Facts about encoders for bundles without one, and about what each verb then does with images."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from _cli_shell import arrays
from encoder_toys import save_encoder
from graftscope.bundle import read_bundle, read_originals
from graftscope.client import Client, Images
from graftscope.client.cli import run
from graftscope.exporter import SourceError, export, invert_photographs, train_inverter
from graftscope.exporter.inversion import bundle_generator
from graftscope.training import train
from inversion_toys import IMAGE, drawn, images_of, latents_of
from onnx_toys import CHAIN, parse

SETTINGS = ["channels=32", "kernel_size=3", "batch_size=32", "precision=float32"]
SHORT = [*SETTINGS, "checkpoint_every=50"]
STEPS = 300
RECOVERED = 0.2
"""Root mean square of latents, in standard deviations, that a short training leaves."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle `toy`, an inverter of it, photographs, and the bundle `whole` with all of it."""
    made = tmp_path_factory.mktemp("inversion")
    (made / "photographs").mkdir()
    for at, pixels in enumerate(photographs()):
        Image.fromarray(pixels).save(made / "photographs" / f"{at + 1:03d}.png")
    factory = "inversion_toys:generator"
    export(factory, made / "toy", inputs=["z=normal"], image_range=(-1.0, 1.0))
    assert verb(
        *("train", "inverter", "--bundle", made / "toy", "--torch", factory),
        *("--data", made / "photographs", "--out", made / "inverter", "--steps", STEPS),
        *(word for each in SHORT for word in ("--set", each)),
    )
    assert verb(
        *("export", made / "toy", "--encoder", made / "inverter"),
        *("--data", made / "photographs", "--out", made / "whole"),
    )
    return made


@pytest.fixture(scope="module")
def client(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(bundles=[folder / "whole"], state=tmp_path_factory.mktemp("state")) as opened:
        yield opened


def verb(*words: object) -> bool:
    return run(list(map(str, words))) == 0


def photographs() -> NDArray[np.uint8]:
    """Twenty that the generator can make (20, 4, 4, 3)."""
    pixels = np.rint((images_of(drawn(5, 20)) + 1) / 2 * 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def rms(differences: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.square(differences).mean()))


def test_encoding_what_was_generated_gives_its_latents_back(client: Client) -> None:
    samples = client.generate("whole", count=16, seed=3)
    pixels = np.rint((samples.images + 1) / 2 * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    found = np.asarray(client.encode("whole", pixels).mean["z"], np.float64)
    latents = np.asarray(samples.latents["z"], np.float64)
    assert rms(found - latents) < RECOVERED
    assert rms(latents_of(samples.images) - latents) < 0.01


def test_photographs_become_originals_of_hybrids(client: Client) -> None:
    made = client.hybridize("whole", "z", [0, 1, 2], originals=Images(photographs()[:2]), pairs=8)
    wanted = photographs()[:2].transpose(0, 3, 1, 2) / 255 * 2 - 1
    given = np.concatenate([made.original1, made.original2])
    nearest = [min(rms(each - other) for other in wanted) for each in given]
    assert max(nearest) < 0.15
    assert rms(made.hybrid - made.original1) > 0


def test_the_verbs_of_photographs_work(folder: Path, tmp_path: Path) -> None:
    first, second = (folder / "photographs" / f"{at:03d}.png" for at in (1, 2))
    bundle = ("--bundle", folder / "whole")
    assert verb("encode", first, *bundle, "--out", tmp_path / "latents.npz")
    assert arrays(tmp_path / "latents.npz")["z"].shape == (1, 12)
    assert verb(
        *("hybridize", "--image1", first, "--image2", second, *bundle, "--layer", "z"),
        *("--channels", "0,3", "--out", tmp_path / "hybrids.npz"),
    )
    assert arrays(tmp_path / "hybrids.npz")["hybrid"].shape == (1, *IMAGE)


def test_the_generator_stays_byte_for_byte_and_the_digest_does_not(folder: Path) -> None:
    before, after = (read_bundle(folder / name) for name in ("toy", "whole"))
    files = [{file.name: file.sha256 for file in each.manifest.files} for each in (before, after)]
    changed = {name for name in files[1] if files[0].get(name) != files[1][name]}
    assert changed == {"weights.bin", "encoder.onnx", "originals.safetensors"}
    weights = [each.file("weights.bin").read_bytes() for each in (before, after)]
    assert weights[1].startswith(weights[0])
    assert before.manifest.digest != after.manifest.digest
    assert after.manifest.encoder.input == "z"
    assert after.manifest.layers == before.manifest.layers


def test_originals_are_fitted_to_photographs(folder: Path) -> None:
    opened = read_bundle(folder / "whole")
    originals = read_originals(opened.file(opened.manifest.encoder.originals))
    assert rms(originals.mean - drawn(5, 20).mean(axis=0)) < RECOVERED
    assert "20 photographs" in opened.manifest.provenance.settings["originals"]


def test_another_encoder_takes_the_place_of_one_only_if_that_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("export", folder / "whole", "--encoder", folder / "inverter", "--out")
    assert not verb(*words, tmp_path / "again")
    assert "has an encoder already; --replace-encoder takes another" in capsys.readouterr().err
    assert verb(*words, tmp_path / "again", "--replace-encoder")
    before, after = (read_bundle(each) for each in (folder / "whole", tmp_path / "again"))
    # What the first encoder had in the weights file is gone.
    sizes = [each.file("weights.bin").stat().st_size for each in (before, after)]
    assert sizes[0] == sizes[1]
    assert not after.manifest.encoder.originals
    assert not after.file("originals.safetensors").exists()
    with pytest.raises(SourceError, match="has an encoder already"):
        train_inverter(folder / "whole", tmp_path / "inverter", steps=1)


def test_a_name_that_ships_is_a_source_too(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a bundle: all that can be done to it is to add an"):
        export("gan-cifar10", tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "all that can be done to it is to add an encoder"),
        ({"inputs": ["z=normal"]}, "--input cannot be given for a bundle, which tells it"),
        ({"layers": ["2"]}, "all that can be done to it is to add an encoder"),
    ],
)
def test_nothing_else_of_a_bundle_can_be_changed(
    folder: Path, tmp_path: Path, options: dict[str, list[str]], said: str
) -> None:
    given = {"encoder": folder / "inverter"} if options else {}
    with pytest.raises(SourceError, match=said):
        export(folder / "toy", tmp_path / "out", **given, **options)  # type: ignore[arg-type]


def test_an_inverter_is_no_generator(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is an encoder, no generator: give it with --encoder"):
        export(folder / "inverter", tmp_path / "out")


def test_an_inverter_of_other_images_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is for images \(3, 4, 4\) of 'toy'; this generator"):
        export("gan-cifar10", tmp_path / "out", encoder=folder / "inverter")


def test_an_encoder_of_another_generator_is_noticed(folder: Path, tmp_path: Path) -> None:
    export("inversion_toys:another", tmp_path / "other", image_range=(-1.0, 1.0))
    found = export(tmp_path / "other", tmp_path / "out", encoder=folder / "inverter")
    assert any("no better than one picture for all; is it the encoder" in x for x in found.notes)


def test_latents_are_optimised_from_the_encoders_answer(folder: Path, tmp_path: Path) -> None:
    factory, out = "inversion_toys:generator", tmp_path / "latents.npz"
    words = ("invert", folder / "photographs", "--torch", factory, "--out", out, "--json")
    assert verb(*words, "--bundle", folder / "whole", "--steps", 150)
    found = arrays(out)
    # Bytes round the images that they were made from.
    assert rms(found["z"] - drawn(5, 20)) < 0.02
    assert (found["error"] <= found["start_error"]).all()
    assert list(found["names"]) == [f"{at + 1:03d}.png" for at in range(20)]
    assert verb(
        *("hybridize", "--bundle", folder / "toy", "--layer", "z", "--channels", "1"),
        *("--latents1", out, "--latents2", out, "--out", tmp_path / "hybrids.npz"),
    )


def test_an_image_alone_is_inverted_too(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("invert", folder / "photographs" / "004.png", "--bundle", folder / "toy", "--json")
    assert verb(*words, "--steps", 0, "--draws", 50, "--out", tmp_path / "latents.npz")
    document = json.loads(capsys.readouterr().out)
    assert (document["start"], document["images"], list(document["errors"])) == (
        "samples",
        1,
        ["004.png"],
    )


def test_steps_take_a_module(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("invert", folder / "photographs", "--bundle", folder / "toy", "--out", "x.npz")
    assert not verb(*words)
    assert "name what it was exported from, --torch CHECKPOINT" in capsys.readouterr().err


def test_latents_of_any_axes_are_one_vector(folder: Path, tmp_path: Path) -> None:
    export("inversion_toys:columns", tmp_path / "b", shapes=["z=12,1,1"], image_range=(-1.0, 1.0))
    source = "inversion_toys:columns"
    found = invert_photographs(
        tmp_path / "b", folder / "photographs", steps=100, torch_source=source
    )
    assert found.latents.shape == (20, 12, 1, 1)
    assert rms(found.latents.reshape(20, 12) - drawn(5, 20)) < 0.1


def test_a_generator_that_ships_brings_its_module() -> None:
    generator = bundle_generator("gan-cifar10")
    assert generator.network is not None
    latents = generator.draw(4, 3)
    with torch.no_grad():
        found = generator.network(torch.from_numpy(latents)).numpy()
    np.testing.assert_allclose(found, generator.generate(latents), rtol=0, atol=1e-4)
    told = generator.description
    assert (told.latent_size, told.latent_mean) == (150, 0.0)
    assert told.latent_deviation == 1.0


def test_a_checkpoint_is_a_module_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=np.zeros((8, 8, 8, 3), np.uint8))
    settings = ["architecture.latent_size=6", "architecture.base_size=4", "batch_size=4"]
    settings += ["architecture.channels=8,4", "architecture.strides=2,1", "precision=float32"]
    for seed in (0, 1):
        out = tmp_path / f"gan{seed}"
        train("gan-celeba", tmp_path / "images.npz", out, steps=1, seed=seed, overrides=settings)
    export(tmp_path / "gan0", tmp_path / "bundle")
    own = bundle_generator(tmp_path / "bundle")
    named = bundle_generator(tmp_path / "bundle", torch_source=str(tmp_path / "gan0"))
    assert own.description == named.description
    assert own.description.differentiable
    with pytest.raises(SourceError, match="is another generator than bundle 'bundle'"):
        bundle_generator(tmp_path / "bundle", torch_source=str(tmp_path / "gan1"))


def test_latents_are_measured_by_their_own_distribution(tmp_path: Path) -> None:
    for name, spread in (("uniform:1,3", (2.0, 2 / 12**0.5)), ("normal:0.5,4", (0.5, 4.0))):
        out = tmp_path / name[:4]
        export("inversion_toys:generator", out, inputs=[f"z={name}"], image_range=(-1.0, 1.0))
        told = bundle_generator(out).description
        assert (told.latent_mean, told.latent_deviation) == pytest.approx(spread)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("inversion_toys:another", "is another generator than bundle 'toy': images differ by"),
        ("factory_toys:decoder", "does not take the bundle's latents"),
        ("no/such/folder", "does not exist; it is a checkpoint's folder or package.module"),
    ],
)
def test_a_module_of_another_generator_is_refused(folder: Path, source: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        bundle_generator(folder / "toy", torch_source=source)


def test_only_one_latent_vector_is_inverted(tmp_path: Path, toy_skip_bundle: Path) -> None:
    with pytest.raises(SourceError, match="takes 'z', 'noise', not a latent alone; allowed is one"):
        bundle_generator(toy_skip_bundle)
    export("encoder_toys:maps_decoder", tmp_path / "maps", shapes=["z=4,2,2"])
    with pytest.raises(SourceError, match=r"takes 'z' \(4, 2, 2\) \(FP32, normal\); allowed is"):
        bundle_generator(tmp_path / "maps")


def test_an_encoder_from_elsewhere_is_added_to_a_bundle_too(tmp_path: Path) -> None:
    ir.save(parse(CHAIN), tmp_path / "chain.onnx")
    export(tmp_path / "chain.onnx", tmp_path / "chain")
    encoder = save_encoder(tmp_path / "encoder.onnx")
    found = export(tmp_path / "chain", tmp_path / "with", encoder=encoder)
    whole = export(tmp_path / "chain.onnx", tmp_path / "whole", encoder=encoder, name="with")
    assert found.manifest.layers == whole.manifest.layers
    assert found.manifest.encoder == whole.manifest.encoder


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inverter", "--out", "o"], "train inverter needs --bundle"),
        (["gan-celeba", "--out", "o"], "train gan-celeba needs --data"),
        (
            ["gan-celeba", "--data", "d", "--out", "o", "--bundle", "b"],
            "--bundle is for train inverter, not for recipe 'gan-celeba'",
        ),
        (["inverter", "--bundle", "nowhere", "--out", "o"], "no bundle 'nowhere' comes with"),
        (
            ["inverter", "--bundle", "gan-cifar10", "--weights", "w.pt", "--out", "o"],
            "--weights is for a factory",
        ),
    ],
)
def test_what_a_training_of_an_encoder_lacks_is_said(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not verb("train", *words)
    assert said in capsys.readouterr().err
