"""A magnitude job is made of influence jobs, which are kept, shared, resumed and cancelled."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from graftscope.server.analysis import (
    KTooLargeError,
    Method,
    features_of,
    find_modules,
    magnitude_lines,
)
from graftscope.server.engine import SHARD_PAIRS
from graftscope.server.jobs import ArrayRef, Job, JobState, MagnitudeSpec, OriginalsSpec, Result
from graftscope.server.jobs._magnitude import find_rows
from graftscope.server.workers import directly
from job_toys import PAIRS, SHARDS, TIMEOUT_S, Bench, bench, refs_of

# A run of another number of sets may be added up in another order.
TOLERANCE = 1e-6
COLUMNS = {"layer", "k", "module", "channels", "share", "individual", "individual_stderr"}


@pytest.fixture
async def here(toy_vae_bundle: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(toy_vae_bundle, tmp_path / "state") as made:
        yield made


@pytest.fixture(scope="module")
def uninterrupted(
    toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, ArrayRef]:
    """The result arrays of the job that other tests interrupt."""

    async def run() -> dict[str, ArrayRef]:
        async with bench(toy_vae_bundle, tmp_path_factory.mktemp("whole"), workers=1) as whole:
            return refs_of(await whole.done(await create(whole)))

    return asyncio.run(run())


async def create(here: Bench, **changes: object) -> Job:
    return await here.runner.create(here.magnitude(**changes), model="models/toy-vae")


async def influences(here: Bench, least: int = 0) -> list[Job]:
    """The influence jobs, the oldest first, once there are as many."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            jobs = [snapshot.job for snapshot in await here.runner.page(100, 0)]
            found = [job for job in reversed(jobs) if job.analysis == "influence"]
            if len(found) >= least:
                return found


async def channels_job(here: Bench, layer: int = 1, **changes: object) -> Job:
    """The influence of each channel of a layer, as a client would ask for it."""
    described = here.generator.manifest.layers[layer]
    channels = tuple(range(described.channels))
    return await here.create(
        layer=described.name,
        channels=described.channels,
        sets=tuple((c,) for c in channels),
        indices=channels,
        **changes,
    )


async def test_rows_are_the_influence_of_the_modules_on_the_pairs_that_follow(here: Bench) -> None:
    job = await here.done(await create(here))
    found = here.arrays(job)
    assert set(found) == COLUMNS
    start = 0
    for index, layer in enumerate(here.generator.manifest.layers[1:3]):
        maps = here.arrays(await here.done(await channels_job(here, 1 + index)))["maps"]
        for k in (2, 3):
            labels = find_modules(features_of(maps), k, Method.KMEANS).labels
            sets = [tuple(np.flatnonzero(labels == m).tolist()) for m in range(k)]
            plain = await here.done(
                await here.create(
                    layer=layer.name,
                    channels=layer.channels,
                    sets=tuple(sets),
                    indices=tuple(range(k)),
                    subject="modules",
                    first=PAIRS,
                )
            )
            expected = here.arrays(plain)
            rows = slice(start, start + k)
            start += k
            np.testing.assert_array_equal(found["layer"][rows], index)
            np.testing.assert_array_equal(found["k"][rows], k)
            np.testing.assert_array_equal(found["module"][rows], range(k))
            np.testing.assert_array_equal(found["channels"][rows], [len(x) for x in sets])
            share = np.array([len(x) for x in sets]) / layer.channels
            np.testing.assert_array_equal(found["share"][rows], share)
            for name in ("individual", "individual_stderr"):
                np.testing.assert_allclose(
                    found[name][rows], expected[name], rtol=0, atol=TOLERANCE, err_msg=name
                )
    assert all(len(column) == start for column in found.values())


async def test_lines_are_fitted_to_the_rows(here: Bench) -> None:
    job = await here.done(await create(here))
    found = here.arrays(job)
    assert job.result is not None
    layers = here.magnitude().layers
    lines = magnitude_lines(
        layers, found["layer"], found["channels"], found["share"], found["individual"]
    )
    for name, expected in (("by_share", lines.by_share), ("by_channels", lines.by_channels)):
        told = job.result.scalars[name]
        assert isinstance(told, list)
        assert told == [each.__dict__ for each in expected]


async def test_its_influence_jobs_answer_later_requests(here: Bench) -> None:
    await here.done(await create(here))
    made = await influences(here)
    # Channels and modules of two layers.
    assert [job.state for job in made] == [JobState.DONE] * 4
    assert (await channels_job(here)).id == made[0].id
    assert (await channels_job(here, 2)).id == made[2].id
    assert len(await influences(here)) == 4


async def test_an_influence_that_is_there_is_not_computed_again(here: Bench) -> None:
    done = await here.done(await channels_job(here))
    await here.done(await create(here, layers=(here.magnitude().layers[0],)))
    found, _ = await influences(here)
    assert found.id == done.id


async def test_progress_counts_the_shards_of_all_its_influence_jobs(here: Bench) -> None:
    job = await create(here)
    assert job.shards_total == 2 * 2 * SHARDS
    done = [snapshot.job.shards_done async for snapshot in here.runner.watch(job.id)]
    assert done == sorted(done)
    assert done[-1] == job.shards_total
    assert len(set(done)) > 2


@pytest.mark.parametrize("shards", [1, SHARDS + 1])
async def test_cancelling_it_cancels_the_influence_job_that_it_started(
    here: Bench, shards: int
) -> None:
    here.gate.close_after(SHARDS if shards > SHARDS else shards)
    job = await create(here)
    await here.reached(job, shards)
    needed = (await influences(here))[-1]
    await here.runner.cancel(job.id)
    assert (await here.done(job)).state is JobState.CANCELLED
    here.gate.open()
    assert (await here.done(needed)).state is JobState.CANCELLED
    assert len(await influences(here)) == (2 if shards > SHARDS else 1)


async def test_cancelling_it_leaves_an_influence_job_that_somebody_else_started(
    here: Bench,
) -> None:
    here.gate.close_after(1)
    theirs = await channels_job(here)
    job = await create(here)
    await here.reached(job, 1)
    await here.runner.cancel(job.id)
    assert (await here.done(job)).state is JobState.CANCELLED
    assert (await here.runner.get(theirs.id)).job.state is JobState.RUNNING
    here.gate.open()
    assert (await here.done(theirs)).state is JobState.DONE


async def test_cancelling_it_leaves_an_influence_job_that_somebody_has_asked_for_meanwhile(
    here: Bench,
) -> None:
    here.gate.close_after(1)
    job = await create(here)
    await here.reached(job, 1)
    theirs = await channels_job(here)
    assert [made.id for made in await influences(here)] == [theirs.id]
    await here.runner.cancel(job.id)
    assert (await here.done(job)).state is JobState.CANCELLED
    here.gate.open()
    assert (await here.done(theirs)).state is JobState.DONE


async def test_it_may_be_asked_for_again_before_what_was_cancelled_has_ended(
    here: Bench, uninterrupted: dict[str, ArrayRef]
) -> None:
    here.gate.close_after(1)
    job = await create(here)
    await here.reached(job, 1)
    (needed,) = await influences(here)
    await here.runner.cancel(job.id)
    await here.done(job)
    again = await create(here)
    assert not (await here.runner.get(needed.id)).job.state.ended
    here.gate.open()
    assert again.id != job.id
    assert refs_of(await here.done(again)) == uninterrupted


async def test_an_influence_whose_plan_is_measured_when_it_is_cancelled_is_not_started(
    here: Bench,
) -> None:
    pairs = 3 * SHARD_PAIRS
    # The modules' estimate waits at the gate, after all pairs of the channels.
    here.gate.close_after(3)
    job = await create(here, pairs=pairs)
    await here.reached(job, 3)
    await asyncio.to_thread(here.gate.hold)
    await here.runner.cancel(job.id)
    assert (await here.done(job)).state is JobState.CANCELLED
    here.gate.open()
    # Plans are measured one after the other.
    await here.runner.plan(here.influence(seed=9), model="")
    assert len(await influences(here)) == 1


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(("limit", "shards"), [(2, 2), (SHARDS, SHARDS + 1)])
async def test_it_goes_on_after_the_server_was_stopped(
    toy_vae_bundle: Path,
    tmp_path: Path,
    uninterrupted: dict[str, ArrayRef],
    resume: bool,
    limit: int,
    shards: int,
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        before.gate.close_after(limit)
        job = await create(before)
        await before.reached(job, shards)
        made = [each.id for each in await influences(before)]
    async with bench(toy_vae_bundle, tmp_path, resume=resume) as after:
        assert not (await after.runner.get(job.id)).job.state.ended
        again = await create(after)
        assert again.id == job.id
        assert refs_of(await after.done(again)) == uninterrupted
        jobs = await influences(after)
        assert [each.id for each in jobs][: len(made)] == made
        assert [each.state for each in jobs] == [JobState.DONE] * 4


async def test_any_number_of_workers_gives_the_same_bits(
    toy_vae_bundle: Path, tmp_path: Path, uninterrupted: dict[str, ArrayRef]
) -> None:
    async with bench(toy_vae_bundle, tmp_path, workers=3) as here:
        assert refs_of(await here.done(await create(here))) == uninterrupted


def given_latents(here: Bench) -> OriginalsSpec:
    """As many pairs as two influence jobs need."""
    random = np.random.default_rng(5)
    return OriginalsSpec(
        "latents",
        {
            f"{side}/z": here.artifacts.put(
                random.standard_normal((2 * PAIRS, 8)).astype(np.float32)
            )
            for side in ("latents1", "latents2")
        },
    )


async def test_the_failure_of_a_needed_influence_is_its_own(here: Bench) -> None:
    here.gate.close_after(1)
    # Has the workers, so that what the other job needs is created and waits.
    running = await here.create(seed=9)
    await here.reached(running, 1)
    originals = given_latents(here)
    job = await create(here, originals=originals)
    _, needed = await influences(here, least=2)
    here.file(originals.arrays["latents1/z"]).unlink()
    here.gate.open()
    failed, why = await here.done(job), await here.done(needed)
    assert failed.state is why.state is JobState.FAILED
    assert why.failure is not None
    assert why.failure.reason == "NOT_FOUND"
    assert failed.failure == why.failure


async def test_it_is_cancelled_with_an_influence_job_that_it_needs(here: Bench) -> None:
    here.gate.close_after(1)
    job = await create(here)
    await here.reached(job, 1)
    (needed,) = await influences(here)
    await here.runner.cancel(needed.id)
    here.gate.open()
    assert (await here.done(job)).state is JobState.CANCELLED


async def test_numbers_that_the_maps_do_not_have_fail_it_with_the_range(here: Bench) -> None:
    layer = here.generator.manifest.layers[3]
    failed = await here.done(await create(here, layers=(layer.name,), ks=(layer.channels + 1,)))
    assert failed.failure is not None
    assert failed.failure.reason == "K_TOO_LARGE"
    assert "allowed: 1 to" in failed.failure.message


def test_a_layer_whose_maps_are_flat_cannot_be_divided(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        async with bench(toy_vae_bundle, tmp_path) as here:
            maps = np.zeros((4, 8, 8))
            maps[0, :2, :2] = 1.0
            found = Result({"maps": here.artifacts.put(maps)}, {"layer": "conv1"})
            said = "layer 'conv1' has 1 influence maps that are not flat; at least 2"
            spec: MagnitudeSpec = here.magnitude(ks=())
            with pytest.raises(KTooLargeError, match=said):
                find_rows(spec, found, here.artifacts, directly)

    asyncio.run(run())


async def test_a_plan_tells_the_estimate_and_starts_nothing(here: Bench) -> None:
    spec = here.magnitude()
    planned = await here.runner.plan(spec, model="m")
    channels = sum(layer.channels for layer in here.generator.manifest.layers[1:3])
    modules = 2 * (2 + 3)
    assert planned.estimate.hybrids == (channels + modules) * PAIRS
    assert planned.estimate.duration_s
    assert await here.runner.page(10, 0) == []


async def test_the_estimated_size_is_that_of_the_result(here: Bench) -> None:
    job = await here.done(await create(here))
    size = sum(8 * len(column) for column in here.arrays(job).values())
    assert job.estimate.result_bytes == size


async def test_only_an_influence_that_is_done_costs_nothing_more(here: Bench) -> None:
    spec = here.magnitude(layers=(here.magnitude().layers[0],))
    channels, modules = here.generator.manifest.layers[1].channels, 2 + 3
    here.gate.close_after(1)
    running = await channels_job(here)
    await here.reached(running, 1)
    planned = await here.runner.plan(spec, model="m")
    assert planned.estimate.hybrids == (channels + modules) * PAIRS
    here.gate.open()
    await here.done(running)
    planned = await here.runner.plan(spec, model="m")
    assert planned.estimate.hybrids == modules * PAIRS


async def test_products_are_computed_where_the_method_needs_them(here: Bench) -> None:
    job = await here.done(await create(here, method="pca", layers=(here.magnitude().layers[0],)))
    found, measured = await influences(here)
    assert "products" in refs_of(found)
    assert "products" not in refs_of(measured)
    assert here.arrays(job)["k"].tolist() == [2, 2, 3, 3, 3]
