"""An influence job: shards side by side, their sums added in order (DESIGN's numbers 3 and 9).

It must not know databases, watchers or gRPC.
"""

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import MapMoments
from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    PairSource,
    Plan,
    ShardEffects,
    Subject,
    runs_side_by_side,
    shard_effects,
)
from graftscope.server.jobs._artifacts import ArtifactStore
from graftscope.server.jobs._checkpoints import Sums
from graftscope.server.jobs._specification import InfluenceSpec
from graftscope.server.jobs._store import Estimate, Result

OnSums = Callable[[Sums], Awaitable[None]]

# Mean and standard error of a map, and two numbers and an index a set.
_BYTES_A_PIXEL = 2 * 8
_BYTES_A_SET = 3 * 8

_TRIALS = 3
_TRIAL_S = 1.0


def shard(spec: InfluenceSpec, index: int) -> range:
    """Indices of the pairs in a shard."""
    start = spec.first + index * SHARD_PAIRS
    return range(start, min(start + SHARD_PAIRS, spec.first + spec.pairs))


def shard_count(spec: InfluenceSpec) -> int:
    """How many shards a job has."""
    return -(-spec.pairs // SHARD_PAIRS)


def estimate(
    subject: Subject,
    source: PairSource,
    plan: Plan,
    spec: InfluenceSpec,
    *,
    workers: int,
    cancellation: Cancellation,
) -> Estimate:
    """Times a batch's originals and one run of each kind, after first ones that open the sessions.

    Raises:
        Cancelled: it was stopped.
    """
    pairs = range(spec.first, spec.first + min(plan.batch, spec.pairs))
    batch = subject.record(source, pairs, cancellation)
    batch_s = _seconds(lambda: subject.record(source, pairs, cancellation))
    runs_s, pixels = 0.0, 0
    for some, count in subject.kinds(plan):
        pixels = batch.effects(some).total[0].size
        runs_s += count * _seconds(lambda some=some: batch.effects(some))  # type: ignore[misc]
    sets, batches = len(subject), -(-spec.pairs // plan.batch)
    # A shard is not divided between workers.
    side_by_side = min(runs_side_by_side(subject.generator, workers), shard_count(spec))
    products_bytes = sets * sets * 8 if spec.products else 0
    return Estimate(
        duration_s=batches * (batch_s + runs_s) / side_by_side,
        hybrids=sets * spec.pairs,
        result_bytes=sets * (pixels * _BYTES_A_PIXEL + _BYTES_A_SET) + products_bytes,
    )


def _seconds(work: Callable[[], object]) -> float:
    """The median of three times, or of fewer where once is long already."""
    times: list[float] = []
    while len(times) < _TRIALS and sum(times) < _TRIAL_S:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


async def run_shards(
    subject: Subject,
    source: PairSource,
    plan: Plan,
    spec: InfluenceSpec,
    *,
    sums: Sums | None,
    executor: Executor,
    workers: int,
    cancellation: Cancellation,
    on_sums: OnSums,
) -> Sums:
    """Computes the shards that are missing; the same plan gives the same bits.

    Args:
        subject: whose influence.
        source: where pairs come from.
        plan: the size of a run.
        spec: which pairs.
        sums: over the first shards, where an earlier attempt left some.
        executor: runs shards in `workers` threads.
        workers: how many shards go side by side.
        cancellation: what may stop it.
        on_sums: called after every shard, in order.

    Raises:
        Cancelled: the job was cancelled.
    """
    loop = asyncio.get_running_loop()
    bounded = runs_side_by_side(subject.generator, workers)
    # One more than there are workers, so that none idles while sums are added; but where memory
    # bounds the runs, no more than may go on.
    ahead = bounded if bounded < workers else workers + 1
    waiting: deque[asyncio.Future[ShardEffects]] = deque()
    submitted, total = (sums.shards if sums else 0), shard_count(spec)
    try:
        while submitted < total or waiting:
            while submitted < total and len(waiting) < ahead:
                pairs = shard(spec, submitted)
                arguments = (subject, plan, source, pairs, cancellation)
                waiting.append(loop.run_in_executor(executor, shard_effects, *arguments))
                submitted += 1
            effects = await waiting[0]
            waiting.popleft()
            sums = await asyncio.to_thread(_add, sums, effects)
            await on_sums(sums)
    finally:
        if waiting:
            cancellation.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
    assert sums is not None
    return sums


def finish(
    subject: Subject, source: PairSource, spec: InfluenceSpec, sums: Sums, artifacts: ArtifactStore
) -> Result:
    """Stores the result arrays: maps, their standard errors, individual influences and theirs."""
    arrays = {
        "maps": sums.moments.mean,
        "stderr": sums.moments.stderr(),
        "individual": sums.individual.mean.ravel(),
        "individual_stderr": sums.individual.stderr().ravel(),
        "channels": np.array(spec.indices, dtype=np.int64),
    }
    if sums.products is not None:
        arrays["products"] = sums.products / sums.moments.count
    image = subject.generator.manifest.image
    return Result(
        arrays={name: artifacts.put(array) for name, array in arrays.items()},
        scalars={
            "range_width": image.high - image.low,
            "pairs": spec.pairs,
            "distinct_images": source.distinct_images(range(spec.first, spec.first + spec.pairs)),
            "originals": source.kind,
            "layer": spec.layer,
            "model_digest": spec.model,
            "provider": subject.generator.provider,
        },
    )


def _add(sums: Sums | None, effects: ShardEffects) -> Sums:
    individual = MapMoments.from_pixel_means(effects.pixel_means)
    if sums is None:
        return Sums(1, effects.moments, individual, effects.products)
    return Sums(
        sums.shards + 1,
        sums.moments.merge(effects.moments),
        sums.individual.merge(individual),
        _sum(sums.products, effects.products),
    )


def _sum(
    a: NDArray[np.float64] | None, b: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    return None if a is None or b is None else a + b
