"""Influence of one shard of pairs: record, splice, run, accumulate (section 3.2, equation 3).

It must not know jobs, gRPC or workers: a shard in, its sums out.
"""

from graftscope.server.engine._originals import PairSource
from graftscope.server.engine._plan import Plan
from graftscope.server.engine._precision import CUDA
from graftscope.server.engine._sessions import Cancellation
from graftscope.server.engine._shard_sums import DeviceSums, HostSums, ShardEffects, ShardSums
from graftscope.server.engine._subjects import Subject


def shard_effects(
    subject: Subject, plan: Plan, source: PairSource, pairs: range, cancellation: Cancellation
) -> ShardEffects:
    """Computes one shard, in runs of the plan's size and in order.

    Args:
        subject: whose influence.
        plan: the size of a run.
        source: where the pairs come from.
        pairs: indices of the shard's pairs.
        cancellation: what may stop it.

    Raises:
        Cancelled: the job was cancelled.
    """
    sums = _sums(subject, plan, len(pairs), cancellation)
    for start in range(pairs.start, pairs.stop, plan.batch):
        some_pairs = range(start, min(start + plan.batch, pairs.stop))
        batch = subject.record(source, some_pairs, plan, cancellation)
        for first in range(0, len(subject), plan.sets):
            some = range(first, min(first + plan.sets, len(subject)))
            subject.generator.turns.wait(cancellation)
            sums.add(some, len(some_pairs), batch.effects(some))
        sums.end_batch(len(some_pairs))
    return sums.result()


def _sums(subject: Subject, plan: Plan, pairs: int, cancellation: Cancellation) -> ShardSums:
    """Where sums grow: on the device, where that is not the processor."""
    if plan.provider == CUDA and not subject.products:
        return DeviceSums(subject.generator.on(plan.backend), cancellation)
    return HostSums(len(subject), pairs, products=subject.products)
