"""Reduced precision without its bias: which batches are computed in float32 too, and how many.

The cheap maps of all pairs and the differences of some give what float32 gives in expectation
(`analysis.TwoLevels`). Which pairs those are depends on the plan and on a batch's place in the job,
so that bits depend neither on workers nor on interruptions; and the first ones are among them, so
that a job which stops early has a correction. It must not know jobs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from graftscope.server.analysis import best_share, relative_cost
from graftscope.server.engine._deviation import (
    SAMPLE_PAIRS,
    SAMPLE_SETS,
    Chooser,
    batch_means,
    plain,
    spread,
)
from graftscope.server.engine._plan import SHARD_PAIRS, Plan
from graftscope.server.engine._precision import Precision
from graftscope.server.engine._trials import WORTH_S, Trial, agrees, choose, seconds_a_pair
from graftscope.server.logs import get_logger

LEAST_PAIRS = 16
"""So many pairs of a job are corrected at least, if it has as many."""

LEAST_BATCHES = 4
"""In at least so many batches: each is one observation, and their spread has to be known."""

PAYS = 0.9
"""`auto` takes a corrected precision that needs this share of float32's time at equal standard
errors: measured times are uncertain by about as much."""

# The fewer pairs a batch, the more observations of a difference they are.
_SMALLEST_BATCH, _LARGEST_BATCH = 2, 8

# Sets a run, where smaller batches leave room for more.
_MOST_SETS = 128

# Rarer corrections save nothing that could be measured.
_LEAST_SHARE = 2.0**-10

_log = get_logger("engine")


@dataclass(frozen=True)
class _Levels:
    """What decides how many pairs are corrected.

    Attributes:
        cheap_s: seconds a pair.
        exact_s: likewise, in float32.
        ratio: variance of float32 minus cheap, as a share of that of float32.
    """

    cheap_s: float
    exact_s: float
    ratio: float

    @property
    def every(self) -> int:
        """Of how many batches one is best corrected.

        A power of two: what that loses is little, and another measurement gives the same.
        """
        share = best_share(self.cheap_s, self.exact_s, self.ratio)
        return 1 << round(-math.log2(max(share, _LEAST_SHARE)))

    def cost(self, share: float, float32_s: float) -> float:
        """Time at a share, as a share of float32's at the same standard errors."""
        cost = relative_cost(share, self.cheap_s, self.exact_s, self.ratio)
        return cost * self.exact_s / float32_s


def corrected_batches(plan: Plan, pairs: range, first: int, *, grouped: bool) -> list[range]:
    """The batches of a shard that are computed in float32 too, as the plan says.

    Args:
        plan: of the job.
        pairs: indices of the shard's pairs.
        first: index of the job's first pair.
        grouped: whether a shard's pairs depend on each other, so that it is one observation: then
            the first batch of each of the first shards counts, not the first batches of the job.
    """
    if not plan.corrected_every:
        return []
    starts = range(pairs.start, pairs.stop, plan.batch)
    batches = [range(start, min(start + plan.batch, pairs.stop)) for start in starts]
    shard = (pairs.start - first) // SHARD_PAIRS
    before = shard * (SHARD_PAIRS // plan.batch)
    least = _least_batches(plan)

    def is_corrected(i: int) -> bool:
        is_first = shard < least and i == 0 if grouped else before + i < least
        # One that is smaller than the others would be an observation that varies more.
        is_whole = len(batches[i]) == plan.batch or before + i == 0
        return is_whole and (is_first or (before + i) % plan.corrected_every == 0)

    return [batch for i, batch in enumerate(batches) if is_corrected(i)]


def corrected(trial: Trial, plan: Plan) -> Plan:
    """A plan in reduced precision, with as many pairs corrected as measured times and spreads say.

    Args:
        trial: the job's pairs.
        plan: what runs; one in float32 stays as it is.

    Raises:
        Cancelled: it was stopped.
    """
    if plan.backend.precision is Precision.FP32:
        return plan
    return _corrected(trial, plan)[0]


def choose_corrected(trial: Trial, candidates: Sequence[Plan], choose: Chooser = choose) -> Plan:
    """What `auto` takes: reduced precision with its correction where that pays, else float32.

    Args:
        trial: what is measured.
        candidates: plans of every backend, the plain one first.
        choose: finds the fastest of plans.

    Raises:
        Cancelled: it was stopped.
    """
    float32 = [plan for plan in candidates if plan.backend.precision is Precision.FP32]
    best = choose(trial, float32)
    reduced = {plan.backend for plan in candidates if plan not in float32}
    if not reduced or seconds_a_pair(trial, best) * len(trial.pairs) < WORTH_S:
        return best
    least = PAYS
    float32_s = seconds_a_pair(trial, best)
    for backend in sorted(reduced, key=str):
        plans = [plan for plan in candidates if plan.backend == backend]
        plan, levels = _corrected(trial, choose(trial, plans))
        cost = levels.cost(corrected_share(plan, len(trial.pairs)), float32_s)
        _log.debug("correction reckoned", plan=str(plan), cost=round(cost, 3))
        if cost < least:
            best, least = plan, cost
    return best


def corrected_share(plan: Plan, pairs: int) -> float:
    """About which share of a job's pairs is computed in float32 too."""
    if not plan.corrected_every:
        return 0.0
    least = _least_batches(plan) * plan.batch
    return min(1.0, max(least / pairs, 1 / plan.corrected_every))


def _corrected(trial: Trial, plan: Plan) -> tuple[Plan, _Levels]:
    finer = _finer(plan, len(trial.subject))
    reference = plain(trial.subject.generator, finer)
    if finer.rewrites and not agrees(trial, finer.exact, reference):
        finer = replace(finer, rewrites=())
    cheap_s, exact_s = (seconds_a_pair(trial, x) for x in (finer, finer.exact))
    levels = _Levels(cheap_s, exact_s, _ratio(trial, finer))
    return replace(finer, corrected_every=levels.every), levels


def _finer(plan: Plan, sets: int) -> Plan:
    """The plan with smaller batches of more sets, as far as there are sets to fill a run with."""
    hybrids, batch = plan.batch * plan.sets, min(plan.batch, _LARGEST_BATCH)
    while batch // 2 >= _SMALLEST_BATCH and batch // 2 * min(sets, _MOST_SETS) >= hybrids:
        batch //= 2
    return replace(plan, batch=batch, sets=max(plan.sets, min(hybrids // batch, _MOST_SETS)))


def _ratio(trial: Trial, plan: Plan) -> float:
    """Of the variances of differences and of maps in float32, each summed over a sample's entries.

    1 where it cannot be known: then all is corrected.
    """
    pairs = trial.pairs[: max(SAMPLE_PAIRS, LEAST_BATCHES * plan.batch)]
    pairs = pairs[: len(pairs) // plan.batch * plan.batch]
    if len(pairs) < 2 * plan.batch:
        return 1.0

    def measure() -> float:
        sets = spread(len(trial.subject), SAMPLE_SETS)
        cheap, exact = (batch_means(trial, x, pairs, sets) for x in (plan, plan.exact))
        of_difference, variance = (x.var(axis=0, ddof=1).sum() for x in (exact - cheap, exact))
        return float(of_difference / variance) if variance > 0 else 1.0

    return trial.remembered(("variance of differences", plan), len(pairs), measure)


def _least_batches(plan: Plan) -> int:
    return max(LEAST_BATCHES, -(-LEAST_PAIRS // plan.batch))
