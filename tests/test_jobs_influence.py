"""Products of an influence job survive any number of workers, cancellation and restarts."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graftscope.server.jobs import ArrayRef
from job_toys import SHARDS, bench, refs_of


@pytest.fixture(scope="module")
def uninterrupted(
    toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, ArrayRef]:
    """The result arrays of the job that other tests interrupt."""

    async def run() -> dict[str, ArrayRef]:
        async with bench(toy_vae_bundle, tmp_path_factory.mktemp("whole"), workers=1) as whole:
            return refs_of(await whole.done(await whole.create(products=True)))

    return asyncio.run(run())


@pytest.mark.parametrize("workers", [2, 3])
async def test_any_number_of_workers_gives_the_same_products(
    toy_vae_bundle: Path, tmp_path: Path, uninterrupted: dict[str, ArrayRef], workers: int
) -> None:
    async with bench(toy_vae_bundle, tmp_path, workers=workers) as here:
        assert refs_of(await here.done(await here.create(products=True))) == uninterrupted


@pytest.mark.parametrize("shards", [1, 3])
async def test_products_are_gone_on_with_after_a_cancellation(
    toy_vae_bundle: Path, tmp_path: Path, uninterrupted: dict[str, ArrayRef], shards: int
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        here.gate.close_after(shards)
        job = await here.create(products=True)
        await here.reached(job, shards)
        await here.runner.cancel(job.id)
        here.gate.open()
        await here.done(job)
        again = await here.create(products=True)
        assert again.shards_done >= shards
        assert refs_of(await here.done(again)) == uninterrupted


async def test_products_are_gone_on_with_after_a_restart(
    toy_vae_bundle: Path, tmp_path: Path, uninterrupted: dict[str, ArrayRef]
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as before:
        before.gate.close_after(2)
        job = await before.create(products=True)
        await before.reached(job, 2)
    async with bench(toy_vae_bundle, tmp_path) as after:
        assert refs_of(await after.done(job)) == uninterrupted


async def test_products_are_means_over_all_pairs(toy_vae_bundle: Path, tmp_path: Path) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        whole = here.arrays(await here.done(await here.create(products=True)))
        parts = []
        for shard in range(SHARDS):
            pairs = min(32, here.influence().pairs - 32 * shard)
            job = await here.create(products=True, first=32 * shard, pairs=pairs)
            parts.append(pairs * here.arrays(await here.done(job))["products"])
        expected = np.sum(parts, axis=0) / here.influence().pairs
        np.testing.assert_allclose(whole["products"], expected, rtol=1e-12)


async def test_products_are_a_job_of_their_own_and_known_size(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        plain = await here.done(await here.create())
        job = await here.done(await here.create(products=True))
        assert job.id != plain.id
        assert "products" not in refs_of(plain)
        size = sum(here.artifacts.size(x.sha256) for x in refs_of(job).values())
        assert job.estimate.result_bytes == size
        assert job.plan["batch"] == 1


async def test_the_influence_of_interventions_is_that_of_their_channels(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path) as here:
        spec = replace(
            here.influence(),
            sets=((0, 2), (2,)),
            indices=(0, 1),
            subject="interventions",
        )
        job = await here.runner.create(spec, model="models/toy-vae")
        found = here.arrays(await here.done(job))
        single = here.arrays(await here.done(await here.create()))
        np.testing.assert_allclose(found["maps"][1], single["maps"][2], rtol=0, atol=1e-6)
