"""Influence jobs in another precision: planned, run, resumed, and told with their deviation.

ONNX Runtime's CPU provider computes a float16 graph with roundings, which is all that these need.
"""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from graftscope.server.engine import Backend, Deviation, Precision
from graftscope.server.engine._precision import CPU
from graftscope.server.jobs import Job, JobState
from job_toys import bench, refs_of

PLAIN, HALF = Backend(CPU), Backend(CPU, Precision.FP16)
BOTH = (PLAIN, HALF)
# Eleven bits a number, and sums of a few dozen of them.
TOLERANCE = 0.02


def told(job: Job) -> dict[str, Any]:
    assert job.result is not None, job.failure
    return cast(dict[str, Any], job.result.scalars)


async def test_float32_is_the_default_and_deviates_only_where_rewrites_reorder_it(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, offers=BOTH) as here:
        scalars = told(await here.done(await here.create()))
    assert (scalars["provider"], scalars["precision"]) == (CPU, "fp32")
    assert ("deviation" in scalars) == bool(scalars["rewrites"])
    assert scalars.get("deviation", {"worst": 0.0})["worst"] < 1e-5


async def test_float16_is_told_with_its_distance_from_float32(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, offers=BOTH) as here:
        plain = await here.done(await here.create())
        half = await here.done(await here.create(precision="fp16"))
        assert half.identity != plain.identity
        assert half.plan["precision"] == told(half)["precision"] == "fp16"
        deviation = Deviation(**told(half)["deviation"])
        maps, expected = (here.arrays(job)["individual"] for job in (half, plain))
    assert (deviation.pairs, deviation.sets) == (8, len(maps))
    assert 0 < deviation.individual_median < TOLERANCE
    assert deviation.individual_median <= deviation.individual_worst < 1
    assert 0 < deviation.worst < TOLERANCE
    np.testing.assert_allclose(maps, expected, rtol=TOLERANCE, atol=TOLERANCE * expected.max())
    assert not np.array_equal(maps, expected)


async def test_auto_is_never_what_ran(toy_vae_bundle: Path, tmp_path: Path) -> None:
    async with bench(toy_vae_bundle, tmp_path, offers=BOTH) as here:
        job = await here.done(await here.create(precision="auto"))
        assert told(job)["precision"] == job.plan["precision"]
        assert told(job)["precision"] in {"fp32", "fp16"}
        again = await here.create(precision="auto")
    assert again.id == job.id


async def test_float16_is_gone_on_with_bit_for_bit(toy_vae_bundle: Path, tmp_path: Path) -> None:
    async with bench(toy_vae_bundle, tmp_path / "whole", workers=1, offers=BOTH) as whole:
        uninterrupted = refs_of(await whole.done(await whole.create(precision="fp16")))
    async with bench(toy_vae_bundle, tmp_path / "part", offers=BOTH) as before:
        before.gate.close_after(2)
        job = await before.create(precision="fp16")
        await before.reached(job, 2)
    async with bench(toy_vae_bundle, tmp_path / "part", offers=BOTH) as after:
        assert refs_of(await after.done(job)) == uninterrupted


@pytest.mark.parametrize("resume", [True, False])
async def test_a_job_whose_precision_is_gone_is_not_gone_on_with_in_another(
    toy_vae_bundle: Path, tmp_path: Path, resume: bool
) -> None:
    async with bench(toy_vae_bundle, tmp_path, offers=BOTH) as before:
        before.gate.close_after(1)
        job = await before.create(precision="fp16")
        await before.reached(job, 1)
    async with bench(toy_vae_bundle, tmp_path, resume=resume, offers=(PLAIN,)) as after:
        assert (await after.done(job)).state is JobState.CANCELLED
