"""The arithmetic that a training chooses, and what it says of itself before its first step."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from graftscope.training import Stage, TrainPlan, TrainProgress, load_checkpoint, train
from graftscope.training._device import choose_for_processor, choose_precision
from graftscope.training.recipes import RECIPES, Precision

TINY = (
    "architecture.latent_size=6",
    "architecture.base_size=4",
    "architecture.channels=8,4",
    "architecture.strides=2,1",
    "batch_size=4",
    "checkpoint_every=10",
)
LONG = 55
"""Steps that are enough to time one; fewer are left from step 20 on."""


class InterruptedTraining(Exception):
    pass


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8))
    return path


def run(
    images: Path, out: Path, *overrides: str, steps: int, resume: bool = False, until: int = 0
) -> TrainPlan:
    """Train for some steps, or up to one of them, and return the plan."""
    plans: list[TrainPlan] = []

    def stop(progress: TrainProgress) -> None:
        if progress.stage is Stage.TRAINING and progress.step == until > 0:
            raise InterruptedTraining

    changes = (*TINY, *overrides)
    arguments = {"steps": steps, "resume": resume, "overrides": changes}
    try:
        train("vae-celeba", images, out, **arguments, on_plan=plans.append, on_progress=stop)  # type: ignore[arg-type]
    except InterruptedTraining:
        assert until
    (plan,) = plans
    return plan


@pytest.mark.parametrize(
    ("capabilities", "precision", "reason"),
    [
        ({"avx512_f": True, "avx512_bf16": True}, Precision.BFLOAT16, "has avx512_bf16"),
        ({"avx512_bf16": True, "amx_bf16": True}, Precision.BFLOAT16, "has amx_bf16, avx512_bf16"),
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, Precision.FLOAT32, "no instruc"),
        ({"cpu_name": "with bf16 in its name"}, Precision.FLOAT32, "no instructions"),
        ({}, Precision.FLOAT32, "cannot tell"),
    ],
)
def test_bfloat16_is_chosen_where_the_processor_has_instructions_for_it(
    capabilities: Mapping[str, object], precision: Precision, reason: str
) -> None:
    chosen = choose_for_processor(capabilities)
    assert chosen.precision is precision
    assert reason in chosen.reason


def test_the_plan_says_what_was_chosen_and_the_checkpoint_keeps_it(
    images: Path, tmp_path: Path
) -> None:
    assert RECIPES["vae-celeba"].precision is Precision.AUTO
    here = choose_precision()
    plan = run(images, tmp_path / "auto", steps=2)
    assert (plan.precision, plan.reason) == (here.precision.value, here.reason)
    assert (plan.steps, plan.expected_s) == (2, None)
    assert load_checkpoint(tmp_path / "auto").config.recipe.precision is here.precision

    asked = run(images, tmp_path / "asked", "precision=float32", steps=2)
    assert (asked.precision, asked.reason) == ("float32", "as was asked")


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
def test_a_resumed_training_keeps_to_its_arithmetic_whatever_the_processor_has(
    images: Path, tmp_path: Path, precision: Precision
) -> None:
    run(images, tmp_path, f"precision={precision.value}", steps=20, until=11)
    resumed = run(images, tmp_path, steps=20, resume=True)
    assert (resumed.precision, resumed.reason) == (precision.value, "as the training began")
    assert load_checkpoint(tmp_path).config.recipe.precision is precision


@pytest.mark.soak
def test_the_step_that_is_tried_first_tells_a_time_and_changes_no_weight(
    images: Path, tmp_path: Path
) -> None:
    tried = run(images, tmp_path / "tried", steps=LONG)
    assert tried.expected_s is not None
    assert tried.expected_s > 0
    # Interrupted where fewer steps are left than are worth a trial.
    run(images, tmp_path / "resumed", steps=LONG, until=21)
    untried = run(images, tmp_path / "resumed", steps=LONG, resume=True)
    assert untried.expected_s is None
    states = (
        load_file(tmp_path / name / "state/latest.safetensors") for name in ("tried", "resumed")
    )
    first, second = states
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
