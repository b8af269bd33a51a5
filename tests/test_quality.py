"""Distances between samples and real images: known truths, seeds, files and refusals."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from graftscope.training import RECIPES, load_checkpoint, load_quality, measure, train
from graftscope.training import quality as quality_package
from graftscope.training.checkpoint import Originals
from graftscope.training.errors import CheckpointError, DataError, FeaturesError
from graftscope.training.progress import Stage, TrainProgress
from graftscope.training.quality import FeatureTask, distances_between, read_features
from graftscope.training.quality._distances import SUBSET, Distances, spread
from graftscope.training.quality._labels import CIFAR10_CLASSES, find_labelled, open_labels, task_of
from graftscope.training.quality._samples import _noise, _to_encoded

Array = NDArray[np.float64]

SIDE = 8
TINY = (
    "architecture.latent_size=6",
    "architecture.base_size=4",
    "architecture.channels=8,4",
    "architecture.encoder_channels=none",
    "architecture.strides=2,1",
    "batch_size=16",
)
# Through eigenvalues of a product of covariances, of which a root is taken.
FRECHET_TOLERANCE = 1e-5


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads would spend longer waiting for each other than such small networks compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def gaussian(count: int, features: int = 5, seed: int = 0) -> Array:
    """Features (N, F) of a Gaussian whose features are correlated."""
    draws = np.random.default_rng(seed)
    return draws.normal(size=(count, features)) @ np.triu(np.ones((features, features)))


def root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    half: Array = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return half


def frechet(one: Array, other: Array) -> float:
    """The closed form, by roots of symmetric matrices."""
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    inner = root(root(first) @ second @ root(first))
    apart = ((one.mean(0) - other.mean(0)) ** 2).sum()
    return float(apart + np.trace(first + second - 2 * inner))


def kernel(one: Array, other: Array) -> float:
    """The unbiased squared maximum mean discrepancy, by its definition."""
    count, features = one.shape

    def values(left: Array, right: Array) -> Array:
        similar: Array = (left @ right.T / features + 1) ** 3
        return similar

    within = [
        (values(each, each).sum() - np.trace(values(each, each))) / (count * (count - 1))
        for each in (one, other)
    ]
    return float(sum(within) - 2 * values(one, other).mean())


def test_a_set_is_at_no_distance_from_itself() -> None:
    features = gaussian(300)

    assert abs(distances_between(features, features, 0).frechet) < FRECHET_TOLERANCE
    # Without bias means that a set that is not independent of the other comes out below zero.
    assert distances_between(features, features, 0).kernel < 0


def test_the_distances_are_those_of_the_closed_forms() -> None:
    one, other = gaussian(300, seed=1), 1.5 * gaussian(300, seed=2) + 0.2

    found = distances_between(one, other, 0)

    assert found.frechet == pytest.approx(frechet(one, other), rel=FRECHET_TOLERANCE)
    assert found.kernel == pytest.approx(kernel(one, other), rel=1e-9)


def test_a_shift_adds_its_square_to_the_frechet_distance() -> None:
    features = gaussian(300)

    assert distances_between(features, features + 2, 0).frechet == pytest.approx(4 * 5)


def test_a_shifted_set_is_farther_than_one_from_the_same_distribution() -> None:
    one, other = gaussian(400, seed=1), gaussian(400, seed=2)

    near, far = distances_between(one, other, 0), distances_between(one, other + 0.5, 0)

    assert far.frechet > 2 * near.frechet
    assert far.kernel > 2 * abs(near.kernel)


def test_the_subsets_of_large_sets_follow_the_seed_and_leave_the_callers_randomness() -> None:
    one, other = gaussian(SUBSET + 200, seed=1), gaussian(SUBSET + 200, seed=2)
    before = torch.get_rng_state()

    first, again, different = (distances_between(one, other, seed) for seed in (0, 0, 1))

    assert first == again
    assert first.kernel != different.kernel
    assert torch.equal(torch.get_rng_state(), before)


def test_spread_is_the_mean_and_the_deviation_of_each_distance() -> None:
    mean, deviation = spread([Distances(1.0, 10.0), Distances(3.0, 10.0)])

    assert mean == Distances(2.0, 10.0)
    assert deviation.frechet == pytest.approx(2**0.5)
    assert deviation.kernel == 0


def test_encoded_latents_have_the_mean_and_covariance_of_encodings() -> None:
    # The third latent is unused and the fourth a copy: no Cholesky factor exists.
    covariance = np.array([[2, 1, 0, 2], [1, 2, 0, 1], [0, 0, 0, 0], [2, 1, 0, 2]], np.float64)
    originals = Originals(np.array([1.0, -1.0, 3.0, 1.0]), covariance)
    unit = torch.randn(100_000, 4, generator=torch.Generator().manual_seed(0))

    latents = _to_encoded(originals)(unit).numpy()

    np.testing.assert_allclose(latents.mean(0), originals.mean, atol=0.03)
    np.testing.assert_allclose(np.cov(latents, rowvar=False), covariance, atol=0.05)


def test_noise_has_the_training_images_moments_pixel_by_pixel() -> None:
    levels = np.array([[100, 140], [90, 110]], np.uint8).reshape(2, 1, 2, 1)
    images = np.broadcast_to(levels, (2, 1, 2, 3))

    drawn = np.concatenate(list(_noise(np.ascontiguousarray(images), 0)(4000))).astype(float)

    np.testing.assert_allclose(drawn.mean(0)[0, :, 0], [95, 125], atol=1)
    np.testing.assert_allclose(drawn.std(0)[0, :, 0], [5, 15], rtol=0.05)


def things(folder: Path) -> Path:
    """CIFAR-10 in small: every class has a colour and a stripe of its own."""
    draws = np.random.default_rng(0)
    for split, count in (("train", 64), ("test", 26)):
        for i, name in enumerate(CIFAR10_CLASSES):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(0, 60, (SIDE, SIDE, 3), np.uint8)
                pixels[:, :, i % 3] += 20 * np.uint8(i)
                pixels[i % SIDE] = 255
                Image.fromarray(pixels).save(folder / split / name / f"{number:04d}.png")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return things(tmp_path_factory.mktemp("things"))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the checkpoints `vae` and `gan`, trained for a moment."""
    folder = tmp_path_factory.mktemp("trained")
    for kind in ("vae", "gan"):
        train(f"{kind}-cifar10", data, folder / kind, steps=2, overrides=TINY)
    return folder


@pytest.fixture(scope="module")
def features(data: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a feature network; it was trained when the GAN was measured."""
    path = tmp_path_factory.mktemp("features") / "things.safetensors"
    measure(trained / "gan", data, path)
    return path


def listen() -> tuple[list[TrainProgress], Callable[[TrainProgress], None]]:
    reports: list[TrainProgress] = []
    return reports, reports.append


def test_a_generator_is_measured_beside_halves_and_noise(
    data: Path, trained: Path, features: Path
) -> None:
    reports, on_progress = listen()

    quality = measure(trained / "vae", data, features, on_progress=on_progress)

    assert list(quality.sources) == ["halves", "prior", "encoded", "noise"]
    assert (quality.images, quality.data.held_out) == (130, 260)
    # After two steps neither is near the images, but halves of them are near each other.
    least = quality.halves
    assert all(
        distance.mean.frechet > 2 * least.mean.frechet
        for name, distance in quality.sources.items()
        if name != "halves"
    )
    assert all(distance.deviation.frechet > 0 for distance in quality.sources.values())
    assert {report.stage for report in reports} == {Stage.DECODING, Stage.MEASURING}
    assert reports[-1].step == reports[-1].steps


def test_what_was_measured_is_read_back_from_the_checkpoint(
    data: Path, trained: Path, features: Path
) -> None:
    quality = measure(trained / "gan", data, features)

    assert load_quality(trained / "gan") == quality
    assert quality.encoded is None
    assert json.loads((trained / "gan/quality.json").read_text())["format"] == 1
    load_checkpoint(trained / "gan")


def test_the_seed_decides_the_distances(data: Path, trained: Path, features: Path) -> None:
    first, again, other = (measure(trained / "gan", data, features, seed=s) for s in (3, 3, 4))

    assert first == again
    assert other.prior.mean.frechet != first.prior.mean.frechet
    assert other.halves.mean.kernel != first.halves.mean.kernel


def test_the_same_seed_trains_the_same_feature_network(
    data: Path, trained: Path, features: Path, tmp_path: Path
) -> None:
    reports, on_progress = listen()

    measure(trained / "gan", data, tmp_path / "again.safetensors", on_progress=on_progress)

    assert (tmp_path / "again.safetensors").read_bytes() == features.read_bytes()
    learning = [report for report in reports if report.stage is Stage.FEATURES]
    assert learning[-1].step == learning[-1].steps == 5 * 640
    assert learning[-1].losses["loss"] > 0


def test_a_feature_network_tells_what_it_learnt(features: Path) -> None:
    config = read_features(features).config

    assert (config.task, config.answers) == (FeatureTask.CIFAR10, CIFAR10_CLASSES)
    assert (config.trained_on, config.held_out, config.image_size) == (640, 260, SIDE)
    assert config.commonest_accuracy == pytest.approx(0.1)
    assert config.accuracy > 2 * config.commonest_accuracy


def test_features_lie_in_the_checkpoint_unless_they_are_named(
    data: Path, trained: Path, features: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(trained / "gan", tmp_path / "gan")
    shutil.copy(features, folder / "features.safetensors")
    reports, on_progress = listen()

    measure(folder, data, on_progress=on_progress)

    assert Stage.FEATURES not in {report.stage for report in reports}


def attributes(path: Path, images: int) -> Path:
    """Write CelebA's list in small: whether a number is even, and whether it is below 4."""
    lines = (
        f"{number:06d}.jpg {1 if number % 2 == 0 else -1} {1 if number < 4 else -1}"
        for number in range(1, images + 1)
    )
    path.write_text("\n".join([str(images), "Even Small ", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an array of 2,590 images, of which 259 are held out and the first 100 have labels."""
    folder = tmp_path_factory.mktemp("faces")
    pixels = np.random.default_rng(0).integers(0, 256, (2590, SIDE, SIDE, 3), np.uint8)
    np.savez(folder / "faces.npz", images=pixels)
    attributes(folder / "list_attr_celeba.txt", 100)
    train("gan-celeba", folder / "faces.npz", folder / "runs/faces", steps=1, overrides=TINY)
    return folder


def test_faces_are_learnt_by_their_attributes_from_those_that_have_any(faces: Path) -> None:
    config = measure(faces / "runs/faces", faces / "faces.npz").features

    assert (config.task, config.answers) == (FeatureTask.CELEBA, ("Even", "Small"))
    assert (config.trained_on, config.held_out, config.data.held_out) == (90, 10, 259)
    # All held-out numbers are even and none is small; of 90 others 40 are even and 3 small.
    assert config.commonest_accuracy == 0.5


def test_the_usage_in_the_packages_docstring_runs(
    faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (quality_package.__doc__ or "").splitlines()
    usage = "\n".join(line.strip() for line in lines if line.startswith("    "))
    names: dict[str, float] = {}
    monkeypatch.chdir(faces)

    exec(usage, names)

    assert names["times_halves"] > 1


def test_labels_are_found_by_the_numbers_of_files(tmp_path: Path) -> None:
    book = open_labels(FeatureTask.CELEBA, "faces.zip", attributes(tmp_path / "attributes.txt", 12))

    found = find_labelled(book, ["a/000002.png", "000013.jpg", "000005.jpg"], 1, "faces.zip")

    assert found.positions.tolist() == [0, 2]
    assert found.labels.tolist() == [[1, 1], [0, 0]]


@pytest.mark.skipif("GRAFTSCOPE_DATA" not in os.environ, reason="GRAFTSCOPE_DATA is not set")
def test_celebas_own_list_is_read() -> None:
    book = open_labels(FeatureTask.CELEBA, f"{os.environ['GRAFTSCOPE_DATA']}/celeba64.zip", None)

    assert len(book.outputs) == 40
    label = book.find("celeba64/000001.jpg")
    assert label is not None
    told = {name for name, holds in zip(book.outputs, label, strict=True) if holds}
    assert {"Smiling", "Young", "Brown_Hair"} <= told
    assert "Male" not in told


def test_every_recipe_has_a_task() -> None:
    assert {task_of(recipe) for recipe in RECIPES.values()} == set(FeatureTask)


def test_missing_labels_are_named_with_their_format(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(FeaturesError, match=r"no\.txt' cannot be read .* CelebA's attributes"):
        measure(
            faces / "runs/faces", faces / "faces.npz", tmp_path / "f", labels=tmp_path / "no.txt"
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 is '' and 0 lines follow"),
        ("2\nEven Small\n000001.jpg 1 1\n", "line 1 is '2' and 1 lines follow"),
        ("1\nEven Small\n000001.jpg 1\n", "line 3 holds no name and 2 times 1 or -1"),
        ("1\nEven Small\n000001.jpg 1 0\n", "line 3 holds no name and 2 times 1 or -1"),
    ],
)
def test_labels_in_another_format_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text)

    with pytest.raises(FeaturesError, match=message):
        open_labels(FeatureTask.CELEBA, "faces.zip", path)


def test_images_without_folders_of_classes_are_refused(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    pixels = np.zeros((300, SIDE, SIDE, 3), np.uint8)
    np.savez(tmp_path / "things.npz", train=pixels, test=pixels)

    with pytest.raises(
        FeaturesError, match=r"0 of 300 images .*'train/000001'.* folders named air"
    ):
        measure(trained / "gan", tmp_path / "things.npz", tmp_path / "f.safetensors")
    with pytest.raises(FeaturesError, match="are not used for 'cifar10'"):
        measure(trained / "gan", data, tmp_path / "f.safetensors", labels=tmp_path / "labels.txt")


def test_too_few_held_out_images_are_refused(trained: Path, tmp_path: Path) -> None:
    pixels = np.zeros((20, SIDE, SIDE, 3), np.uint8)
    np.savez(tmp_path / "few.npz", train=pixels, test=pixels)

    with pytest.raises(DataError, match="holds out 20 images; at least 258 are needed"):
        measure(trained / "gan", tmp_path / "few.npz")


def test_a_network_of_other_images_is_refused(faces: Path, features: Path) -> None:
    with pytest.raises(
        FeaturesError, match=r"is for cifar10 images of 8 .* needs one for celeba .* number-div"
    ):
        measure(faces / "runs/faces", faces / "faces.npz", features)


def test_what_is_no_feature_network_is_refused(data: Path, trained: Path, features: Path) -> None:
    with pytest.raises(FeaturesError, match="holds no feature network of format 1"):
        measure(trained / "gan", data, trained / "gan/generator.safetensors")
    with pytest.raises(FeaturesError, match="is a folder"):
        measure(trained / "gan", data, trained)
    damaged = features.with_name("damaged.safetensors")
    damaged.write_bytes(features.read_bytes()[:-10])
    with pytest.raises(FeaturesError, match="is damaged"):
        measure(trained / "gan", data, damaged)


def test_a_negative_seed_is_refused(data: Path, trained: Path) -> None:
    with pytest.raises(FeaturesError, match="seed must be at least 0, not -1"):
        measure(trained / "gan", data, seed=-1)


def test_a_quality_of_another_generator_or_format_is_refused(
    data: Path, trained: Path, features: Path, tmp_path: Path
) -> None:
    measure(trained / "gan", data, features)
    folder = shutil.copytree(trained / "gan", tmp_path / "gan")
    shutil.copy(trained / "vae/generator.safetensors", folder)
    with pytest.raises(CheckpointError, match="describes another generator"):
        load_quality(folder)
    (folder / "quality.json").write_text('{"format": 2}')
    with pytest.raises(CheckpointError, match="has format 2; this version reads 1"):
        load_quality(folder)
    (folder / "quality.json").write_text('{"format": 1}')
    with pytest.raises(CheckpointError, match="is damaged"):
        load_quality(folder)
    (folder / "quality.json").unlink()
    assert load_quality(folder) is None
