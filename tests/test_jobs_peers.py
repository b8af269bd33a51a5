"""Servers of one database see each other live by their beats, and take up what nobody holds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graftscope.server.errors import NotReady, StoreUnavailable
from graftscope.server.jobs import MOST_CRASHES, Job, JobState, parse_spec
from graftscope.server.jobs._peers import Observer
from graftscope.server.jobs._store import Hold, Progress
from job_toys import TIMEOUT_S, Bench, bench, refs_of
from postgres_toys import Postgres

LEASE_S = 10.0
SHORT_LEASE_S = 0.6


class Clock:
    """Shows what a test says."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def hold(job_id: str = "a", *, server: str = "other", fence: int = 1, beat: int = 0) -> Hold:
    return Hold(job_id, JobState.RUNNING, server, fence, beat, False, Progress())


def looks(observer: Observer, clock: Clock, holds: list[Hold], seconds: float) -> list[Hold]:
    """What is free after so many seconds of looking at the same holds."""
    free = observer.free(holds)
    for _ in range(round(seconds)):
        clock.now_s += 1.0
        free = observer.free(holds)
    return free


def test_what_nobody_holds_is_free_at_once() -> None:
    free = hold("b", server="")
    assert Observer(LEASE_S, Clock()).free([hold(), free]) == [free]


def test_a_beat_that_stands_still_for_a_lease_is_a_servers_end() -> None:
    clock = Clock()
    observer = Observer(LEASE_S, clock)
    assert looks(observer, clock, [hold()], LEASE_S - 1) == []
    assert looks(observer, clock, [hold()], 1) == [hold()]


@pytest.mark.parametrize("change", [{"beat": 1}, {"fence": 2}])
def test_whoever_is_heard_again_has_a_whole_lease(change: dict[str, int]) -> None:
    clock = Clock()
    observer = Observer(LEASE_S, clock)
    looks(observer, clock, [hold()], LEASE_S - 1)
    heard = replace(hold(), **change)  # type: ignore[arg-type]
    assert looks(observer, clock, [heard], LEASE_S - 1) == []
    assert looks(observer, clock, [heard], 1) == [heard]


@pytest.mark.parametrize("away_s", [6.0, 3600.0, 10**6])
def test_who_has_not_looked_for_long_takes_nothing_from_those_it_did_not_see(away_s: float) -> None:
    # It was frozen, or the database was gone, and nobody could raise a beat.
    clock = Clock()
    observer = Observer(LEASE_S, clock)
    looks(observer, clock, [hold()], LEASE_S - 1)
    clock.now_s += away_s
    assert looks(observer, clock, [hold()], LEASE_S - 1) == []
    assert looks(observer, clock, [hold()], 1) == [hold()]


def fall(here: Bench, job: Job, crashes: int) -> None:
    """Leaves a job as a process does that ends while it runs, for so many times before."""
    stored = here.store.get(job.id)
    assert stored is not None
    fallen = {"state": JobState.RUNNING, "server": "ended", "crashes": crashes}
    here.store.update(replace(stored, result=None, ended_s=None, expires_s=None, **fallen))  # type: ignore[arg-type]


async def begun(here: Bench) -> Job:
    """A job that has begun, and waits."""
    here.gate.close_after(1)
    job = await here.create()
    await here.reached(job, 1)
    return job


async def test_a_job_that_keeps_ending_its_process_fails_and_says_so(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        job = await begun(before)
        await before.stop()
        fall(before, job, MOST_CRASHES - 1)
    async with bench(toy_vae_bundle, tmp_path) as after:
        failed = (await after.runner.get(job.id)).job
        assert failed.failure is not None
        assert failed.failure.reason == "JOB_KEEPS_CRASHING"
        assert f"ended {MOST_CRASHES} times while operations/{job.id} ran" in failed.failure.message
        # Whoever asks again has it tried again.
        again = await after.done(await after.create())
        assert (again.state, again.crashes) == (JobState.DONE, 0)


async def test_a_job_that_ended_its_process_less_often_goes_on(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        job = await begun(before)
        await before.stop()
        fall(before, job, MOST_CRASHES - 2)
    async with bench(toy_vae_bundle, tmp_path) as after:
        ended = await after.done(job)
        assert (ended.state, ended.attempts) == (JobState.DONE, 2)


async def test_of_jobs_that_may_have_ended_the_process_one_at_a_time_runs(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    maps = np.random.default_rng(0).random((6, 8, 8))
    async with bench(toy_vae_bundle, tmp_path) as before:
        first = await begun(before)
        second = await before.done(await before.runner.create(before.modules(maps, 2), model=""))
        await before.stop()
        for job in (first, second):
            fall(before, job, 0)
    async with bench(toy_vae_bundle, tmp_path, closed_after=0) as after:
        await after.reached(first, 0)
        assert (await after.runner.get(second.id)).job.state is JobState.QUEUED
        innocent = await after.runner.create(after.modules(maps, 3), model="")
        assert (await after.done(innocent)).state is JobState.DONE
        after.gate.open()
        for snapshot in await after.runner.page(10, 0):
            assert (await after.done(snapshot.job)).state is JobState.DONE


@asynccontextmanager
async def two(
    bundle: Path, state: Path, postgres: Postgres, checkpoint_every_s: float = 5.0
) -> AsyncIterator[tuple[Bench, Bench]]:
    """Two runners of one database."""
    url = postgres.new_database()
    async with (
        bench(
            bundle,
            state,
            url=url,
            lease_s=SHORT_LEASE_S,
            checkpoint_every_s=checkpoint_every_s,
        ) as one,
        bench(bundle, state, url=url, lease_s=SHORT_LEASE_S) as other,
    ):
        yield one, other


async def test_both_servers_asked_for_the_same_at_once_start_one_job(
    toy_vae_bundle: Path, tmp_path: Path, postgres: Postgres
) -> None:
    async with two(toy_vae_bundle, tmp_path, postgres) as (one, other):
        mine, others = await asyncio.gather(one.create(), other.create())
        assert mine.id == others.id
        assert refs_of(await one.done(mine)) == refs_of(await other.done(mine))
        assert len(await one.runner.page(10, 0)) == 1


async def test_a_job_elsewhere_is_told_of_watched_and_cancelled(
    toy_vae_bundle: Path, tmp_path: Path, postgres: Postgres
) -> None:
    async with two(toy_vae_bundle, tmp_path, postgres) as (one, other):
        one.gate.close_after(2)
        job = await one.create()
        seen = await asyncio.wait_for(other.reached(job, 2), TIMEOUT_S)
        assert seen.job.state is (await other.runner.get(job.id)).job.state is JobState.RUNNING
        watching = [asyncio.ensure_future(other.done(job)) for _ in range(3)]
        await other.runner.cancel(job.id)
        while not one.runner._live[job.id].cancelling:
            await asyncio.sleep(0.02)
        one.gate.open()
        assert [x.state for x in await asyncio.gather(*watching)] == [JobState.CANCELLED] * 3
        # The same request goes on with it, at whichever server.
        again = await other.create()
        assert (again.id != job.id, again.shards_done) == (True, 2)
        assert (await one.done(again)).state is JobState.DONE


async def test_what_a_job_elsewhere_has_come_to_is_that_of_its_last_checkpoint(
    toy_vae_bundle: Path, tmp_path: Path, postgres: Postgres
) -> None:
    async with two(toy_vae_bundle, tmp_path, postgres, checkpoint_every_s=0.0) as (one, other):
        # The plan is measured with the first pairs: once it is known, none of them is needed.
        await one.done(await one.create(seed=9))
        one.gate.close_after(0)
        job = await one.create()
        with pytest.raises(NotReady, match="none of its 4 shards"):
            await other.runner.so_fars.of(job)
        one.gate.close_after(3)
        here = (await one.reached(job, 3)).sums
        assert here is not None
        while True:  # Its last checkpoint is written after the shard is told of.
            there = await other.runner.so_fars.of(job)
            if there.sums.shards == 3:
                break
        assert there.from_checkpoint
        np.testing.assert_array_equal(there.sums.map_estimate.mean, here.map_estimate.mean)
        await one.runner.cancel(job.id)
        one.gate.open()
        await one.done(job)


async def test_what_a_silent_server_writes_late_is_refused(
    toy_vae_bundle: Path, tmp_path: Path, postgres: Postgres
) -> None:
    async with two(toy_vae_bundle, tmp_path, postgres) as (one, other):
        one.gate.close_after(2)
        job = await one.create()
        await one.reached(job, 2)
        watching = asyncio.ensure_future(other.done(job))
        # It falls silent, and looks at nothing either.
        assert one.runner._watching_peers is not None
        one.runner._watching_peers.cancel()
        while (taken := other.store.get(job.id)) is None or taken.fence == job.fence:
            await asyncio.sleep(0.02)
        one.gate.open()
        ended = await watching
        while job.id in one.runner._live:
            await asyncio.sleep(0.02)
        assert one.store.get(job.id) == ended
        assert (ended.state, ended.fence, ended.attempts) == (JobState.DONE, 2, 2)


async def test_a_server_that_stops_lets_its_jobs_go_at_once(
    toy_vae_bundle: Path, tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.new_database()
    async with bench(toy_vae_bundle, tmp_path, url=url, lease_s=600.0) as other:
        async with bench(toy_vae_bundle, tmp_path, url=url, lease_s=600.0) as one:
            one.gate.close_after(2)
            job = await one.create()
            await one.reached(job, 2)
            waiting = asyncio.ensure_future(other.done(job))
            await asyncio.sleep(0)
        ended = await asyncio.wait_for(waiting, TIMEOUT_S)
        assert (ended.state, ended.attempts, ended.crashes) == (JobState.DONE, 2, 0)


async def test_while_the_database_is_gone_jobs_go_on_and_calls_are_told_when_to_ask(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, checkpoint_every_s=0.0) as here:
        here.gate.close_after(1)
        job = await here.create()
        await here.reached(job, 1)
        file = tmp_path / "jobs.db"
        file.rename(tmp_path / "away.db")
        with pytest.raises(StoreUnavailable):
            await here.create(seed=2)
        assert (await here.runner.get(job.id)).job.state is JobState.RUNNING
        here.gate.open()
        waiting = asyncio.ensure_future(here.done(job))
        while (await here.runner.get(job.id)).job.shards_done < job.shards_total:
            await asyncio.sleep(0.02)
        assert not (await here.runner.get(job.id)).job.state.ended
        (tmp_path / "away.db").rename(file)
        assert (await waiting).state is JobState.DONE
        assert here.store.get(job.id) == await waiting


async def test_what_a_job_needs_goes_on_where_another_server_was_asked_for_it(
    toy_vae_bundle: Path, tmp_path: Path, postgres: Postgres
) -> None:
    async with two(toy_vae_bundle, tmp_path, postgres) as (one, other):
        one.gate.close_after(1)
        whole = await one.runner.create(one.magnitude(), model="")
        while len(jobs := await one.runner.page(10, 0)) == 1:
            await asyncio.sleep(0.02)
        (needed,) = (x.job for x in jobs if x.job.id != whole.id)
        assert not needed.wanted
        asked = await other.runner.create(parse_spec(needed.specification), model="")
        assert asked.id == needed.id
        await one.runner.cancel(whole.id)
        one.gate.open()
        assert (await one.done(whole)).state is JobState.CANCELLED
        assert (await other.done(asked)).state is JobState.DONE
