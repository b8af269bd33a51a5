"""Facts about exporting checkpoints, and the model cards that come with them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from PIL import Image

from graftscope.bundle import read_bundle, read_originals
from graftscope.exporter import SourceError, export, torch_generator
from graftscope.exporter.sources._card import _losses
from graftscope.exporter.sources._checkpoint import _data
from graftscope.training import RECIPES, Quality, load_checkpoint, train
from graftscope.training.errors import CheckpointError
from graftscope.training.quality import Distance, Distances, FeatureConfig, FeatureTask
from graftscope.training.quality._result import generator_digest, write_quality
from graftscope.training.recipes import AdversarialLoss, Normalisation

SMALL = (
    "architecture.latent_size=6",
    "architecture.base_size=2",
    "architecture.channels=8,6,5,4",
    "batch_size=4",
)
STEPS = 2


def checkpoint(recipe: str, folder: Path) -> Path:
    """Train a small network of a recipe on noise for a moment."""
    strides = "2,2,2,1" if recipe.startswith("vae") else "2,2,1,2"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    np.savez(folder / "images.npz", images=pixels)
    settings = (*SMALL, f"architecture.strides={strides}", "architecture.encoder_channels=none")
    return train(
        recipe, folder / "images.npz", folder / "run", steps=STEPS, overrides=settings
    ).checkpoint


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a VAE's checkpoint, `run`, and its bundle, `face`."""
    folder = tmp_path_factory.mktemp("vae")
    export(checkpoint("vae-celeba", folder), folder / "face")
    return folder


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a GAN's checkpoint, `run`, and its bundle, `face`."""
    folder = tmp_path_factory.mktemp("gan")
    export(checkpoint("gan-celeba", folder), folder / "face", licence="noise: free")
    return folder


@pytest.fixture(scope="module")
def measured(gan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the GAN, its samples measured, and its bundle, `face`."""
    folder = tmp_path_factory.mktemp("measured")
    run = shutil.copytree(gan / "run", folder / "run")
    data = load_checkpoint(run).config.data
    quality = Quality(
        halves=Distance(Distances(2.0, 0.0), Distances(0.25, 0.5)),
        prior=Distance(Distances(7.0, 1.5), Distances(0.75, 0.125)),
        encoded=None,
        noise=Distance(Distances(90.0, 4.0), Distances(1.0, 2.0)),
        images=994,
        repeats=10,
        seed=0,
        features=FeatureConfig(
            FeatureTask.CELEBA, ("Bald", "Young"), 16, data, 9000, 1000, 0.89, 0.8, 12, 0
        ),
        features_digest="f" * 64,
        generator_digest=generator_digest(run),
        data=replace(data, held_out=1989),
    )
    write_quality(run, quality)
    export(run, folder / "face")
    return folder


def card(folder: Path) -> str:
    return (folder / "face" / "MODEL_CARD.md").read_text()


def test_levels_and_layers_are_the_architectures(vae: Path) -> None:
    manifest = read_bundle(vae / "face").manifest
    assert [(layer.name, layer.level, layer.height) for layer in manifest.layers] == [
        ("z", "", 1),
        ("fc", "coarse", 2),
        ("deconv1", "intermediate", 4),
        ("deconv2", "fine", 8),
        ("deconv3", "image", 16),
    ]


def test_originals_are_the_checkpoints(vae: Path) -> None:
    expected = load_checkpoint(vae / "run").originals
    assert expected is not None
    mean, covariance = read_originals(vae / "face" / "originals.safetensors")
    np.testing.assert_array_equal(mean, expected.mean)
    np.testing.assert_array_equal(covariance, expected.covariance)


def test_provenance_is_the_checkpoints(vae: Path) -> None:
    stated = read_bundle(vae / "face").manifest.provenance
    metrics = load_checkpoint(vae / "run").metrics
    assert (stated.recipe, stated.data, stated.seed, stated.steps) == (
        "vae-celeba",
        "images.npz",
        0,
        STEPS,
    )
    assert stated.licence == "CelebA: non-commercial research only"
    assert stated.metrics["reconstruction_mse"] == metrics.reconstruction_mse
    assert set(stated.metrics) == {"reconstruction_mse", "sampled_reconstruction_mse", "kl"}
    assert {"torch", "onnx"} <= set(stated.versions)


def test_a_vae_brings_its_own_encoder(vae: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--encoder cannot be given for a checkpoint"):
        export(vae / "run", tmp_path / "out", encoder="encoder_toys:mean")


def test_a_gan_has_neither_encoder_nor_metrics(gan: Path) -> None:
    manifest = read_bundle(gan / "face").manifest
    assert not manifest.HasField("encoder")
    assert not manifest.provenance.metrics
    assert manifest.provenance.licence == "noise: free"


def test_the_card_is_not_part_of_the_bundle_that_is_verified(vae: Path) -> None:
    listed = [file.name for file in read_bundle(vae / "face").manifest.files]
    assert "MODEL_CARD.md" not in listed


@pytest.mark.parametrize(
    "text",
    [
        "# face\n",
        "CelebA: non-commercial research only",
        "images whose number is divisible by 10 (2 images)",
        "18 of them trained on",
        "| reconstruction_mse |",
        "| deconv2 | fine | 5 x 8 x 8 |",
        "graftscope train vae-celeba --data images.npz --out checkpoint --steps 2 --seed 0",
        "--set architecture.channels=8,6,5,4",
        "graftscope export checkpoint --out face --name face",
        "## Limits",
    ],
)
def test_the_card_tells_what_a_reader_needs(vae: Path, text: str) -> None:
    assert text in card(vae)


def test_a_gans_card_says_that_nothing_was_measured(gan: Path) -> None:
    assert "A GAN's generator" in card(gan)
    assert "Nothing was measured." in card(gan)
    assert "noise: free" in card(gan)


@pytest.mark.parametrize(
    "text",
    [
        "learning rate 0.001 for the generator and 0.001 for the discriminator",
        "sigmoid cross entropy, real images labelled 1.",
        "of 4, 5, 6, 8 channels and kernels of 5 x 5, the mirror of the generator; no norm",
        " s on cpu.",
    ],
)
def test_a_gans_card_tells_what_kept_its_discriminator_in_check(gan: Path, text: str) -> None:
    assert text in card(gan)


def test_a_card_tells_what_keeps_the_discriminator_of_a_hinge_loss_in_check() -> None:
    recipe = replace(
        RECIPES["cgan-cifar10"],
        adversarial_loss=AdversarialLoss.HINGE,
        normalisation=Normalisation.SPECTRAL,
        gradient_penalty=0.2,
        translation=0.125,
    )

    told = _losses(recipe)

    assert "Loss: hinge." in told
    assert "of 32, 64, 128, 128 channels and kernels of 3 x 3; spectral" in told
    assert "spectral normalisation; the class by projection; its loss has" in told
    assert (
        "the class by projection; its loss has 0.2 x half its squared gradient at real images (R1)."
        in told
    )
    assert "sees: real images turned left to right at random, moved by up to 0.125 of" in told
    assert "average of the generator's, of which 0.999 is kept at each step" in told


def test_a_card_tells_that_labels_were_smoothed_on_one_side() -> None:
    smoothed = replace(RECIPES["gan-celeba"], real_label=0.9, normalisation=Normalisation.BATCH)

    told = _losses(smoothed)

    assert "real images labelled 0.9 (one-sided label smoothing)" in told
    assert "the mirror of the generator; batch norm" in told


def test_distances_of_samples_are_in_the_manifest(measured: Path) -> None:
    metrics = read_bundle(measured / "face").manifest.provenance.metrics
    assert dict(metrics) == {
        "feature_accuracy": 0.89,
        "frechet_halves": 2.0,
        "frechet_halves_deviation": 0.25,
        "kernel_halves": 0.0,
        "kernel_halves_deviation": 0.5,
        "frechet_prior": 7.0,
        "frechet_prior_deviation": 0.75,
        "kernel_prior": 1.5,
        "kernel_prior_deviation": 0.125,
        "frechet_noise": 90.0,
        "frechet_noise_deviation": 1.0,
        "kernel_noise": 4.0,
        "kernel_noise_deviation": 2.0,
    }


@pytest.mark.parametrize(
    "text",
    [
        "one half of the 1,989 held-out images, always between 994 and 994 images",
        "| the other half of the held-out images | 2 ± 0.25 | 1 | 0 ± 0.5 |",
        "| samples from the prior | 7 ± 0.75 | 3.5 | 1.5 ± 0.12 |",
        "2 attributes of faces: mean accuracy 0.890 on 1,000 held-out images",
        "0.800 for always telling what is commonest",
        f"`{'f' * 64}`",
    ],
)
def test_the_card_holds_samples_against_halves(measured: Path, text: str) -> None:
    assert text in card(measured)


def test_distances_of_another_generator_are_refused(
    measured: Path, vae: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(vae / "run", tmp_path / "run")
    shutil.copy(measured / "run/quality.json", run)
    with pytest.raises(CheckpointError, match="describes another generator"):
        export(run, tmp_path / "out")


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("celeba64.zip", "CelebA (celeba64.zip)"),
        ("img_align_celeba", "CelebA (img_align_celeba)"),
        ("cifar-10-python.tar.gz", "CIFAR-10 (cifar-10-python.tar.gz)"),
        ("images.npz", "images.npz"),
    ],
)
def test_the_data_set_is_named_where_its_file_tells_which(source: str, named: str) -> None:
    assert _data(source) == named


def test_an_unfinished_training_is_refused(vae: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(CheckpointError, match="config"):
        export(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_name_is_that_of_the_folder_unless_it_is_given(vae: Path, tmp_path: Path) -> None:
    assert read_bundle(vae / "face").manifest.name == "face"
    with pytest.raises(SourceError, match="name 'Face!' cannot be a bundle's"):
        export(vae / "run", tmp_path / "Face!")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a checkpoint of a generator that is told a class, and its bundle."""
    folder, noise = tmp_path_factory.mktemp("conditional"), np.random.default_rng(0)
    for name in ("ant", "bee"):
        (folder / "images" / "train" / name).mkdir(parents=True)
        for index in range(4):
            pixels = noise.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"images/train/{name}/{index}.png")
    settings = (
        "architecture.latent_size=6",
        "architecture.channels=8,6,5",
        "architecture.strides=2,2,1",
        "architecture.encoder_channels=none",
        "architecture.classes=2",
        "batch_size=4",
    )
    run = train(
        "cgan-cifar10", folder / "images", folder / "run", steps=STEPS, overrides=settings
    ).checkpoint
    export(run, folder / "things")
    return folder


def test_a_conditional_generator_has_labels_as_an_input_and_its_stages_as_layers(
    conditional: Path,
) -> None:
    manifest = read_bundle(conditional / "things").manifest

    latent, label = manifest.inputs
    assert (latent.name, latent.datatype, list(latent.shape)) == ("z", "FP32", [6])
    assert latent.HasField("normal")
    assert (label.name, label.datatype, list(label.shape)) == ("label", "INT64", [])
    assert label.classes.count == 2
    assert [(layer.name, layer.level) for layer in manifest.layers if layer.upstream] == [
        ("fc", "coarse"),
        ("block1.activation1", ""),
        ("block1.activation2", ""),
        ("block1", "intermediate"),
        ("block2.activation1", ""),
        ("block2.activation2", ""),
        ("block2", "image"),
        ("to_image", ""),
    ]


def test_a_conditional_generators_graph_computes_what_the_module_does(conditional: Path) -> None:
    model = load_checkpoint(conditional / "run").generator
    again = torch_generator(conditional / "things")
    graph = ort.InferenceSession(conditional / "things" / "generator.onnx")
    z = np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32)
    label = np.array([0, 1, 1, 0])

    (found,) = graph.run(None, {"z": z, "label": label})

    for module in (model, again):
        with torch.no_grad():
            wanted = module(torch.tensor(z), torch.tensor(label)).numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    (swapped,) = graph.run(None, {"z": z, "label": 1 - label})
    assert (found != swapped).any((1, 2, 3)).all()


def test_a_conditional_generators_card_names_its_classes(conditional: Path) -> None:
    text = (conditional / "things" / "MODEL_CARD.md").read_text()
    assert "standard normal latents and one of 2 classes, a residual network" in text
    assert "Classes by label: 0 ant, 1 bee." in text
    assert "the class by projection" in text
