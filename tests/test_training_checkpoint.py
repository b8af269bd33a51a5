"""The checkpoint: what a training leaves can be read back, and damage is named."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from graftscope.training import RECIPES, TrainResult, load_checkpoint, train
from graftscope.training._pictures import to_images
from graftscope.training.errors import CheckpointError, CheckpointNotFoundError
from graftscope.training.recipes import AdversarialLoss, Normalisation

TINY = (
    "architecture.latent_size=6",
    "architecture.base_size=4",
    "architecture.channels=8,4",
    "architecture.strides=2,1",
    "architecture.encoder_channels=none",
    "batch_size=4",
)
STEPS = 3


LATER = (
    ("recipe", "adversarial_loss"),
    ("recipe", "normalisation"),
    ("recipe", "scaled_start"),
    ("recipe", "gradient_penalty"),
    ("recipe", "average_decay"),
    ("recipe", "mirroring"),
    ("recipe", "colour_jitter"),
    ("recipe", "translation"),
    ("recipe", "cutout"),
    ("architecture", "encoder_kernel_size"),
    ("architecture", "classes"),
    ("data", "classes"),
)
"""Settings that the first checkpoints did not have."""


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)


def train_tiny(recipe: str, folder: Path) -> TrainResult:
    np.savez(folder / "images.npz", images=images())
    return train(recipe, folder / "images.npz", folder / "run", steps=STEPS, overrides=TINY)


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train_tiny("vae-celeba", tmp_path_factory.mktemp("vae"))


@pytest.fixture
def copied(vae: TrainResult, tmp_path: Path) -> Path:
    return Path(shutil.copytree(vae.checkpoint, tmp_path / "copy"))


def test_a_vae_comes_back_with_everything_it_left(vae: TrainResult) -> None:
    checkpoint = load_checkpoint(vae.checkpoint)

    assert checkpoint.metrics == vae.metrics
    assert (checkpoint.config.seed, checkpoint.config.step) == (0, STEPS)
    assert checkpoint.config.recipe.name == "vae-celeba"
    assert checkpoint.config.architecture.channels == (8, 4)
    assert checkpoint.config.data.held_out_rule is RECIPES["vae-celeba"].held_out
    assert not checkpoint.generator.training
    saved = load_file(vae.checkpoint / "state/latest.safetensors")
    for name, tensor in checkpoint.generator.state_dict().items():
        assert torch.equal(tensor, saved[f"network.generator.{name}"])
    assert checkpoint.generator(torch.zeros(2, 6)).shape == (2, 3, 8, 8)


def test_originals_are_mean_and_covariance_of_the_training_images_encodings(
    vae: TrainResult,
) -> None:
    checkpoint = load_checkpoint(vae.checkpoint)
    assert checkpoint.encoder is not None
    assert checkpoint.originals is not None
    trained_on = np.delete(images(), [9, 19], axis=0)

    with torch.no_grad():
        mean, _ = checkpoint.encoder(to_images(trained_on, torch.device("cpu")))

    encodings = mean.double().numpy()
    np.testing.assert_allclose(checkpoint.originals.mean, encodings.mean(0), atol=1e-5)
    centred = encodings - encodings.mean(0)
    covariance = centred.T @ centred / (len(centred) - 1)
    np.testing.assert_allclose(checkpoint.originals.covariance, covariance, atol=1e-5)


def test_metrics_are_those_of_the_held_out_images(vae: TrainResult) -> None:
    checkpoint = load_checkpoint(vae.checkpoint)
    assert checkpoint.encoder is not None
    held_out = to_images(images()[[9, 19]], torch.device("cpu"))

    with torch.no_grad():
        mean, log_variance = (part.double().numpy() for part in checkpoint.encoder(held_out))
        again = checkpoint.generator(torch.tensor(mean, dtype=torch.float32))

    error = ((again - held_out).numpy() ** 2).mean()
    kl = 0.5 * np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance) / 2
    assert vae.metrics.reconstruction_mse == pytest.approx(error, rel=1e-4)
    assert vae.metrics.kl == pytest.approx(kl, rel=1e-4)
    assert (vae.metrics.trained_on, vae.metrics.held_out, vae.metrics.skipped) == (18, 2, 0)
    assert vae.metrics.wall_time_s > 0


def test_a_gan_has_neither_encoder_nor_originals(tmp_path: Path) -> None:
    result = train_tiny("gan-celeba", tmp_path)

    checkpoint = load_checkpoint(result.checkpoint)

    assert checkpoint.encoder is None
    assert checkpoint.originals is None
    assert checkpoint.metrics.reconstruction_mse is None
    assert set(checkpoint.metrics.losses) == {"generator_loss", "discriminator_loss"}
    assert (result.checkpoint / "discriminator.safetensors").is_file()


def test_no_file_names_the_folders_it_came_from_or_is_a_pickle(vae: TrainResult) -> None:
    files = [path for path in vae.checkpoint.rglob("*") if path.is_file()]

    assert {path.suffix for path in files} == {".csv", ".json", ".png", ".safetensors"}
    for path in files:
        assert str(vae.checkpoint.parent).encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "name",
    ["config.json", "generator.safetensors", "encoder.safetensors", "originals.safetensors"],
)
def test_a_truncated_file_is_named(copied: Path, name: str) -> None:
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[: len(content) // 2])

    with pytest.raises(CheckpointError, match=f"{name} is damaged"):
        load_checkpoint(copied)


@pytest.mark.parametrize("name", ["generator.safetensors", "encoder.safetensors", "metrics.json"])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()

    with pytest.raises(CheckpointNotFoundError, match=f"'{name}' is missing"):
        load_checkpoint(copied)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError, match="nowhere' does not exist"):
        load_checkpoint(tmp_path / "nowhere")


def test_an_empty_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError, match=r"'config\.json' is missing"):
        load_checkpoint(tmp_path)


def test_an_unfinished_training_is_refused_with_the_way_to_finish_it(copied: Path) -> None:
    (copied / "config.json").unlink()

    with pytest.raises(CheckpointError, match="unfinished; continue its training with --resume"):
        load_checkpoint(copied)


def change_config(folder: Path, section: str | None, changes: dict[str, object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    (config[section] if section else config).update(changes)
    (folder / "config.json").write_text(json.dumps(config))


def test_a_configuration_that_is_older_than_a_setting_has_what_was_done_then(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    for section, name in LATER:
        del config[section][name]
    (copied / "config.json").write_text(json.dumps(config))

    recipe = load_checkpoint(copied).config.recipe
    assert recipe.adversarial_loss is AdversarialLoss.CROSS_ENTROPY
    assert recipe.normalisation is Normalisation.BATCH
    assert not any((recipe.gradient_penalty, recipe.average_decay, recipe.mirroring))
    assert recipe.architecture.classes is None


def test_a_training_that_is_older_than_a_setting_is_resumed(copied: Path) -> None:
    state = copied / "state/latest.safetensors"
    with safe_open(state, "pt") as file:
        metadata = file.metadata()
    identity = json.loads(metadata["identity"])
    for section, name in LATER:
        del identity[section][name]
    save_file(load_file(state), state, {**metadata, "identity": json.dumps(identity)})
    before = load_file(copied / "generator.safetensors")

    np.savez(copied.parent / "images.npz", images=images())
    train(
        "vae-celeba", copied.parent / "images.npz", copied, steps=STEPS, overrides=TINY, resume=True
    )

    after = load_file(copied / "generator.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        (None, {"format": 2}, "has format 2; this version reads 1"),
        (None, {"seed": "0"}, "seed cannot be '0'"),
        (None, {"extra": 1}, "missing or unknown fields: extra"),
        ("recipe", {"precision": "half"}, "'half' is not a valid Precision"),
        ("recipe", {"batch_size": True}, "batch_size cannot be True"),
        ("recipe", {"batch_size": 0}, "batch_size must be at least 2, not 0"),
        ("architecture", {"channels": [8, 5]}, "does not fit config.json"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(
    copied: Path, section: str | None, changes: dict[str, object], message: str
) -> None:
    change_config(copied, section, changes)

    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(copied)
