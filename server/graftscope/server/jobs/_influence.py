"""An influence job: shards side by side, their sums added in order (DESIGN's numbers 3 and 9).

It must not know databases, watchers or gRPC.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Executor as Threads
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import MOST_GROUPS, Correction, MapMoments, ShardGroups
from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    Generator,
    PairSource,
    Plan,
    ShardEffects,
    Subject,
    Timings,
    Trial,
    corrected_batches,
    corrected_share,
    deviation,
    is_plain,
    seconds_a_pair,
)
from graftscope.server.executors import Computed, Executor, Shards
from graftscope.server.jobs._artifact_store import ArtifactStore
from graftscope.server.jobs._checkpoints import Sums
from graftscope.server.jobs._job import Estimate, Json, Result
from graftscope.server.jobs._rules import goes_together, rule_of
from graftscope.server.jobs._specification import InfluenceSpec
from graftscope.server.jobs._stopping import Rule
from graftscope.server.spans import told

Look = Callable[[Rule, Sums], Awaitable[Sums]]
"""Takes a stopping rule's look at sums, elsewhere: it takes a while."""

# Mean and standard error of a map, and two numbers and an index a set.
_BYTES_A_PIXEL = 2 * 8
_BYTES_A_SET = 3 * 8
# Of a group of shards, in float16, and how many pairs it has; and a set's unit.
_BYTES_A_GROUP_PIXEL = 2
_BYTES_A_GROUP = 8
_BYTES_A_UNIT = 8
# Of two sets, and of a group of shards in float32.
_BYTES_A_PRODUCT = 8
_BYTES_A_GROUP_PRODUCT = 4
_BYTES_A_LAYER_OF = 8
_BYTES_A_COUNT = 8

_TRIAL_S = 1.0


@dataclass(frozen=True, eq=False)
class InfluenceWork:
    """What an influence job computes, and how.

    Attributes:
        spec: which pairs, and what is wanted of them.
        subject: whose influence.
        source: where the pairs come from.
        plan: how it is run; the same plan gives the same bits.
        cancellation: what may stop it.
        timings: what was measured before.
    """

    spec: InfluenceSpec
    subject: Subject
    source: PairSource
    plan: Plan
    cancellation: Cancellation
    timings: Timings = field(default_factory=Timings)

    @property
    def rule(self) -> Rule | None:
        """What may end it before the last shard."""
        return rule_of(self.spec)

    def shard(self, index: int) -> range:
        """Indices of the pairs in a shard."""
        start = self.spec.first + index * SHARD_PAIRS
        return range(start, min(start + SHARD_PAIRS, self.spec.first + self.spec.pairs))

    def hybrids_left(self, sums: Sums) -> int:
        """How many hybrids it will still compute, as far as its sums tell."""
        rule = self.rule
        if rule is None:
            return (self.spec.pairs - sums.pairs) * len(self.subject)
        return rule.to_go(sums)

    def corrected(self, index: int) -> list[range]:
        """The batches of a shard that are computed in float32 too."""
        stratified, first = self.spec.originals.stratified, self.spec.first
        return corrected_batches(self.plan, self.shard(index), first, grouped=stratified)

    def trial(self, pairs: range) -> Trial:
        """Some of its pairs, on which plans are tried."""
        return Trial(self.subject, self.source, pairs, self.cancellation, self.timings)

    @property
    def generator(self) -> Generator:
        """What is run."""
        return self.subject.generator


def shard_count(spec: InfluenceSpec) -> int:
    """How many shards a job has at most."""
    return -(-spec.pairs // SHARD_PAIRS)


def result_bytes(spec: InfluenceSpec, map_shape: tuple[int, int]) -> int:
    """The size of the result arrays.

    Args:
        spec: what is computed.
        map_shape: height and width of a map.
    """
    sets, pixels = len(spec.indices), math.prod(map_shape)
    set_bytes = _BYTES_A_SET + (_BYTES_A_LAYER_OF if spec.each_layer else 0)
    set_bytes += 0 if goes_together(spec) else _BYTES_A_COUNT
    groups = min(shard_count(spec), MOST_GROUPS)
    of_a_product = _BYTES_A_PRODUCT + groups * _BYTES_A_GROUP_PRODUCT
    products_bytes = sets * sets * of_a_product if spec.products else 0
    group_bytes = groups * (pixels * _BYTES_A_GROUP_PIXEL + _BYTES_A_GROUP) + _BYTES_A_UNIT
    return sets * (pixels * _BYTES_A_PIXEL + set_bytes + group_bytes) + products_bytes


def outline(spec: InfluenceSpec, generator: Generator) -> Estimate:
    """What a job will compute; how long it takes has to be measured."""
    return Estimate(
        duration_s=None,
        hybrids=len(spec.indices) * spec.pairs,
        result_bytes=result_bytes(spec, generator.map_shape(spec.map_size)),
    )


def seconds_of(work: InfluenceWork, executor: Executor) -> float:
    """How long a job takes: times a batch's originals and one run of each kind.

    Raises:
        Cancelled: it was stopped.
    """
    spec, plan = work.spec, work.plan
    batch = min(plan.batch, spec.pairs)
    pairs = range(spec.first, spec.first + batch)
    pair_s = seconds_a_pair(work.trial(pairs), plan, trials_s=_TRIAL_S)
    if share := corrected_share(plan, spec.pairs):
        pair_s += share * seconds_a_pair(work.trial(pairs), plan.exact, trials_s=_TRIAL_S)
    # A shard is not divided between workers.
    side_by_side = min(executor.side_by_side(work.generator), shard_count(spec))
    return -(-spec.pairs // plan.batch) * batch * pair_s / side_by_side


async def run_shards(
    work: InfluenceWork,
    sums: Sums | None,
    *,
    threads: Threads,
    executor: Executor,
    on_sums: Callable[[Sums], Awaitable[None]],
    look: Look,
    earn: Callable[[float], None] = lambda _: None,
) -> Sums:
    """Computes the shards that are missing. Where a rule holds, those begun ahead are dropped.

    Args:
        work: what is computed.
        sums: over the first shards, where an earlier attempt left some.
        threads: wait for shards, as many as the executor has workers.
        executor: computes them.
        on_sums: called after every shard, in order.
        look: runs the rule's look at sums.
        earn: told what each shard took of a processor, in seconds.

    Raises:
        Cancelled: the job was cancelled.
    """
    with executor.shards(work.subject, work.source, work.plan) as compute:
        pieces = _Pieces(work, compute, threads, executor.begun(work.generator))
        return await _added_up(pieces, sums, on_sums, look, earn)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """How the shards of a job are computed: so many are begun at a time, in threads that wait."""

    work: InfluenceWork
    compute: Shards
    threads: Threads
    begun: int


async def _added_up(
    pieces: _Pieces,
    sums: Sums | None,
    on_sums: Callable[[Sums], Awaitable[None]],
    look: Look,
    earn: Callable[[float], None],
) -> Sums:
    """As `run_shards`."""
    work = pieces.work
    rule, total = work.rule, shard_count(work.spec)
    while True:
        done = 0 if sums is None else sums.shards
        if done == total or (rule is not None and sums is not None and rule.holds(sums)):
            assert sums is not None
            return sums
        rows = None if rule is None or sums is None else rule.rows(sums)
        # Which maps a later shard is of is known after the next look.
        until = total if rule is None else min(total, rule.fixed_until(done))
        async with aclosing(_in_order(pieces, rows, range(done, until))) as shards:
            async for computed in shards:
                earn(computed.processor_s)
                sums = await asyncio.to_thread(_with, sums, computed, rows, work.spec)
                if rule is not None and rule.is_look(sums):
                    sums = await look(rule, sums)
                await on_sums(sums)
                if rule is not None and rule.holds(sums):
                    break


async def _in_order(
    pieces: _Pieces, rows: NDArray[np.int64] | None, shards: range
) -> AsyncGenerator[Computed, None]:
    """Shards of some rows, in order; those begun ahead are stopped when it is closed."""
    loop, work = asyncio.get_running_loop(), pieces.work
    waiting: deque[asyncio.Future[Computed]] = deque()
    submitted, runs = iter(shards), work.cancellation.child()
    compute = told("shard", runs.around(pieces.compute))
    try:
        while True:
            for index in islice(submitted, pieces.begun - len(waiting)):
                arguments = (rows, work.shard(index), work.corrected(index), runs)
                waiting.append(loop.run_in_executor(pieces.threads, compute, *arguments))
            if not waiting:
                return
            computed = await waiting[0]
            waiting.popleft()
            yield computed
    finally:
        if waiting:
            runs.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def finish(work: InfluenceWork, sums: Sums, artifacts: ArtifactStore) -> Result:
    """Stores the result arrays.

    Raises:
        Cancelled: the job was cancelled while its plan was compared with the plain path.
    """
    arrays = result_arrays(work.spec, sums)
    return Result(
        arrays={name: artifacts.put(array) for name, array in arrays.items()},
        scalars={**result_scalars(work, sums), **_deviation(work, sums)},
    )


def result_arrays(spec: InfluenceSpec, sums: Sums) -> dict[str, NDArray[np.generic]]:
    """What sums amount to: maps, their standard errors, individual influences and theirs."""
    arrays: dict[str, NDArray[np.generic]] = {
        "maps": sums.map_estimate.mean,
        "stderr": sums.map_estimate.stderr(),
        "individual": sums.individual_estimate.mean.ravel(),
        "individual_stderr": sums.individual_estimate.stderr().ravel(),
        "channels": np.array(spec.indices, dtype=np.int64),
    }
    if sums.correction is not None:
        differences = sums.correction.individual.moments
        arrays["correction"] = differences.mean.ravel()
        arrays["correction_stderr"] = differences.stderr().ravel()
    if (products := sums.mean_products) is not None:
        arrays["products"] = products
    if not goes_together(spec):
        arrays["pairs_of"] = sums.pairs_of
    if (groups := sums.group_estimate) is not None:
        arrays |= {
            "group_maps": groups.means,
            "group_pairs": groups.pairs,
            "group_units": groups.units,
        }
    if sums.product_groups is not None:
        arrays["group_products"] = sums.product_groups.as_products()
    if spec.each_layer:
        arrays["layer_of"] = spec.layer_of
    return arrays


def result_scalars(work: InfluenceWork, sums: Sums) -> dict[str, Json]:
    """What is told beside them, but for the deviation, which takes runs to measure."""
    spec, plan = work.spec, work.plan
    image = work.subject.generator.manifest.image
    return {
        "range_width": image.high - image.low,
        "pairs": sums.pairs,
        "distinct_images": work.source.distinct_images(_pairs(spec, sums)),
        "originals": work.source.kind,
        "stratified": spec.originals.stratified,
        "layer": spec.layer,
        "model_digest": spec.model,
        "provider": plan.provider,
        "precision": plan.precision,
        "rewrites": list(plan.rewrites),
        **_corrected(sums),
        **_stopping(work, sums),
        **({"layers": [each.layer for each in spec.each_layer]} if spec.each_layer else {}),
    }


def _pairs(spec: InfluenceSpec, sums: Sums) -> range:
    return range(spec.first, spec.first + sums.pairs)


def _deviation(work: InfluenceWork, sums: Sums) -> dict[str, Json]:
    """The measured deviation, unless all was plain."""
    if is_plain(work.subject.generator, work.plan):
        return {}
    trial = work.trial(_pairs(work.spec, sums))
    return {"deviation": asdict(deviation(trial, work.plan))}


def _corrected(sums: Sums) -> dict[str, Json]:
    """How many pairs were computed in float32 too; of the map that has had the most."""
    if sums.correction is None:
        return {}
    return {"corrected_pairs": int(sums.correction.pairs_of.max())}


def _stopping(work: InfluenceWork, sums: Sums) -> dict[str, Json]:
    rule = work.rule
    if rule is None:
        return {}
    return {"stopping": {**asdict(rule.verdict(sums)), "max_pairs": work.spec.pairs}}


def _with(
    sums: Sums | None,
    computed: Computed,
    rows: NDArray[np.int64] | None,
    spec: InfluenceSpec,
) -> Sums:
    """With a shard more, whose sums are fetched from where they lie."""
    return _add(sums, computed.effects(), rows, spec)


def _add(
    sums: Sums | None,
    effects: ShardEffects,
    rows: NDArray[np.int64] | None,
    spec: InfluenceSpec,
) -> Sums:
    """With a shard more, of some rows or all of them.

    Stratified pairs depend on each other: their mean is one observation.
    """
    moments, individual = effects.moments, MapMoments.from_pixel_means(effects.pixel_means)
    groups = ShardGroups.none(*_sizes(moments)) if sums is None else sums.groups
    if groups is not None:
        groups = groups.and_then(*_of_all(moments, rows, len(groups.units)))
    product_groups = _product_groups(sums, effects)
    pairs_each, correction = 1, effects.correction
    if spec.originals.stratified:
        pairs_each = int(moments.count[0])
        moments, individual = moments.as_one(), individual.as_one()
        correction = correction and correction.as_one(moments, individual)
    if sums is None:
        return Sums(
            1,
            moments,
            individual,
            effects.products,
            pairs_each=pairs_each,
            correction=correction,
            groups=groups,
            product_groups=product_groups,
        )
    return replace(
        sums,
        shards=sums.shards + 1,
        moments=sums.moments.merge(moments, rows),
        individual=sums.individual.merge(individual, rows),
        products=_sum(sums.products, effects.products),
        correction=_merged(sums.correction, correction, rows),
        groups=groups,
        product_groups=product_groups,
    )


def _product_groups(sums: Sums | None, effects: ShardEffects) -> ShardGroups | None:
    """Groups of products with a shard more; None where an earlier version kept none."""
    products, count = effects.products, effects.moments.count
    if products is None:
        return None
    before = ShardGroups.none_of_products(len(count)) if sums is None else sums.product_groups
    return before and before.and_then((products / count)[:, np.newaxis], count)


def _sizes(moments: MapMoments) -> tuple[int, tuple[int, int]]:
    """How many maps there are, and their height and width."""
    sets, height, width = moments.mean.shape
    return sets, (height, width)


def _of_all(
    moments: MapMoments, rows: NDArray[np.int64] | None, sets: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The means and counts of all maps, of which those that are not among the rows had no pairs."""
    if rows is None:
        return moments.mean, moments.count
    means, count = np.zeros((sets, *moments.mean.shape[1:])), np.zeros(sets, dtype=np.int64)
    means[rows], count[rows] = moments.mean, moments.count
    return means, count


def _merged(
    before: Correction | None, later: Correction | None, rows: NDArray[np.int64] | None
) -> Correction | None:
    if before is None or later is None:
        return before or later
    return before.merge(later, rows)


def _sum(
    a: NDArray[np.float64] | None, b: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    return None if a is None or b is None else a + b
