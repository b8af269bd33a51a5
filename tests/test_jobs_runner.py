"""Jobs are interrupted, resumed, shared, watched and refused; their bits never depend on it."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graftscope.server.engine import SHARD_PAIRS
from graftscope.server.errors import Conflict, NotFound, NotReady, ServerStopping, StoreUnavailable
from graftscope.server.jobs import ArrayRef, Job, JobState, JobStore, ModulesSpec, Retention
from job_toys import PAIRS, SHARDS, TIMEOUT_S, Bench, bench, refs_of

CANCEL_LIMIT_S = 10.0
"""Far below what is cancelled would take; how long it takes is measured by the soak."""
# A batch of another size may be added up in another order.
TOLERANCE = 1e-6


@pytest.fixture
async def here(toy_vae_bundle: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(toy_vae_bundle, tmp_path / "state") as made:
        yield made


@pytest.fixture(scope="session")
def uninterrupted(
    toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, ArrayRef]:
    """The result arrays of the job that other tests interrupt."""

    async def run() -> dict[str, ArrayRef]:
        async with bench(toy_vae_bundle, tmp_path_factory.mktemp("whole"), workers=1) as whole:
            return refs_of(await whole.done(await whole.create()))

    return asyncio.run(run())


def stored_job(state: Path, job_id: str) -> Job:
    """A job as it is kept."""
    with closing(JobStore(f"sqlite:///{state / 'jobs.db'}")) as store:
        job = store.get(job_id)
    assert job is not None
    return job


async def files(here: Bench) -> list[str]:
    return sorted(path.name for path in here.checkpoints.iterdir())


@pytest.mark.parametrize("workers", [1, 2, 3])
async def test_any_number_of_workers_gives_the_same_bits(
    toy_vae_bundle: Path, tmp_path: Path, uninterrupted: dict[str, ArrayRef], workers: int
) -> None:
    async with bench(toy_vae_bundle, tmp_path, workers=workers) as here:
        assert refs_of(await here.done(await here.create())) == uninterrupted


async def test_sums_over_shards_are_those_of_the_pairs_one_by_one(here: Bench) -> None:
    pairs = SHARD_PAIRS + 3
    whole = here.arrays(await here.done(await here.create(pairs=pairs)))
    single = [
        here.arrays(await here.done(await here.create(first=index, pairs=1)))
        for index in range(pairs)
    ]
    maps = np.stack([one["maps"] for one in single])
    means = np.stack([one["individual"] for one in single])
    expected = {
        "maps": maps.mean(axis=0),
        "stderr": maps.std(axis=0, ddof=1) / np.sqrt(pairs),
        "individual": means.mean(axis=0),
        "individual_stderr": means.std(axis=0, ddof=1) / np.sqrt(pairs),
    }
    for name, array in expected.items():
        np.testing.assert_allclose(whole[name], array, rtol=0, atol=TOLERANCE, err_msg=name)
    assert all(np.isnan(one["stderr"]).all() for one in single)


@pytest.mark.parametrize("shards", range(SHARDS))
async def test_a_job_that_was_cancelled_goes_on_at_the_next_request(
    here: Bench, uninterrupted: dict[str, ArrayRef], shards: int
) -> None:
    here.gate.close_after(max(1, shards))
    job = await here.create()
    await here.reached(job, shards)
    await here.runner.cancel(job.id)
    here.gate.open()
    cancelled = await here.done(job)
    assert cancelled.state is JobState.CANCELLED
    again = await here.create()
    assert again.id != job.id
    assert again.shards_done == cancelled.shards_done
    assert again.shards_done >= shards
    assert again.plan == job.plan
    assert refs_of(await here.done(again)) == uninterrupted
    # Its own checkpoint is no longer needed.
    assert [name for name in await files(here) if name.startswith(again.id)] == []


@pytest.mark.parametrize("shards", range(SHARDS))
@pytest.mark.parametrize("resume", [True, False])
async def test_a_job_goes_on_after_the_server_was_stopped(
    toy_vae_bundle: Path,
    tmp_path: Path,
    uninterrupted: dict[str, ArrayRef],
    shards: int,
    resume: bool,
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        before.gate.close_after(max(1, shards))
        job = await before.create()
        await before.reached(job, shards)
    async with bench(toy_vae_bundle, tmp_path, resume=resume) as after:
        found = (await after.runner.get(job.id)).job
        assert found.state is JobState.QUEUED
        assert found.shards_done >= shards
        again = await after.create()
        assert again.id == job.id
        assert refs_of(await after.done(again)) == uninterrupted


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_job_goes_on_after_the_server_was_killed(
    toy_vae_bundle: Path, tmp_path: Path, uninterrupted: dict[str, ArrayRef], shards: int
) -> None:
    script = Path(__file__).with_name("killed_job.py")
    command = [sys.executable, str(script), str(toy_vae_bundle), str(tmp_path), str(shards)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        job = process.stdout.readline().strip()
        os.kill(process.pid, signal.SIGKILL)
    async with bench(toy_vae_bundle, tmp_path) as after:
        found = (await after.runner.get(job)).job
        assert found.shards_done == shards
        assert refs_of(await after.done(found)) == uninterrupted


async def test_a_damaged_checkpoint_costs_time_and_no_bit(
    toy_vae_bundle: Path, tmp_path: Path, uninterrupted: dict[str, ArrayRef]
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        before.gate.close_after(2)
        job = await before.create()
        await before.reached(job, 2)
        await before.runner.cancel(job.id)
        before.gate.open()
        await before.done(job)
    async with bench(toy_vae_bundle, tmp_path) as after:
        for path in after.checkpoints.iterdir():
            path.write_bytes(path.read_bytes()[:-1])
        again = await after.create()
        assert again.shards_done == 0
        assert refs_of(await after.done(again)) == uninterrupted


async def test_a_job_that_is_taken_up_with_a_damaged_checkpoint_starts_anew(
    toy_vae_bundle: Path, tmp_path: Path, uninterrupted: dict[str, ArrayRef]
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        before.gate.close_after(2)
        job = await before.create()
        await before.reached(job, 2)
    for checkpoint in (tmp_path / "checkpoints").iterdir():
        checkpoint.unlink()
    async with bench(toy_vae_bundle, tmp_path) as after:
        assert refs_of(await after.done(job)) == uninterrupted


async def test_a_job_that_another_process_left_waits_until_it_is_asked_for(
    toy_vae_bundle: Path, tmp_path: Path, uninterrupted: dict[str, ArrayRef]
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        before.gate.close_after(2)
        job = await before.create()
        await before.reached(job, 2)
    async with bench(toy_vae_bundle, tmp_path, resume=False) as between:
        (listed,) = await between.runner.page(10, 0)
        assert listed.job.state is JobState.QUEUED
    async with bench(toy_vae_bundle, tmp_path, resume=False) as after:
        watching = [asyncio.ensure_future(after.done(job)) for _ in range(3)]
        assert {refs_of(ended)["maps"] for ended in await asyncio.gather(*watching)} == {
            uninterrupted["maps"]
        }


async def test_a_job_that_another_process_left_can_be_cancelled(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        before.gate.close_after(1)
        job = await before.create()
        await before.reached(job, 1)
    async with bench(toy_vae_bundle, tmp_path, resume=False) as after:
        await after.runner.cancel(job.id)
        assert (await after.runner.get(job.id)).job.state is JobState.CANCELLED


async def test_a_job_of_another_arithmetic_is_closed_and_not_gone_on_with(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        before.gate.close_after(1)
        job = await before.create()
        await before.reached(job, 1)
        await before.stop()
        stored = before.store.get(job.id)
        assert stored is not None
        before.store.update(replace(stored, plan={**job.plan, "arithmetic_version": 0}))
    async with bench(toy_vae_bundle, tmp_path) as after:
        assert (await after.runner.get(job.id)).job.state is JobState.CANCELLED
        again = await after.create()
        assert again.shards_done == 0
        await after.done(again)


async def test_requests_of_one_identity_are_answered_by_one_job(here: Bench) -> None:
    here.gate.close_after(1)
    first, second = await asyncio.gather(here.create(), here.create())
    assert first.id == second.id
    await here.reached(first, 1)
    assert (await here.create()).id == first.id
    here.gate.open()
    await here.done(first)
    assert (await here.create()).id == first.id
    assert (await here.create(seed=2)).id != first.id


async def test_a_stored_result_answers_after_a_restart(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        job = await before.done(await before.create())
    async with bench(toy_vae_bundle, tmp_path) as after:
        assert await after.create() == job


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"damaged")])
async def test_a_result_whose_arrays_are_gone_or_damaged_is_computed_again(
    here: Bench, uninterrupted: dict[str, ArrayRef], damage: Callable[[Path], object]
) -> None:
    spec = here.influence()
    job = await here.runner.create(spec, model="m", request_id="mine")
    refs = refs_of(await here.done(job))
    damage(here.file(refs["stderr"]))
    again = await here.runner.create(spec, model="m", request_id="mine")
    assert again.id != job.id
    assert refs_of(await here.done(again)) == uninterrupted
    assert (await here.runner.create(spec, model="m", request_id="mine")).id == again.id


async def test_a_request_id_names_one_call(here: Bench) -> None:
    here.gate.close_after(1)
    spec = here.influence()
    job = await here.runner.create(spec, model="m", request_id="größe-1")
    again = await here.runner.create(spec, model="m", request_id="größe-1")
    assert again.id == job.id
    with pytest.raises(Conflict, match="'größe-1' was used for operations/"):
        await here.runner.create(replace(spec, seed=9), model="m", request_id="größe-1")
    await here.runner.cancel(job.id)
    here.gate.open()
    await here.done(job)
    # A repeated call starts no second job, even where the first came to nothing.
    assert (await here.runner.create(spec, model="m", request_id="größe-1")).id == job.id
    assert (await here.runner.create(spec, model="m", request_id="other")).id != job.id


async def test_a_request_id_is_remembered_where_a_job_answered_that_was_there(here: Bench) -> None:
    spec = here.influence()
    job = await here.done(await here.runner.create(spec, model="m", request_id="first"))
    again = await here.runner.create(spec, model="m", request_id="second")
    assert again.id == job.id
    for name in ("first", "second"):
        with pytest.raises(Conflict):
            await here.runner.create(replace(spec, seed=9), model="m", request_id=name)


@pytest.mark.parametrize(
    "changed",
    [
        {"specification": '{"analysis": "influence"}'},
        {"specification": '{"analysis": "prophecy"}'},
        {"specification": "no JSON"},
        {"plan": {"of_another_version": 1}},
        {"plan": {}},
    ],
    ids=str,
)
@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.DONE])
async def test_a_job_that_this_version_cannot_read_is_kept_and_in_nobodys_way(
    toy_vae_bundle: Path, tmp_path: Path, changed: dict[str, object], state: JobState
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        job = await before.done(await before.create())
        claimed = {"state": state, "server": "another", **changed}
        before.store.update(replace(job, **claimed))  # type: ignore[arg-type]
    async with bench(toy_vae_bundle, tmp_path) as after:
        assert await after.runner.page(10, 0) == []
        await after.done(await after.create())
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as database:
        assert database.execute("select count(*) from jobs").fetchone() == (2,)


async def test_a_caller_who_leaves_while_a_job_is_created_leaves_a_job_that_runs(
    here: Bench,
) -> None:
    creating = asyncio.ensure_future(here.create())
    await asyncio.sleep(0)
    creating.cancel()
    job = await here.create()
    refs_of(await here.done(job))
    assert [x.job.id for x in await here.runner.page(10, 0)] == [job.id]


async def test_every_watcher_sees_the_last_state(here: Bench) -> None:
    here.gate.close_after(1)
    job = await here.create()

    async def watch() -> tuple[Job, Job]:
        seen = [snapshot.job async for snapshot in here.runner.watch(job.id)]
        return seen[0], seen[-1]

    watchers = [asyncio.ensure_future(watch()) for _ in range(50)]
    await here.reached(job, 1)
    here.gate.open()
    states = await asyncio.gather(*watchers)
    ended = (await here.runner.get(job.id)).job
    assert all(last == ended for _, last in states)
    assert not any(first.state.ended for first, _ in states)
    assert [x.job async for x in here.runner.watch(job.id)] == [ended]


async def test_a_cancelled_job_ends_soon_for_every_watcher(here: Bench) -> None:
    job = await here.create(pairs=100_000)
    waiting = [asyncio.ensure_future(here.done(job)) for _ in range(3)]
    await here.reached(job, 1)
    started = time.monotonic()
    await here.runner.cancel(job.id)
    states = [ended.state for ended in await asyncio.gather(*waiting)]
    assert time.monotonic() - started < CANCEL_LIMIT_S
    assert states == [JobState.CANCELLED] * 3
    await here.runner.cancel(job.id)
    assert (await here.runner.get(job.id)).job.state is JobState.CANCELLED


async def test_a_job_that_waits_for_its_turn_is_cancelled_at_once(here: Bench) -> None:
    here.gate.close_after(1)
    running = await here.create()
    await here.reached(running, 1)
    waiting = await here.create(seed=2)
    assert waiting.state is JobState.QUEUED
    await here.runner.cancel(waiting.id)
    assert (await here.done(waiting)).state is JobState.CANCELLED
    assert (await here.runner.get(running.id)).job.state is JobState.RUNNING


async def test_modules_are_found_while_an_influence_job_runs(here: Bench) -> None:
    here.gate.close_after(1)
    running = await here.create()
    maps = np.zeros((4, 8, 8))
    maps[:2, :3, :3] = maps[2:, 5:, 5:] = 1.0
    job = await here.runner.create(here.modules(maps, 2), model="")
    labels = here.arrays(await here.done(job))["labels"]
    assert labels[0] == labels[1] != labels[2] == labels[3]
    assert not (await here.runner.get(running.id)).job.state.ended


async def test_a_job_that_fails_says_why_and_the_next_one_runs(here: Bench) -> None:
    flat = np.zeros((3, 8, 8))
    flat[0, :2, :2] = 1.0
    failed = await here.done(await here.runner.create(here.modules(flat, 2), model=""))
    assert failed.state is JobState.FAILED
    assert failed.failure is not None
    assert failed.failure.reason == "K_TOO_LARGE"
    assert "1 influence maps that are not flat" in failed.failure.message
    once = await here.done(await here.runner.create(here.modules(flat, 1), model=""))
    assert once.state is JobState.DONE
    # The same request is tried again.
    assert (await here.runner.create(here.modules(flat, 2), model="")).id != failed.id


async def test_a_job_is_forgotten_only_after_its_end(here: Bench) -> None:
    here.gate.close_after(1)
    job = await here.create()
    await here.reached(job, 1)
    with pytest.raises(NotReady, match="goes on; cancel it first"):
        await here.runner.delete(job.id)
    await here.runner.cancel(job.id)
    here.gate.open()
    await here.done(job)
    assert await files(here) != []
    await here.runner.delete(job.id)
    assert await files(here) == []
    with pytest.raises(NotFound, match=job.id):
        await here.runner.get(job.id)
    again = await here.create()
    assert again.shards_done == 0
    await here.done(again)


async def test_waiting_ends_with_the_job_or_with_the_time(here: Bench) -> None:
    here.gate.close_after(1)
    job = await here.create()
    await here.reached(job, 1)
    assert not (await here.runner.wait(job.id, 0.01)).job.state.ended
    assert not (await here.runner.wait(job.id, 0)).job.state.ended
    waiting = asyncio.ensure_future(here.runner.wait(job.id, None))
    here.gate.open()
    assert (await waiting).job.state is JobState.DONE


async def test_a_plan_starts_nothing_and_leaves_nothing(here: Bench) -> None:
    here.gate.close_after(1)
    job = await here.create()
    await here.reached(job, 1)
    await here.runner.cancel(job.id)
    here.gate.open()
    await here.done(job)
    before = await files(here)
    planned = await here.runner.plan(here.influence(), model="m")
    assert planned.shards_done == 1
    assert planned.estimate.hybrids == PAIRS * len(here.influence().sets)
    assert planned.estimate.duration_s
    assert await files(here) == before
    assert len(await here.runner.page(10, 0)) == 1


async def test_the_estimated_size_is_that_of_the_result(here: Bench) -> None:
    job = await here.done(await here.create())
    size = sum(here.artifacts.size(x.sha256) for x in refs_of(job).values())
    assert job.estimate.result_bytes == size


async def test_a_server_that_stops_tells_its_watchers_and_starts_no_job(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        here.gate.close_after(1)
        running = await here.create()
        waiting = await here.create(seed=2)
        watching = [asyncio.ensure_future(here.done(job)) for job in (running, waiting)]
        await here.reached(running, 1)
        await here.stop()
        for watcher in watching:
            with pytest.raises(ServerStopping, match="goes on at its next start"):
                await watcher
        with pytest.raises(ServerStopping):
            await here.create(seed=3)


async def test_a_job_that_was_cancelled_stays_so_although_the_server_stops(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        before.gate.close_after(1)
        job = await before.create()
        await before.reached(job, 1)
        await before.runner.cancel(job.id)
    async with bench(toy_vae_bundle, tmp_path) as after:
        assert (await after.runner.get(job.id)).job.state is JobState.CANCELLED


class FullDisk(JobStore):
    """A database that takes everything but ends of jobs, until there is room."""

    full = True

    def update(self, job: Job) -> None:
        if self.full and job.state.ended:
            self.refused.set()
            raise StoreUnavailable("full")
        super().update(job)

    refused = threading.Event()


async def test_a_job_whose_end_cannot_be_kept_yet_ends_when_it_can(
    toy_vae_bundle: Path, tmp_path: Path, uninterrupted: dict[str, ArrayRef]
) -> None:
    async with bench(toy_vae_bundle, tmp_path, store_type=FullDisk) as here:
        assert isinstance(here.store, FullDisk)
        job = await here.create()
        await asyncio.to_thread(here.store.refused.wait, TIMEOUT_S)
        seen, stored = (await here.runner.get(job.id)).job, here.store.get(job.id)
        assert stored is not None
        assert seen.state is stored.state is JobState.RUNNING
        here.store.full = False
        ended = await here.done(job)
        assert refs_of(ended) == uninterrupted
        assert here.store.get(job.id) == ended


async def test_what_has_expired_is_forgotten_at_the_next_start(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    none = Retention(keep_s=-1.0, young_s=-1.0)
    async with bench(toy_vae_bundle, tmp_path, retention=none) as before:
        job = await before.done(await before.create())
        assert job.expires_s is not None
        (before.checkpoints / "orphan-3.npz").write_bytes(b"left by a crash")
    async with bench(toy_vae_bundle, tmp_path, retention=none) as after:
        assert await after.runner.page(10, 0) == []
        assert list((tmp_path / "artifacts").iterdir()) == []
        assert await files(after) == []


async def test_what_has_expired_is_forgotten_while_the_server_runs(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    soon = Retention(keep_s=0.0, young_s=-1.0, every_s=0.01)
    async with bench(toy_vae_bundle, tmp_path, retention=soon) as here:
        job = await here.create()
        async with asyncio.timeout(TIMEOUT_S):
            while await here.runner.page(10, 0):
                await asyncio.sleep(0.01)
        assert here.store.get(job.id) is None
        assert list((tmp_path / "artifacts").iterdir()) == []


async def test_a_job_that_is_deleted_takes_its_files_with_it_but_for_those_others_need(
    here: Bench,
) -> None:
    job = await here.done(await here.create())
    refs = refs_of(job)
    maps = await here.runner.create(
        ModulesSpec(refs["maps"], 2, "kmeans", (0,), 3, 75.0), model="models/toy-vae"
    )
    modules = await here.done(maps)
    await here.runner.delete(job.id)
    left = {info.name for info in here.artifacts.list()}
    assert left == {refs["maps"].sha256, *(ref.sha256 for ref in refs_of(modules).values())}
    assert await files(here) == []


async def test_a_damaged_checkpoint_costs_what_came_after_the_one_before(
    toy_vae_bundle: Path, tmp_path: Path, uninterrupted: dict[str, ArrayRef]
) -> None:
    async with bench(toy_vae_bundle, tmp_path, checkpoint_every_s=0.0, workers=1) as before:
        before.gate.close_after(3)
        job = await before.create()
        await before.reached(job, 3)
    stored = stored_job(tmp_path, job.id)
    assert [each.file.split("-")[2] for each in stored.checkpoints] == ["3", "2"]
    path = tmp_path / "checkpoints" / stored.checkpoints[0].file
    path.write_bytes(path.read_bytes()[:-1])
    async with bench(toy_vae_bundle, tmp_path, workers=1) as after:
        shards = [snapshot.job.shards_done async for snapshot in after.runner.watch(job.id)]
        ended = await after.done(job)
        assert refs_of(ended) == uninterrupted
        assert await files(after) == [f"damaged-{path.name}"]
    assert min(each for each in shards if each) == 2
