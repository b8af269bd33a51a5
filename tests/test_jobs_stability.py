"""A stability job gives what the function gives, tells how far it is, and stops when asked."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from graftscope.server.analysis import Method, features_of, stability
from graftscope.server.jobs import Job, JobState
from job_toys import Bench, bench

CANCEL_LIMIT_S = 10.0
"""Far below what is cancelled would take; how long it takes is measured by the soak."""
MAPS = np.random.default_rng(0).random((15, 12, 12))
METHODS = (Method.NMF, Method.KMEANS)


@pytest.fixture
async def here(toy_vae_bundle: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(toy_vae_bundle, tmp_path / "state") as made:
        yield made


def long_maps() -> NDArray[np.float64]:
    return np.random.default_rng(1).random((48, 32, 32))


async def create(here: Bench, maps: NDArray[np.float64], **changes: object) -> Job:
    return await here.runner.create(here.stability(maps, **changes), model="")


async def long_job(here: Bench) -> Job:
    """A job of thousands of comparisons, once it has made some."""
    job = await create(here, long_maps(), ks=(10,), repeats=1000)
    await here.reached(job, 1)
    return job


async def test_a_job_gives_what_the_function_gives(here: Bench) -> None:
    job = await here.done(await create(here, MAPS, seed=3))
    # NMF's path depends on how many threads BLAS sums with.
    with threadpool_limits(1, user_api="blas"):
        expected = stability(features_of(MAPS), (2, 3), METHODS, 5, 3)
    found = here.arrays(job)
    np.testing.assert_array_equal(found.pop("k"), expected.ks)
    assert set(found) == {"consistency", "cosine", "chance"}
    np.testing.assert_array_equal(found["consistency"], expected.consistency)
    np.testing.assert_array_equal(found["chance"], expected.chance)
    np.testing.assert_allclose(found["cosine"], expected.cosine, rtol=1e-12)
    assert job.result is not None
    scalars = job.result.scalars
    assert (scalars["methods"], scalars["channels"]) == (["nmf", "kmeans"], 15)
    suggested = scalars["suggested"]
    assert isinstance(suggested, list)
    fields = [each for each in suggested if isinstance(each, dict)]
    told = [(each["method"], each["k"], each["reason"]) for each in fields]
    assert told == [(each.method.value, each.k, each.reason) for each in expected.suggested]


async def test_progress_counts_up_to_the_number_of_comparisons(here: Bench) -> None:
    job = await create(here, MAPS)
    assert job.shards_total == 2 * 2 * 5
    seen = [snapshot async for snapshot in here.runner.watch(job.id)]
    done = [snapshot.job.shards_done for snapshot in seen]
    assert done == sorted(done)
    assert done[-1] == job.shards_total
    between = [x for x in seen if 0 < x.job.shards_done < job.shards_total]
    assert between
    assert all(x.eta_s is not None and x.eta_s > 0 for x in between if not x.job.state.ended)


async def test_a_job_that_runs_is_cancelled_soon(here: Bench) -> None:
    job = await long_job(here)
    started = time.monotonic()
    await here.runner.cancel(job.id)
    cancelled = await here.done(job)
    assert time.monotonic() - started < CANCEL_LIMIT_S
    assert cancelled.state is JobState.CANCELLED
    assert 0 < cancelled.shards_done < cancelled.shards_total


async def test_a_cancelled_job_holds_up_neither_the_next_one_nor_the_end(here: Bench) -> None:
    job = await long_job(here)
    await here.runner.cancel(job.id)
    short = await create(here, MAPS)
    assert (await here.done(short)).state is JobState.DONE
    assert (await here.done(job)).state is JobState.CANCELLED


async def test_a_job_that_the_server_stopped_starts_anew_with_the_same_result(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        expected = before.arrays(await before.done(await create(before, MAPS, repeats=20)))
    async with bench(toy_vae_bundle, tmp_path / "other") as before:
        job = await create(before, MAPS, repeats=20)
        await before.reached(job, 1)
    async with bench(toy_vae_bundle, tmp_path / "other") as after:
        found = after.arrays(await after.done(job))
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-12, err_msg=name)


async def test_flat_maps_are_counted_as_done_although_they_take_no_part(here: Bench) -> None:
    maps = np.concatenate([MAPS[:9], np.zeros((6, 12, 12))])
    job = await here.done(await create(here, maps, ks=(), repeats=2))
    assert here.arrays(job)["k"].tolist() == [2, 3, 4, 5, 6]
    assert job.shards_done == job.shards_total == 2 * 9 * 2


async def test_numbers_that_no_run_can_have_fail_the_job_with_the_range(here: Bench) -> None:
    failed = await here.done(await create(here, MAPS, ks=(2, 11)))
    assert failed.state is JobState.FAILED
    assert failed.failure is not None
    assert failed.failure.reason == "K_TOO_LARGE"
    assert "so K is 2 to 10" in failed.failure.message


async def test_influence_goes_on_beside_a_stability_job(here: Bench) -> None:
    job = await long_job(here)
    influence, _ = await asyncio.gather(here.create(), here.runner.get(job.id))
    assert (await here.done(influence)).state is JobState.DONE
    assert not (await here.runner.get(job.id)).job.state.ended
