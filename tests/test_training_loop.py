"""The loop: resumption bit for bit, seeds, progress, curves, pictures and refusals.

The networks are tiny and the images synthetic; precision, memory format and schedule are those
of the real recipes.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from graftscope.training import Stage, TrainProgress, train
from graftscope.training._learners import learning_rate_share
from graftscope.training._randomness import batch_positions
from graftscope.training.errors import (
    CheckpointError,
    CheckpointExistsError,
    CheckpointNotFoundError,
    DivergedError,
    MissingExtraError,
    RecipeError,
    ResumeMismatchError,
)
from graftscope.training.progress import ignore_progress
from graftscope.training.recipes import Schedule

TINY = (
    "architecture.latent_size=6",
    "architecture.base_size=4",
    "architecture.channels=8,4",
    "architecture.strides=2,1",
    "architecture.encoder_channels=none",
    "batch_size=4",
    "report_every=1",
    "checkpoint_every=4",
    "sample_every=5",
)
STEPS = 10

both_objectives = pytest.mark.parametrize("recipe", ["vae-celeba", "gan-celeba"])


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
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8))
    return path


def interrupt_after(step: int) -> Callable[[TrainProgress], None]:
    def on_progress(progress: TrainProgress) -> None:
        if progress.stage is Stage.TRAINING and progress.step == step:
            raise InterruptedTraining

    return on_progress


def changed(usual: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """The usual settings, and in place of some of them others."""
    keyed = {each.partition("=")[0]: each for each in (*usual, *overrides)}
    return list(keyed.values())


def run(
    recipe: str,
    images: Path,
    out: Path,
    *overrides: str,
    on_progress: Callable[[TrainProgress], None] = ignore_progress,
    seed: int = 0,
    steps: int = STEPS,
    resume: bool = False,
) -> Path:
    train(
        recipe,
        images,
        out,
        steps=steps,
        seed=seed,
        resume=resume,
        overrides=changed(TINY, overrides),
        on_progress=on_progress,
    )
    return out


def read_curves(folder: Path) -> list[dict[str, str]]:
    """Every column but the rate, which no two runs share."""
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{name: row[name] for name in row if name != "images_per_s"} for row in rows]


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "state/latest.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@both_objectives
def test_a_resumed_training_ends_in_the_same_bits(
    recipe: str, images: Path, tmp_path: Path
) -> None:
    straight = run(recipe, images, tmp_path / "straight")
    with pytest.raises(InterruptedTraining):
        run(recipe, images, tmp_path / "broken", on_progress=interrupt_after(7))

    resumed = run(recipe, images, tmp_path / "broken", resume=True)

    assert same_weights(straight, resumed)
    assert read_curves(straight) == read_curves(resumed)
    originals = [path.read_bytes() for path in tmp_path.glob("*/originals.safetensors")]
    assert len(set(originals)) == (1 if recipe.startswith("vae") else 0)


def test_a_training_can_be_resumed_before_its_first_step(images: Path, tmp_path: Path) -> None:
    straight = run("vae-celeba", images, tmp_path / "straight")
    with pytest.raises(InterruptedTraining):
        run("vae-celeba", images, tmp_path / "broken", on_progress=interrupt_after(1))

    assert same_weights(straight, run("vae-celeba", images, tmp_path / "broken", resume=True))


@pytest.mark.parametrize("leaves_an_empty_file", [True, False])
def test_a_training_can_be_resumed_before_its_first_row_of_curves(
    images: Path, tmp_path: Path, leaves_an_empty_file: bool
) -> None:
    straight = run("vae-celeba", images, tmp_path / "straight", "report_every=5")
    broken = tmp_path / "broken"
    with pytest.raises(InterruptedTraining):
        run("vae-celeba", images, broken, "report_every=5", on_progress=interrupt_after(2))
    curves = broken / "metrics.csv"
    assert curves.read_bytes() == b""
    if not leaves_an_empty_file:
        curves.unlink()

    resumed = run("vae-celeba", images, broken, "report_every=5", resume=True)

    assert same_weights(straight, resumed)
    assert read_curves(straight) == read_curves(resumed)


@both_objectives
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    recipe: str, images: Path, tmp_path: Path
) -> None:
    one, two, other = (
        run(recipe, images, tmp_path / name, seed=seed, steps=2)
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )

    assert same_weights(one, two)
    assert not same_weights(one, other)


@both_objectives
def test_a_training_changes_every_network(recipe: str, images: Path, tmp_path: Path) -> None:
    with pytest.raises(InterruptedTraining):
        run(recipe, images, tmp_path, on_progress=interrupt_after(1))
    before = load_file(tmp_path / "state/latest.safetensors")

    after = load_file(run(recipe, images, tmp_path, resume=True) / "state/latest.safetensors")

    # The first singular vector of a map to one logit is the number 1, whatever its weights.
    weights = [
        name
        for name in before
        if name.startswith("network.") and "weight" in name and not name.endswith("._u")
    ]
    assert len(weights) > 5
    assert [name for name in weights if torch.equal(before[name], after[name])] == []


def test_a_vae_learns_to_tell_images_apart(tmp_path: Path) -> None:
    shades = np.arange(0, 256, 16, dtype=np.uint8)
    images = np.broadcast_to(shades[:, None, None, None], (len(shades), 8, 8, 3))
    np.savez(tmp_path / "shades.npz", images=images)

    out = run(
        "vae-celeba", tmp_path / "shades.npz", tmp_path / "run", "learning_rate=0.01", steps=150
    )

    errors = [float(row["reconstruction_mse"]) for row in read_curves(out)]
    # No network that gives every image the same reconstruction has an error below the variance.
    assert np.mean(errors[-20:]) < 0.5 * (shades / 127.5 - 1).var()


def test_without_a_number_of_steps_every_epoch_is_trained(images: Path, tmp_path: Path) -> None:
    result = train("vae-celeba", images, tmp_path, overrides=(*TINY, "epochs=3"))

    # 18 of 20 images are trained on, which fill four batches of four.
    assert (result.metrics.trained_on, result.metrics.held_out) == (18, 2)
    assert result.metrics.steps == 3 * 4


def test_progress_counts_up_with_a_rate_and_an_end(images: Path, tmp_path: Path) -> None:
    reports: list[TrainProgress] = []

    run("vae-celeba", images, tmp_path, on_progress=reports.append)

    training = [report for report in reports if report.stage is Stage.TRAINING]
    start, *steps = training
    assert (start.step, start.images_per_s, start.eta_s, start.losses) == (0, 0, None, {})
    assert [report.step for report in steps] == list(range(1, STEPS + 1))
    assert {report.steps for report in training} == {STEPS}
    assert [report.epoch for report in steps] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert all(report.images_per_s > 0 for report in steps)
    assert steps[0].eta_s is not None
    assert steps[0].eta_s > 0
    assert steps[-1].eta_s == 0
    assert set(steps[0].losses) == {"loss", "reconstruction_mse", "kl"}
    measuring = [report for report in reports if report.stage is Stage.MEASURING]
    assert (measuring[-1].step, measuring[-1].steps) == (20, 20)


def test_progress_says_what_a_resumption_would_go_on_from(images: Path, tmp_path: Path) -> None:
    reports: list[TrainProgress] = []
    with pytest.raises(InterruptedTraining):
        run("vae-celeba", images, tmp_path, on_progress=interrupt_after(6))

    run("vae-celeba", images, tmp_path, on_progress=reports.append, resume=True)

    saved = [(report.stage, report.step, report.saved_step) for report in reports]
    assert saved[0] == (Stage.DECODING, 20, None)
    training = [(step, saved_step) for stage, step, saved_step in saved if stage is Stage.TRAINING]
    assert training == [(4, 4), (5, 4), (6, 4), (7, 4), (8, 8), (9, 8), (10, 10)]
    assert saved[-1] == (Stage.MEASURING, 20, STEPS)


def test_every_step_is_reported_however_seldom_the_curves_get_a_row(
    images: Path, tmp_path: Path
) -> None:
    reports: list[TrainProgress] = []

    run("gan-celeba", images, tmp_path, "report_every=4", on_progress=reports.append)

    steps = [report.step for report in reports if report.stage is Stage.TRAINING]
    assert steps == list(range(STEPS + 1))
    rows = read_curves(tmp_path)
    assert [row["step"] for row in rows] == ["4", "8", "10"]
    assert set(rows[0]) == {"step", "epoch", "generator_loss", "discriminator_loss"}


def test_samples_and_reconstructions_are_drawn_while_it_runs(images: Path, tmp_path: Path) -> None:
    run("vae-celeba", images, tmp_path)

    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == [
        "000005-reconstructions.png",
        "000005.png",
        "000010-reconstructions.png",
        "000010.png",
    ]
    with Image.open(tmp_path / "samples/000010.png") as grid:
        assert grid.size == (8 * (8 + 2) - 2, 8 * (8 + 2) - 2)


def test_looking_at_samples_does_not_change_the_training(images: Path, tmp_path: Path) -> None:
    often = run("gan-celeba", images, tmp_path / "often", "sample_every=1")
    seldom = run("gan-celeba", images, tmp_path / "seldom", "sample_every=100")

    assert same_weights(often, seldom)


def test_every_epoch_shows_every_image_once_in_an_order_of_its_own() -> None:
    epochs = [
        torch.cat([batch_positions(3, 4 * epoch + batch, 16, 4) for batch in range(4)]).tolist()
        for epoch in range(2)
    ]

    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(16))
    assert epochs[0] != epochs[1]


def test_cosine_schedule_falls_from_one_towards_nothing() -> None:
    shares = [learning_rate_share(Schedule.COSINE, step, 100) for step in (0, 50, 99)]

    assert shares == [1.0, pytest.approx(0.5), pytest.approx(0.0, abs=3e-4)]
    assert learning_rate_share(Schedule.CONSTANT, 99, 100) == 1.0


def test_skipped_images_are_listed_in_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(1, 9):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    (folder / "9.png").write_bytes(b"damaged")

    result = train("vae-celeba", folder, tmp_path / "run", steps=1, overrides=TINY)

    assert [image.name for image in result.skipped] == ["9.png"]
    assert result.metrics.skipped == 1
    rows = (tmp_path / "run/skipped.csv").read_text().splitlines()
    assert rows == ["name,reason", "9.png,not an image of a known format"]


def test_resuming_as_another_training_is_refused_by_the_difference(
    images: Path, tmp_path: Path
) -> None:
    run("vae-celeba", images, tmp_path)

    with pytest.raises(ResumeMismatchError, match=r"recipe\.batch_size was 4 and is now 5"):
        run("vae-celeba", images, tmp_path, "batch_size=5", resume=True)
    with pytest.raises(ResumeMismatchError, match=r"architecture\.latent_size was 6 and is now 7"):
        run("vae-celeba", images, tmp_path, "architecture.latent_size=7", resume=True)
    with pytest.raises(ResumeMismatchError, match="seed was 0 and is now 1"):
        run("vae-celeba", images, tmp_path, seed=1, resume=True)
    with pytest.raises(ResumeMismatchError, match=r"\(--steps\) was 10 and is now 12; .* cosine"):
        run("vae-celeba", images, tmp_path, steps=12, resume=True)
    with pytest.raises(ResumeMismatchError, match="name was 'vae-celeba' and is now 'gan-celeba'"):
        run("gan-celeba", images, tmp_path, resume=True)


def test_resuming_with_other_images_is_refused(images: Path, tmp_path: Path) -> None:
    run("vae-celeba", images, tmp_path / "run")
    with np.load(images) as arrays:
        np.savez(tmp_path / "images.npz", images=255 - arrays["images"])

    with pytest.raises(ResumeMismatchError, match=r"data\.digest was"):
        run("vae-celeba", tmp_path / "images.npz", tmp_path / "run", resume=True)


def test_nothing_to_resume_is_an_error(images: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError, match="no training to resume in"):
        run("vae-celeba", images, tmp_path, resume=True)


def test_a_training_is_not_overwritten(images: Path, tmp_path: Path) -> None:
    run("vae-celeba", images, tmp_path, steps=1)

    with pytest.raises(CheckpointExistsError, match="already holds a training"):
        run("vae-celeba", images, tmp_path, steps=1)


def test_a_truncated_state_is_an_error(images: Path, tmp_path: Path) -> None:
    run("vae-celeba", images, tmp_path, steps=1)
    state = tmp_path / "state/latest.safetensors"
    state.write_bytes(state.read_bytes()[:-100])

    with pytest.raises(CheckpointError, match=r"latest\.safetensors is damaged"):
        run("vae-celeba", images, tmp_path, steps=1, resume=True)


def test_a_diverging_training_stops_with_its_losses(images: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"diverged: .*loss"):
        run("vae-celeba", images, tmp_path, "learning_rate=1e30")


def test_wrong_arguments_are_refused_before_anything_is_written(
    images: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="steps must be at least 1, not 0"):
        run("vae-celeba", images, tmp_path, steps=0)
    with pytest.raises(RecipeError, match="seed must be at least 0, not -1"):
        run("vae-celeba", images, tmp_path, seed=-1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(find_spec("tensorboard") is not None, reason="TensorBoard is installed")
def test_tensorboard_without_the_library_says_what_to_install(images: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match="pip install tensorboard"):
        run("vae-celeba", images, tmp_path, "tensorboard=true")
    assert not (tmp_path / "state").exists()


@both_objectives
def test_weights_that_the_last_step_ruins_leave_the_saved_state_as_it_was(
    recipe: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state/latest.safetensors"
    saved: list[bytes] = []

    def keep(progress: TrainProgress) -> None:
        if progress.saved_step is not None:
            saved.append(state.read_bytes())

    step = torch.optim.Adam.step

    def ruin(self: torch.optim.Adam) -> None:
        step(self)
        with torch.no_grad():
            self.param_groups[0]["params"][0].fill_(torch.nan)

    monkeypatch.setattr(torch.optim.Adam, "step", ruin)
    with pytest.raises(DivergedError, match="diverged"):
        run(recipe, images, tmp_path, steps=1, on_progress=keep)

    assert [state.read_bytes()] == saved
    for name in ("config.json", "metrics.json"):
        assert not (tmp_path / name).exists()


def test_what_cannot_be_measured_leaves_no_checkpoint(images: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="diverged"):
        run("vae-celeba", images, tmp_path, "learning_rate=1e30", steps=1)
    assert not (tmp_path / "metrics.json").exists()
