"""Jobs of several principals go on side by side, and whoever asks for one is answered at once."""

import asyncio
import threading
from pathlib import Path

from graftscope.server.jobs import Job, JobState, JobStore
from job_toys import SHARDS, TIMEOUT_S, Bench, bench

MANY = 8


async def jobs_of(here: Bench, share: str, seeds: range) -> list[Job]:
    specs = [here.influence(seed=seed) for seed in seeds]
    return [await here.runner.create(x, model="models/toy-vae", share=share) for x in specs]


async def test_another_principals_job_does_not_wait_for_all_that_one_has_queued(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        here.gate.close_after(1)
        many = await jobs_of(here, "many", range(MANY))
        await asyncio.to_thread(here.gate.hold)
        (one,) = await jobs_of(here, "one", range(100, 101))
        await here.reached(one, 0)
        waiting = [await here.runner.get(job.id) for job in many]
        assert [x.job.state for x in waiting] == [JobState.RUNNING] + [JobState.QUEUED] * (MANY - 1)
        assert [x.jobs_ahead for x in waiting] == list(range(MANY))
        here.gate.open()
        await here.done(one)
        done = [(await here.runner.get(job.id)).job.shards_done for job in many]
        # As many shards as the other's job had, and those that were begun ahead.
        assert sum(done) <= 3 * SHARDS
        for job in many:
            await here.done(job)


async def test_a_job_whose_plan_takes_long_is_answered_at_once_and_has_it_in_its_turn(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, plan_patience_s=0) as here:
        here.gate.close_after(1)
        first, second = await jobs_of(here, "one", range(2))
        assert (first.plan, first.estimate.duration_s) == ({}, None)
        assert first.estimate.hybrids > 0
        here.gate.open()
        ended = [await here.done(job) for job in (first, second)]
        assert all(job.plan and job.estimate.duration_s for job in ended)
        # What was measured for the first is remembered for the second.
        assert ended[0].plan == ended[1].plan
        assert ended[0].estimate == ended[1].estimate


async def test_a_job_goes_on_with_the_plan_that_it_had_in_its_turn(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, plan_patience_s=0) as here:
        (job,) = await jobs_of(here, "one", range(1))
        await here.done(job)
        whole = here.arrays(here.store.get(job.id) or job)
    async with bench(
        toy_vae_bundle, tmp_path / "again", plan_patience_s=0, checkpoint_every_s=0
    ) as here:
        (job,) = await jobs_of(here, "one", range(1))
        here.gate.close_after(2)
        await here.reached(job, 1)
        kept = here.store.get(job.id)
        assert kept is not None
        assert kept.plan
    async with bench(toy_vae_bundle, tmp_path / "again") as here:
        ended = await here.done(job)
        assert ended.plan == kept.plan
        for name, array in here.arrays(ended).items():
            assert (array == whole[name]).all(), name


async def test_jobs_that_wait_end_when_they_are_cancelled(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, plan_patience_s=0) as here:
        here.gate.close_after(1)
        jobs = await jobs_of(here, "many", range(MANY))
        for job in jobs:
            await here.runner.cancel(job.id)
        here.gate.open()
        ended = [await here.done(job) for job in jobs]
        assert {job.state for job in ended} == {JobState.CANCELLED}


class SlowStore(JobStore):
    """Takes its time to keep that a job has begun."""

    begins = threading.Event()
    let_go = threading.Event()

    def update(self, job: Job) -> None:
        if job.state is JobState.RUNNING:
            self.begins.set()
            assert self.let_go.wait(TIMEOUT_S)
        super().update(job)


async def test_a_cancelled_job_is_never_kept_as_one_that_runs(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, store_type=SlowStore) as here:
        (job,) = await jobs_of(here, "one", range(1))
        assert await asyncio.to_thread(SlowStore.begins.wait, TIMEOUT_S)
        await here.runner.cancel(job.id)
        SlowStore.let_go.set()
        assert (await here.done(job)).state is JobState.CANCELLED
        kept = here.store.get(job.id)
        assert kept is not None
        assert kept.state is JobState.CANCELLED


async def test_a_long_specification_is_at_hand_for_whoever_asks_and_compressed_while_it_waits(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, plan_patience_s=0) as here:
        layer = here.generator.manifest.layers[1]
        sets = tuple((c % layer.channels,) for c in range(20_000))
        long = {"sets": sets, "indices": tuple(range(len(sets))), "subject": "interventions"}
        here.gate.close_after(1)
        before = await jobs_of(here, "one", range(2))
        waits = await here.runner.create(
            here.influence(seed=5, **long), model="models/toy-vae", share="one"
        )
        async for snapshot in here.runner.watch(waits.id):
            if snapshot.jobs_ahead:
                break
        assert here.runner._live[waits.id].outline.job.specification == ""
        told = [(await here.runner.get(waits.id)).job, (await here.runner.page(1, 0))[0].job]
        assert {job.specification for job in told} == {waits.specification}
        await here.runner.cancel(waits.id)
        await here.done(waits)
        kept = here.store.get(waits.id)
        assert kept is not None
        assert kept.specification == waits.specification
        here.gate.open()
        for job in before:
            await here.done(job)
