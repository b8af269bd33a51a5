"""What nothing can interrupt ends all the same: its process is killed, and its lane is free."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from graftscope.server.jobs import Job, JobState
from job_toys import Bench, bench
from waiting_toys import until_in_loop

CANCEL_LIMIT_S = 10.0
"""Far below what is cancelled would take; how long it takes is measured by the soak."""
MAPS, K = 1500, 150
"""NMF of so many maps takes minutes, in one call, and half of its start lets no thread run."""


@pytest.fixture
async def here(toy_vae_bundle: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(toy_vae_bundle, tmp_path / "state") as made:
        yield made


async def long_job(here: Bench, kind: str) -> Job:
    maps = np.random.default_rng(0).random((MAPS, 32, 32))
    spec = here.modules(maps, K) if kind == "modules" else here.stability(maps, ks=(K,), repeats=4)
    return await here.runner.create(spec, model="")


def busy(here: Bench) -> int:
    """How many processes are at work."""
    return here.runner._lifecycle._threads.processes.busy


@pytest.mark.parametrize("kind", ["modules", "stability"])
async def test_a_job_inside_one_long_call_is_cancelled_and_the_next_one_runs(
    here: Bench, kind: str
) -> None:
    job = await long_job(here, kind)
    await until_in_loop(lambda: busy(here) > 0)
    started_s = time.monotonic()
    await here.runner.cancel(job.id)
    assert (await here.done(job)).state is JobState.CANCELLED
    await until_in_loop(lambda: busy(here) == 0)
    assert time.monotonic() - started_s < CANCEL_LIMIT_S
    maps = np.random.default_rng(0).random((12, 16, 16))
    for short in (here.modules(maps, 2), here.stability(maps, ks=(2,), repeats=1)):
        assert (await here.done(await here.runner.create(short, model=""))).failure is None


async def test_a_server_ends_at_once_though_a_job_is_inside_one_long_call(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        job = await long_job(here, "modules")
        await until_in_loop(lambda: busy(here) > 0)
        started_s = time.monotonic()
    assert time.monotonic() - started_s < CANCEL_LIMIT_S
    async with bench(toy_vae_bundle, tmp_path, resume=False) as here:
        assert (await here.runner.get(job.id)).job.state is JobState.QUEUED


@pytest.mark.parametrize("starts", [False, True])
async def test_a_caller_who_leaves_while_a_plan_is_measured_leaves_no_work_and_no_job(
    here: Bench, starts: bool
) -> None:
    here.gate.close_after(0)
    ask = here.runner.create if starts else here.runner.plan
    asking = asyncio.ensure_future(ask(here.influence(), model=""))
    await until_in_loop(lambda: here.gate.held > 0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    here.gate.open()
    # Plans are measured one after the other.
    assert (await here.runner.plan(here.influence(seed=9), model="")).plan
    assert await here.runner.page(10, 0) == []
