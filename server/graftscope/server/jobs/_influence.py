"""An influence job: shards side by side, their sums added in order (DESIGN's numbers 3 and 9).

It must not know databases, watchers or gRPC.
"""

import asyncio
import statistics
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import asdict, replace

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
from graftscope.server.jobs._ran import how_it_ran
from graftscope.server.jobs._specification import InfluenceSpec
from graftscope.server.jobs._stopping import Rule
from graftscope.server.jobs._store import Estimate, Json, Result
from graftscope.server.jobs._sums import Sums

OnSums = Callable[[Sums], Awaitable[None]]

Look = Callable[[Sums], Awaitable[Sums]]
"""Takes a stopping rule's look at sums, elsewhere: it takes a while."""

# Mean and standard error of a map, and two numbers and an index a set.
_BYTES_A_PIXEL = 2 * 8
_BYTES_A_SET = 3 * 8
_BYTES_A_LAYER_OF = 8

_TRIALS = 3
_TRIAL_S = 1.0


def shard(spec: InfluenceSpec, index: int) -> range:
    """Indices of the pairs in a shard."""
    start = spec.first + index * SHARD_PAIRS
    return range(start, min(start + SHARD_PAIRS, spec.first + spec.pairs))


def shard_count(spec: InfluenceSpec) -> int:
    """How many shards a job has at most."""
    return -(-spec.pairs // SHARD_PAIRS)


def expected_shards(spec: InfluenceSpec, rule: Rule | None, sums: Sums) -> int:
    """How many shards a job will have, as far as its sums tell; more than its maximum never."""
    return shard_count(spec) if rule is None else -(-rule.expected_pairs(sums) // SHARD_PAIRS)


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
    batch = subject.record(source, pairs, plan, cancellation)
    batch_s = _seconds(lambda: subject.record(source, pairs, plan, cancellation))
    runs_s, pixels = 0.0, 0
    for some, count in subject.kinds(plan):
        pixels = batch.effects(some).total[0].size
        runs_s += count * _seconds(lambda some=some: batch.effects(some))  # type: ignore[misc]
    sets, batches = len(subject), -(-spec.pairs // plan.batch)
    # A shard is not divided between workers.
    side_by_side = min(runs_side_by_side(subject.generator, workers), shard_count(spec))
    products_bytes = sets * sets * 8 if spec.products else 0
    set_bytes = _BYTES_A_SET + (_BYTES_A_LAYER_OF if spec.each_layer else 0)
    return Estimate(
        duration_s=batches * (batch_s + runs_s) / side_by_side,
        hybrids=sets * spec.pairs,
        result_bytes=sets * (pixels * _BYTES_A_PIXEL + set_bytes) + products_bytes,
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
    rule: Rule | None = None,
    look: Look | None = None,
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
        rule: what may end it before the last shard. Shards that were begun ahead are then dropped.
        look: runs the rule's look at sums; needed with a rule.

    Raises:
        Cancelled: the job was cancelled.
    """
    if sums is not None and rule is not None and rule.holds(sums):
        return sums
    first = sums.shards if sums else 0
    ordered = _in_order(subject, source, plan, spec, first, executor, workers, cancellation)
    async with aclosing(ordered) as shards:
        async for effects in shards:
            sums = await asyncio.to_thread(_add, sums, effects, spec.originals.stratified)
            if rule is not None and look is not None and rule.is_look(sums):
                sums = await look(sums)
            await on_sums(sums)
            if rule is not None and rule.holds(sums):
                break
    assert sums is not None
    return sums


async def _in_order(
    subject: Subject,
    source: PairSource,
    plan: Plan,
    spec: InfluenceSpec,
    first: int,
    executor: Executor,
    workers: int,
    cancellation: Cancellation,
) -> AsyncGenerator[ShardEffects, None]:
    """The shards from the first on, in order; those begun ahead are stopped when it is closed."""
    loop = asyncio.get_running_loop()
    bounded = runs_side_by_side(subject.generator, workers)
    # One more than there are workers, so that none idles while sums are added; but where memory
    # bounds the runs, no more than may go on.
    ahead = bounded if bounded < workers else workers + 1
    waiting: deque[asyncio.Future[ShardEffects]] = deque()
    submitted, total, runs = first, shard_count(spec), cancellation.child()
    try:
        while submitted < total or waiting:
            while submitted < total and len(waiting) < ahead:
                pairs = shard(spec, submitted)
                arguments = (subject, plan, source, pairs, runs)
                waiting.append(loop.run_in_executor(executor, shard_effects, *arguments))
                submitted += 1
            effects = await waiting[0]
            waiting.popleft()
            yield effects
    finally:
        if waiting:
            runs.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def finish(
    subject: Subject,
    source: PairSource,
    plan: Plan,
    spec: InfluenceSpec,
    sums: Sums,
    artifacts: ArtifactStore,
    cancellation: Cancellation,
    rule: Rule | None = None,
) -> Result:
    """Stores the result arrays: maps, their standard errors, individual influences and theirs.

    Raises:
        Cancelled: the job was cancelled while its plan was compared with the plain path.
    """
    pairs = range(spec.first, spec.first + sums.pairs)
    arrays = {
        "maps": sums.moments.mean,
        "stderr": sums.moments.stderr(),
        "individual": sums.individual.mean.ravel(),
        "individual_stderr": sums.individual.stderr().ravel(),
        "channels": np.array(spec.indices, dtype=np.int64),
    }
    if sums.products is not None:
        arrays["products"] = sums.products / sums.pairs
    if spec.each_layer:
        counts = [len(rows) for rows in spec.rows]
        arrays["layer_of"] = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    image = subject.generator.manifest.image
    return Result(
        arrays={name: artifacts.put(array) for name, array in arrays.items()},
        scalars={
            "range_width": image.high - image.low,
            "pairs": sums.pairs,
            "distinct_images": source.distinct_images(pairs),
            "originals": source.kind,
            "stratified": spec.originals.stratified,
            "layer": spec.layer,
            "model_digest": spec.model,
            **how_it_ran(subject, source, plan, pairs, cancellation),
            **_stopping(rule, spec, sums),
            **({"layers": [each.layer for each in spec.each_layer]} if spec.each_layer else {}),
        },
    )


def _stopping(rule: Rule | None, spec: InfluenceSpec, sums: Sums) -> dict[str, Json]:
    if rule is None:
        return {}
    return {"stopping": {**asdict(rule.verdict(sums)), "max_pairs": spec.pairs}}


def _add(sums: Sums | None, effects: ShardEffects, stratified: bool) -> Sums:
    """With a shard more. Stratified pairs depend on each other: their mean is one observation."""
    moments, individual = effects.moments, MapMoments.from_pixel_means(effects.pixel_means)
    pairs_each = 1
    if stratified:
        pairs_each = moments.count
        moments, individual = moments.as_one(), individual.as_one()
    if sums is None:
        return Sums(1, moments, individual, effects.products, pairs_each=pairs_each)
    return replace(
        sums,
        shards=sums.shards + 1,
        moments=sums.moments.merge(moments),
        individual=sums.individual.merge(individual),
        products=_sum(sums.products, effects.products),
    )


def _sum(
    a: NDArray[np.float64] | None, b: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    return None if a is None or b is None else a + b
