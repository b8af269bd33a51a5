"""Jobs on stratified pairs: standard errors of shard means, and the same bits whatever happens."""

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    ChannelSets,
    PriorPairs,
    Subject,
    shard_effects,
)
from graftscope.server.jobs import (
    ArrayRef,
    Job,
    JobState,
    OriginalsSpec,
    RelativeErrorSpec,
)
from graftscope.server.jobs._preparation import stored_plan
from graftscope.server.jobs._rules import rule_of
from graftscope.server.jobs._stopping import LEAST_STRATIFIED_PAIRS
from job_toys import Bench, bench, refs_of

SHARDS = 4
PAIRS = SHARDS * SHARD_PAIRS
STRATIFIED = OriginalsSpec("prior", {}, stratified=True)

# Sums of a shard are float64's, taken in another order.
ROUNDING = 1e-9


async def create(here: Bench, **changes: object) -> Job:
    return await here.create(**{"pairs": PAIRS, "originals": STRATIFIED, **changes})


@pytest.fixture(scope="module")
def known(toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ArrayRef]:
    """What one worker gives without any interruption."""

    async def find() -> dict[str, ArrayRef]:
        async with bench(toy_vae_bundle, tmp_path_factory.mktemp("known"), workers=1) as here:
            return refs_of(await here.done(await create(here)))

    return asyncio.run(find())


async def effects_of(
    here: Bench, shards: int
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Each shard's mean map and its pairs' pixel means, computed one after another."""
    spec = here.influence(pairs=shards * SHARD_PAIRS, originals=STRATIFIED)
    subject, source = here.runner._preparation.resolve(spec)
    plan = stored_plan((await here.runner.plan(spec, model="m")).plan)
    found = []
    for start in range(0, shards * SHARD_PAIRS, SHARD_PAIRS):
        pairs = range(start, start + SHARD_PAIRS)
        effects = shard_effects(subject, plan, source, pairs, Cancellation())
        found.append((effects.moments.mean, effects.pixel_means))
    return found


async def test_errors_are_those_of_shard_means(toy_vae_bundle: Path, tmp_path: Path) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        job = await here.done(await create(here))
        maps, means = zip(*await effects_of(here, SHARDS), strict=True)
        arrays, individual = here.arrays(job), np.array(means)  # (shards, pairs, E)
        slow = {
            "maps": np.mean(maps, axis=0),
            "stderr": np.std(maps, axis=0, ddof=1) / np.sqrt(SHARDS),
            "individual": individual.mean(axis=(0, 1)),
            "individual_stderr": individual.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(SHARDS),
        }
        for name, expected in slow.items():
            np.testing.assert_allclose(arrays[name], expected, rtol=ROUNDING, atol=1e-15)
        assert job.result is not None
        assert job.result.scalars["pairs"] == PAIRS
        assert job.result.scalars["stratified"] is True


async def test_maps_of_one_group_have_no_error(toy_vae_bundle: Path, tmp_path: Path) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        arrays = here.arrays(await here.done(await create(here, pairs=SHARD_PAIRS)))
        assert np.isnan(arrays["individual_stderr"]).all()
        assert np.isfinite(arrays["maps"]).all()


async def test_products_are_means_over_pairs(toy_vae_bundle: Path, tmp_path: Path) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        arrays = here.arrays(await here.done(await create(here, products=True)))
        first = here.arrays(await here.done(await create(here, products=True, pairs=64)))
        rest = here.arrays(await here.done(await create(here, products=True, pairs=64, first=64)))
        mean = (first["products"] + rest["products"]) / 2
        np.testing.assert_allclose(arrays["products"], mean, rtol=ROUNDING)


@pytest.mark.parametrize("workers", [2, 4])
async def test_any_number_of_workers_gives_the_same_bits(
    toy_vae_bundle: Path, tmp_path: Path, known: dict[str, ArrayRef], workers: int
) -> None:
    async with bench(toy_vae_bundle, tmp_path, workers=workers) as here:
        assert refs_of(await here.done(await create(here))) == known


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_cancelled_job_goes_on_to_the_same_bits(
    toy_vae_bundle: Path, tmp_path: Path, known: dict[str, ArrayRef], shards: int
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        here.gate.close_after(shards)
        job = await create(here)
        snapshot = await here.reached(job, shards)
        assert snapshot.sums is not None
        assert snapshot.sums.pairs == shards * SHARD_PAIRS
        await here.runner.cancel(job.id)
        here.gate.open()
        assert (await here.done(job)).state is JobState.CANCELLED
        again = await create(here)
        assert again.shards_done >= shards
        assert refs_of(await here.done(again)) == known


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_job_that_was_killed_goes_on_to_the_same_bits(
    toy_vae_bundle: Path, tmp_path: Path, known: dict[str, ArrayRef], shards: int
) -> None:
    script = Path(__file__).with_name("killed_job.py")
    rest = (str(toy_vae_bundle), str(tmp_path), str(shards), "stratified")
    with subprocess.Popen([sys.executable, str(script), *rest], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        job = process.stdout.readline().decode().strip()
        os.kill(process.pid, signal.SIGKILL)
    async with bench(toy_vae_bundle, tmp_path) as after:
        found = (await after.runner.get(job)).job
        assert found.shards_done == shards
        assert refs_of(await after.done(found)) == known


async def test_the_error_rule_looks_from_eight_shards_on(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        until = RelativeErrorSpec(0.99)
        stratified = await here.done(await create(here, pairs=960, until=until))
        assert stratified.shards_done * SHARD_PAIRS == LEAST_STRATIFIED_PAIRS == 256
        rule = rule_of(here.influence(pairs=960, until=until))
        assert rule is not None
        independent = await here.done(await here.create(pairs=960, until=until))
        assert independent.shards_done == 2


async def test_modules_are_found_and_measured_on_stratified_pairs(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        spec = here.magnitude(pairs=64, originals=STRATIFIED)
        job = await here.done(await here.runner.create(spec, model="models/toy-vae"))
        plain = replace(spec, originals=OriginalsSpec("prior", {}))
        other = await here.done(await here.runner.create(plain, model="models/toy-vae"))
        assert refs_of(job)["individual"] != refs_of(other)["individual"]


def variance(subject: Subject, stratified: bool, groups: int) -> float:
    """Of individual influences over groups of 32 pairs."""
    source = PriorPairs(subject.generator, 7, stratified=stratified)
    plan = subject.plan()
    found = []
    for group in range(groups):
        pairs = range(group * SHARD_PAIRS, (group + 1) * SHARD_PAIRS)
        effects = shard_effects(subject, plan, source, pairs, Cancellation())
        found.append(effects.pixel_means.mean(axis=0))
    return float(np.var(found, axis=0, ddof=1).sum())


async def test_individual_influences_vary_less_over_stratified_groups(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        subject, _ = here.runner._preparation.resolve(here.influence())
        assert isinstance(subject, ChannelSets)
        assert variance(subject, True, 80) < 0.8 * variance(subject, False, 80)
