"""A stopping rule ends a job at the same pair, whatever happens to the job on the way there."""

import asyncio
import math
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.server.analysis import Method, agreement, features_of, find_modules
from graftscope.server.engine import SHARD_PAIRS, Cancellation, shard_effects
from graftscope.server.jobs import (
    LEAST_STABLE_PAIRS,
    ArrayRef,
    Job,
    JobState,
    RelativeErrorSpec,
    StableLabelsSpec,
    Sums,
    UntilSpec,
)
from graftscope.server.jobs._influence import InfluenceWork, run_shards
from graftscope.server.jobs._preparation import stored_plan
from graftscope.server.jobs._rules import rule_of
from graftscope.server.jobs._stopping import ErrorRule, LabelRule, Rule, is_scheduled
from job_toys import Bench, bench, computing, refs_of

MOST = 40 * SHARD_PAIRS
LABELS = StableLabelsSpec(k=2, method="kmeans", seed=0, window=3, percentile=75.0)


@dataclass(frozen=True)
class Known:
    """A rule, the shard that it ends at, and the result without any interruption."""

    until: UntilSpec
    shards: int
    arrays: dict[str, ArrayRef]


async def slow_errors(here: Bench, shards: int) -> list[float]:
    """The largest relative standard error after each shard, from every pair's own effects."""
    spec = here.influence(pairs=shards * SHARD_PAIRS)
    subject, source = here.runner._preparation.resolve(spec)
    plan = stored_plan((await here.runner.plan(spec, model="m")).plan)
    found, effects = [], []
    for shard in range(shards):
        pairs = range(shard * SHARD_PAIRS, (shard + 1) * SHARD_PAIRS)
        effects += list(shard_effects(subject, plan, source, pairs, Cancellation()).pixel_means)
        each = np.array(effects)  # (pairs, E)
        each = each[:, each.any(axis=0)]  # one channel of the toy is dead
        errors = each.std(axis=0, ddof=1) / np.sqrt(len(each)) / each.mean(axis=0)
        found.append(float(errors.max()))
    return found


def error_stop(errors: list[float]) -> tuple[RelativeErrorSpec, int]:
    """A rule that holds first after the last shard whose error is below all before it."""
    lows = [n for n in range(2, len(errors)) if errors[n] < min(errors[1:n])]
    at = lows[-1]
    return RelativeErrorSpec((errors[at] + min(errors[1:at])) / 2), at + 1


async def slow_stop(here: Bench, until: StableLabelsSpec) -> int:
    """The shard after which labels had been stable, from a job a prefix."""
    labels: dict[int, NDArray[np.int64]] = {}
    for shards in range(2, MOST // SHARD_PAIRS + 1):
        if not is_scheduled(shards):
            continue
        maps = here.arrays(await here.done(await here.create(pairs=shards * SHARD_PAIRS)))["maps"]
        labels[shards] = find_modules(
            features_of(maps, until.window, until.percentile),
            until.k,
            Method(until.method),
            until.seed,
        ).labels
        earlier = [n for n in labels if 2 * n <= shards]
        half = [n for n in labels if earlier and n >= max(earlier)]
        if half and all(agreement(labels[n], labels[shards]) == 1.0 for n in half):
            return shards
    raise AssertionError("labels do not settle")


@pytest.fixture(scope="module", params=["error", "labels"])
def known(
    request: pytest.FixtureRequest,
    toy_vae_bundle: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Known:
    """What slow loops say, and what one worker gives."""

    async def find() -> Known:
        async with bench(toy_vae_bundle, tmp_path_factory.mktemp("known"), workers=1) as here:
            until: UntilSpec = LABELS
            if request.param == "error":
                until, shards = error_stop(await slow_errors(here, 12))
            else:
                shards = await slow_stop(here, LABELS)
            job = await here.done(await here.create(pairs=MOST, until=until))
            assert job.shards_done == shards
            return Known(until, shards, refs_of(job))

    return asyncio.run(find())


async def create(here: Bench, known: Known) -> Job:
    return await here.create(pairs=MOST, until=known.until)


def stopping_of(job: Job) -> dict[str, object]:
    assert job.result is not None
    found = job.result.scalars["stopping"]
    assert isinstance(found, dict)
    return dict(found)


async def test_the_result_is_that_of_the_pairs_up_to_the_stop(
    toy_vae_bundle: Path, tmp_path: Path, known: Known
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        job = await here.done(await create(here, known))
        whole = await here.done(await here.create(pairs=known.shards * SHARD_PAIRS))
        assert refs_of(job) == refs_of(whole) == known.arrays
        assert job.result is not None
        assert job.result.scalars["pairs"] == known.shards * SHARD_PAIRS
        assert (job.shards_done, job.shards_total) == (known.shards, MOST // SHARD_PAIRS)
        told = stopping_of(job)
        assert (told["met"], told["max_pairs"]) == (True, MOST)
        # Rules that look at no labels cannot tell.
        expected = 1.0 if known.until == LABELS else math.nan
        assert told["label_agreement"] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("workers", [2, 4])
async def test_any_number_of_workers_stops_at_the_same_pair(
    toy_vae_bundle: Path, tmp_path: Path, known: Known, workers: int
) -> None:
    async with bench(toy_vae_bundle, tmp_path, workers=workers) as here:
        assert refs_of(await here.done(await create(here, known))) == known.arrays


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_cancelled_job_goes_on_to_the_same_pair(
    toy_vae_bundle: Path, tmp_path: Path, known: Known, shards: int
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        here.gate.close_after(shards)
        job = await create(here, known)
        await here.reached(job, shards)
        await here.runner.cancel(job.id)
        here.gate.open()
        assert (await here.done(job)).state is JobState.CANCELLED
        again = await create(here, known)
        assert again.shards_done >= shards
        assert refs_of(await here.done(again)) == known.arrays


async def test_a_job_that_the_server_stopped_goes_on_to_the_same_pair(
    toy_vae_bundle: Path, tmp_path: Path, known: Known
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        before.gate.close_after(3)
        job = await create(before, known)
        await before.reached(job, 3)
    async with bench(toy_vae_bundle, tmp_path, workers=4) as after:
        assert refs_of(await after.done(job)) == known.arrays


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_job_that_was_killed_goes_on_to_the_same_pair(
    toy_vae_bundle: Path, tmp_path: Path, known: Known, shards: int
) -> None:
    script = Path(__file__).with_name("killed_job.py")
    rule = "labels" if known.until == LABELS else repr(known.until.error)  # type: ignore[union-attr]
    command = [sys.executable, str(script), str(toy_vae_bundle), str(tmp_path), str(shards), rule]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        job = process.stdout.readline().strip()
        os.kill(process.pid, signal.SIGKILL)
    async with bench(toy_vae_bundle, tmp_path) as after:
        found = (await after.runner.get(job)).job
        assert found.shards_done == shards
        assert refs_of(await after.done(found)) == known.arrays


async def test_sums_at_the_stop_need_no_further_shard(
    toy_vae_bundle: Path, tmp_path: Path, known: Known
) -> None:
    """As after a crash between the last checkpoint and the result."""
    async with bench(toy_vae_bundle, tmp_path) as here:
        spec = replace(here.influence(), pairs=MOST, until=known.until)
        subject, source = here.runner._preparation.resolve(spec)
        plan = stored_plan((await here.runner.plan(spec, model="m")).plan)
        work = InfluenceWork(spec, subject, source, plan, Cancellation())
        seen: list[Sums] = []

        async def look(rule: Rule, sums: Sums) -> Sums:
            return rule.look(sums)

        async def keep(sums: Sums) -> None:
            seen.append(sums)

        async def run(start: Sums | None) -> Sums:
            with ThreadPoolExecutor(2) as threads:
                return await run_shards(
                    work, start, threads=threads, executor=computing(2), on_sums=keep, look=look
                )

        stop = await run(None)
        assert [sums.shards for sums in seen] == list(range(1, known.shards + 1))
        assert await run(stop) is stop
        assert len(seen) == known.shards


async def test_a_bound_that_comes_first_is_said(toy_vae_bundle: Path, tmp_path: Path) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        bound = 2 * SHARD_PAIRS + 5
        job = await here.done(await here.create(pairs=bound, until=RelativeErrorSpec(1e-6)))
        whole = await here.done(await here.create(pairs=bound))
        assert refs_of(job) == refs_of(whole)
        assert job.shards_done == job.shards_total == 3
        arrays = here.arrays(whole)
        told = stopping_of(job)
        assert (told["met"], told["max_pairs"]) == (False, bound)
        alive = arrays["individual"] > 0
        errors = arrays["individual_stderr"][alive] / arrays["individual"][alive]
        assert told["relative_standard_error"] == pytest.approx(errors.max(), rel=1e-12)


async def test_known_modules_are_stable_as_soon_as_that_can_be_told(
    bumps_bundle: Path, tmp_path: Path
) -> None:
    async with bench(bumps_bundle, tmp_path) as here:
        layer = here.generator.manifest.layers[1]
        until = replace(LABELS, k=4, method="nmf")
        channels = tuple(range(layer.channels))
        job = await here.create(
            layer=layer.name,
            channels=layer.channels,
            sets=tuple((c,) for c in channels),
            indices=channels,
            pairs=MOST,
            until=until,
        )
        ended = await here.done(job)
        assert ended.shards_done * SHARD_PAIRS == LEAST_STABLE_PAIRS
        assert stopping_of(ended)["met"]


async def test_rule_and_maximum_are_part_of_what_a_job_is(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        jobs = [
            await here.create(pairs=96),
            await here.create(pairs=96, until=RelativeErrorSpec(0.5)),
            await here.create(pairs=96, until=RelativeErrorSpec(0.4)),
            await here.create(pairs=128, until=RelativeErrorSpec(0.5)),
        ]
        assert len({job.id for job in jobs}) == 4
        assert (await here.create(pairs=96, until=RelativeErrorSpec(0.5))).id == jobs[1].id


async def test_the_time_left_is_that_to_the_expected_stop(
    toy_vae_bundle: Path, tmp_path: Path, known: Known
) -> None:
    async with bench(toy_vae_bundle, tmp_path, workers=1) as here:
        here.gate.close_after(3)
        job = await create(here, known)
        snapshot = await here.reached(job, 3)
        here.gate.open()
        assert snapshot.sums is not None
        assert snapshot.eta_s is not None
        assert snapshot.job.shards_total == MOST // SHARD_PAIRS
        rule = rule_of(replace(here.influence(), pairs=MOST, until=known.until))
        assert isinstance(rule, ErrorRule | LabelRule)
        expected = rule.expected_pairs(snapshot.sums)
        assert (expected == MOST) == (known.until == LABELS)
        await here.done(job)
