"""Facts about inversion: a generator of known latents, so that every inverse is known too."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from graftscope.training import Stage, TrainProgress, train
from graftscope.training.data import DataDescription
from graftscope.training.errors import (
    CheckpointError,
    DataError,
    InversionError,
    RecipeError,
    ResumeMismatchError,
)
from graftscope.training.inversion import (
    InverterResult,
    Optimisation,
    SampledGenerator,
    image_errors,
    invert,
    is_inverter,
    load_inverter,
    nearest_draws,
    reconstruction_of,
    train_inverter,
)
from graftscope.training.inversion._learner import unexplained
from graftscope.training.progress import ignore_progress
from graftscope.training.quality import FeatureConfig, Features, FeatureTask
from graftscope.training.quality._features import FeatureNetwork
from graftscope.training.recipes import HeldOutRule
from inversion_toys import drawn, images_of, latents_of, sampled

SMALL = ("channels=32", "kernel_size=3", "batch_size=32", "precision=float32", "sample_every=9")
SHORT = (*SMALL, "report_every=1", "checkpoint_every=4")
RECOVERED = 0.04
"""Share of the latents' variance that a small network of leaky units leaves after 300 steps."""
OPTIMISED = 5e-3
"""Standard deviations of the prior; Adam's last steps are that small."""


class InterruptedTraining(Exception):
    pass


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads would spend longer waiting for each other than such small networks compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred that the generator can make; ten of them are held out."""
    path = tmp_path_factory.mktemp("photographs") / "photographs.npz"
    pixels = np.rint((images_of(drawn(5, 100)) + 1) / 2 * 255).astype(np.uint8)
    np.savez(path, images=pixels.transpose(0, 2, 3, 1))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> InverterResult:
    out = tmp_path_factory.mktemp("trained") / "inverter"
    return train_inverter(sampled(), out, data=photographs, steps=300, overrides=SMALL)


def run(
    out: Path,
    *overrides: str,
    generator: SampledGenerator | None = None,
    data: Path | None = None,
    seed: int = 0,
    resume: bool = False,
    on_progress: Callable[[TrainProgress], None] = ignore_progress,
) -> Path:
    train_inverter(
        generator or sampled(),
        out,
        data=data,
        steps=10,
        seed=seed,
        resume=resume,
        overrides=(*SHORT, *overrides),
        on_progress=on_progress,
    )
    return out


def interrupt_after(step: int) -> Callable[[TrainProgress], None]:
    def on_progress(progress: TrainProgress) -> None:
        if progress.stage is Stage.TRAINING and progress.step == step:
            raise InterruptedTraining

    return on_progress


def curves(folder: Path) -> list[str]:
    """Every column but the rate, which no two runs share."""
    lines = (folder / "metrics.csv").read_text().splitlines()
    return [line.rpartition(",")[0] for line in lines]


def test_a_trained_inverter_recovers_the_latents_of_samples(trained: InverterResult) -> None:
    latents = drawn(91, 200)
    found = load_inverter(trained.checkpoint).encode(images_of(latents))
    error = float(np.square(found - latents).sum() / np.square(latents - latents.mean(0)).sum())
    assert error < RECOVERED
    assert trained.metrics.latent_error < RECOVERED


def test_its_errors_are_those_of_its_reconstructions(
    trained: InverterResult, photographs: Path
) -> None:
    inverter = load_inverter(trained.checkpoint)
    with np.load(photographs) as file:
        held_out = file["images"][9::10].transpose(0, 3, 1, 2).astype(np.float64) / 255 * 2 - 1
    again = images_of(inverter.encode(held_out.astype(np.float32)))
    measured = trained.metrics.photographs
    assert measured is not None
    assert measured.images == 10
    assert measured.error == pytest.approx(np.sqrt(np.mean((again - held_out) ** 2)) / 2, rel=1e-4)
    least = np.sqrt(np.mean((held_out - held_out.mean(0)) ** 2)) / 2
    assert measured.mean_image_error == pytest.approx(least, rel=1e-4)
    assert measured.error < 0.2 * measured.mean_image_error
    assert inverter.metrics == trained.metrics


def test_a_generator_that_is_a_graph_alone_is_learnt_from_latents(tmp_path: Path) -> None:
    out = run(tmp_path / "inverter", generator=sampled(differentiable=False))
    assert curves(out)[0] == "step,loss,latent_error"
    assert set(load_inverter(out).metrics.losses) == {"loss", "latent_error"}


def test_photographs_are_learnt_from_only_where_that_is_asked_for(
    tmp_path: Path, photographs: Path
) -> None:
    measured = run(tmp_path / "measured", data=photographs)
    learnt = run(tmp_path / "learnt", "photograph_weight=1", data=photographs)
    assert curves(measured)[0] == "step,loss,latent_error,pixel_error"
    assert curves(learnt)[0] == "step,loss,latent_error,pixel_error,photograph_error"
    data = [load_inverter(folder).config.data for folder in (measured, learnt)]
    assert [isinstance(each, DataDescription) and each.trained_on for each in data] == [0, 90]


@pytest.mark.parametrize("learns", [False, True])
def test_a_resumed_training_ends_in_the_same_bits(
    tmp_path: Path, photographs: Path, learns: bool
) -> None:
    said = ("photograph_weight=0.5",) if learns else ()
    straight = run(tmp_path / "straight", *said, data=photographs)
    broken = tmp_path / "broken"
    with pytest.raises(InterruptedTraining):
        run(broken, *said, data=photographs, on_progress=interrupt_after(7))
    assert is_inverter(broken)
    with pytest.raises(CheckpointError, match="is unfinished; continue its training"):
        load_inverter(broken)
    run(broken, *said, data=photographs, resume=True)
    first, second = (
        load_file(folder / "state/latest.safetensors") for folder in (straight, broken)
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert curves(straight) == curves(broken)
    weights = [(folder / "inverter.safetensors").read_bytes() for folder in (straight, broken)]
    assert weights[0] == weights[1]


def test_only_the_same_training_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(InterruptedTraining):
        run(tmp_path / "broken", on_progress=interrupt_after(5))
    with pytest.raises(ResumeMismatchError, match="seed was 0 and is now 1"):
        run(tmp_path / "broken", seed=1, resume=True)
    other = sampled()
    other = replace(other, description=replace(other.description, digest="1" * 64))
    with pytest.raises(ResumeMismatchError, match=r"generator\.digest"):
        run(tmp_path / "broken", generator=other, resume=True)


def test_pictures_show_images_beside_their_reconstructions(
    tmp_path: Path, photographs: Path
) -> None:
    out = run(tmp_path / "inverter", data=photographs)
    shown = sorted(path.name for path in (out / "samples").iterdir())
    assert shown == [
        "000009-photographs.png",
        "000009.png",
        "000010-photographs.png",
        "000010.png",
    ]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("channels=0", "channels must be numbers from 1 to 4096"),
        ("kernel_size=4", "kernel_size must be odd"),
        ("batch_size=1", "batch_size must be at least 2"),
        ("pixel_weight=-1", "pixel_weight must be at least 0 and finite"),
        ("photograph_weight=1", "there are no photographs"),
        ("epochs=3", "'epochs' is not a setting; there are: channels, kernel_size"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        train_inverter(sampled(), tmp_path / "out", steps=1, overrides=[override])
    assert not (tmp_path / "out").exists()


def test_what_takes_derivatives_is_refused_for_a_graph_alone(
    tmp_path: Path, photographs: Path
) -> None:
    graph = sampled(differentiable=False)
    for override, said in (
        ("photograph_weight=1", "photograph_weight must be 0"),
        ("latent_weight=0", "latent_weight must be above 0"),
    ):
        with pytest.raises(RecipeError, match=said):
            train_inverter(graph, tmp_path / "out", data=photographs, overrides=[override])
    with pytest.raises(InversionError, match="comes as a graph alone"):
        invert(graph, images_of(drawn(0, 2)))


def test_data_that_holds_no_images_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no image")
    with pytest.raises(DataError, match="allowed are an image"):
        train_inverter(sampled(), tmp_path / "out", data=text, steps=1)


def test_a_folder_of_another_training_is_no_inverter(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=np.zeros((8, 8, 8, 3), np.uint8))
    tiny = ["architecture.channels=4,4", "architecture.strides=2,1", "architecture.base_size=4"]
    out = tmp_path / "vae"
    small = [*tiny, "batch_size=4", "architecture.latent_size=4"]
    train("vae-celeba", tmp_path / "images.npz", out, steps=1, overrides=small)
    assert not is_inverter(out)
    with pytest.raises(CheckpointError, match="the training of a generator, no inverter"):
        load_inverter(out)


def test_optimisation_recovers_the_latents_of_images() -> None:
    latents = drawn(4, 6)
    found = invert(sampled(), images_of(latents), Optimisation(steps=400), seed=3)
    np.testing.assert_allclose(found.latents, latents, atol=OPTIMISED)
    np.testing.assert_allclose(latents_of(images_of(latents)), latents, atol=1e-4)
    assert found.errors.max() < OPTIMISED


def test_no_step_makes_an_image_worse() -> None:
    images = noisy_images(9)
    # So large a rate that most steps lead uphill.
    found = invert(sampled(), images, Optimisation(steps=40, learning_rate=2.0), seed=1)
    assert (np.diff(found.errors_so_far) <= 0).all()
    assert (found.errors <= found.start_errors + 1e-6).all()
    longer = invert(sampled(), images, Optimisation(steps=80, learning_rate=0.1), seed=1)
    assert longer.errors_so_far[0] == pytest.approx(found.errors_so_far[0])
    assert longer.errors.mean() == pytest.approx(longer.errors_so_far[-1], abs=1e-6)


def test_without_steps_the_start_is_the_answer(trained: InverterResult) -> None:
    images = images_of(drawn(6, 5))
    encode = load_inverter(trained.checkpoint).encode
    found = invert(sampled(differentiable=False), images, Optimisation(steps=0), encode=encode)
    np.testing.assert_array_equal(found.latents, encode(images))
    np.testing.assert_array_equal(found.errors, found.start_errors)


def test_an_encoder_is_a_better_start_than_samples(trained: InverterResult) -> None:
    images, how = images_of(drawn(6, 20)), Optimisation(steps=5)
    encode = load_inverter(trained.checkpoint).encode
    from_samples = invert(sampled(), images, how)
    from_encoder = invert(sampled(), images, how, encode=encode)
    assert from_encoder.errors.mean() < 0.3 * from_samples.errors.mean()


def test_the_nearest_of_samples_is_that_of_a_slow_search() -> None:
    images, asked = noisy_images(7), []
    generator = sampled()

    def draw(seed: int, count: int) -> NDArray[np.float32]:
        asked.append(drawn(seed, count))
        return asked[-1]

    found = nearest_draws(replace(generator, draw=draw), images, 150, seed=2)
    candidates = np.concatenate(asked)
    assert len(candidates) == 150
    made = images_of(candidates)
    for image, latents in zip(images, found, strict=True):
        distances = [float(np.square(image - each).sum()) for each in made]
        np.testing.assert_array_equal(latents, candidates[int(np.argmin(distances))])


def test_images_do_not_depend_on_each_other() -> None:
    images, how = noisy_images(3), Optimisation(steps=20)
    together = invert(sampled(), images, how, seed=5)
    again = invert(sampled(), images, how, seed=5)
    alone = [invert(sampled(), images[i : i + 1], how, seed=5).latents[0] for i in range(3)]
    np.testing.assert_array_equal(together.latents, again.latents)
    np.testing.assert_allclose(together.latents, np.stack(alone), atol=1e-4)


def test_the_prior_holds_latents_near_its_mean() -> None:
    images = noisy_images(8)
    free, held = (
        invert(sampled(), images, Optimisation(steps=200, prior_weight=weight))
        for weight in (0.0, 0.1)
    )
    assert held.mean_square.mean() < 0.7 * free.mean_square.mean()
    assert held.errors.mean() > free.errors.mean()
    np.testing.assert_allclose(free.mean_square, np.square(free.latents).mean(axis=1), rtol=1e-5)


def test_features_are_compared_beside_pixels() -> None:
    images = noisy_images(4)
    how = Optimisation(steps=50, features=features_of(4), feature_weight=1e4)
    with_features = invert(sampled(), images, how)
    without = invert(sampled(), images, replace(how, features=None))

    def distance(latents: NDArray[np.float32]) -> float:
        assert how.features is not None
        network = how.features.network
        with torch.no_grad():
            one, other = (
                network.features(torch.from_numpy(each)) for each in (images_of(latents), images)
            )
        return float((one - other).square().mean())

    assert distance(with_features.latents) < distance(without.latents)
    assert with_features.errors.mean() > without.errors.mean()


@pytest.mark.parametrize(
    ("how", "images", "draws", "said"),
    [
        ({}, (0, 3, 4, 4), 1, r"allowed: \(N, \*\(3, 4, 4\)\), N above 0"),
        ({}, (2, 3, 5, 4), 1, r"images have shape \(2, 3, 5, 4\)"),
        ({}, (2, 3, 4, 4), 0, "draws must be at least 1, not 0"),
        ({"features": 8}, (2, 3, 4, 4), 1, r"the feature network is for images \(3, 8, 8\)"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    how: dict[str, int], images: tuple[int, ...], draws: int, said: str
) -> None:
    optimisation = Optimisation(features=features_of(how["features"]) if how else None)
    shown = np.zeros(images, np.float32)
    with pytest.raises(InversionError, match=said):
        invert(sampled(), shown, optimisation, draws=draws)


def test_numbers_that_cannot_be_optimised_with_are_refused() -> None:
    with pytest.raises(InversionError, match="steps must be at least 0, not -1"):
        Optimisation(steps=-1)
    with pytest.raises(InversionError, match="learning_rate must be above 0, not 0"):
        Optimisation(learning_rate=0)


def test_errors_are_root_mean_squares_as_shares_of_the_range() -> None:
    images = np.zeros((2, 3, 4, 4), np.float32)
    found = images + np.array([1.0, 0.5], np.float32)[:, None, None, None]
    np.testing.assert_allclose(image_errors(found, images, 2.0), [0.5, 0.25])


def test_a_standard_error_is_that_of_many_repetitions() -> None:
    randomness = np.random.default_rng(12)
    images = randomness.standard_normal((50, 1, 2, 2)).astype(np.float32)
    drawn_errors = np.abs(randomness.normal(1.0, 0.2, (4000, 50)))
    sums = [reconstruction_of(each, images, 1.0) for each in drawn_errors]
    spread = np.std([each.error for each in sums])
    assert np.mean([each.error_stderr for each in sums]) == pytest.approx(spread, rel=0.05)


def test_a_share_is_0_for_the_truth_and_1_for_its_mean() -> None:
    truth = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    assert float(unexplained(truth, truth)) == 0.0
    assert float(unexplained(truth.mean(0).expand(40, 3), truth)) == pytest.approx(1.0, rel=1e-5)
    constant = torch.ones(4, 3)
    assert np.isfinite(float(unexplained(constant, constant)))


def noisy_images(seed: int) -> NDArray[np.float32]:
    """Images that no latents make exactly."""
    noise = np.random.default_rng(seed).normal(0, 0.2, (3, 3, 4, 4))
    images: NDArray[np.float32] = (images_of(drawn(seed, 3)) + noise).clip(-1, 1).astype(np.float32)
    return images


def features_of(size: int) -> Features:
    """A network of random weights for images of a size."""
    torch.manual_seed(0)
    data = DataDescription("none", "npz", 0, 0, 0, HeldOutRule.TEST_SET, "")
    config = FeatureConfig(FeatureTask.CIFAR10, ("a", "b"), size, data, 0, 0, 0.0, 0.0, 0, 0)
    return Features(FeatureNetwork(size, 2).eval(), config, "")
