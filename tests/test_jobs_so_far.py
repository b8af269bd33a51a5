"""What a job has found so far is what a job of that many shards finds."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from graftscope.server.engine import SHARD_PAIRS, Cancellation
from graftscope.server.jobs import Sums, result_arrays
from graftscope.server.jobs._influence import run_shards
from graftscope.server.jobs._stopping import Rule
from job_toys import bench, computing

SHARDS = 3


async def nothing(sums: Sums) -> None:
    """Nobody hears of sums."""


async def no_look(rule: Rule, sums: Sums) -> Sums:
    return sums


async def test_partial_maps_have_the_bits_of_a_job_of_so_many_shards(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path / "state", closed_after=SHARDS) as here:
        job = await here.create(pairs=10 * SHARD_PAIRS)
        snapshot = await here.reached(job, SHARDS)
        so_far = await here.runner.so_fars.of(snapshot.job)
        pairs = so_far.sums.pairs
        assert (pairs, so_far.from_checkpoint) == (SHARDS * SHARD_PAIRS, False)
        here.gate.open()
        # The same plan, which every job measures for itself; another one rounds in another way.
        spec = replace(so_far.work.spec, pairs=pairs)
        work = replace(so_far.work, spec=spec, cancellation=Cancellation())
        with ThreadPoolExecutor(1) as threads:
            alone = await run_shards(
                work, None, threads=threads, executor=computing(1), on_sums=nothing, look=no_look
            )
        ours = result_arrays(so_far.work.spec, so_far.sums)
        theirs = result_arrays(spec, alone)
        assert ours.keys() == theirs.keys()
        for name, array in theirs.items():
            np.testing.assert_array_equal(ours[name], array, err_msg=name)
