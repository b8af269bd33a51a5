"""Which of several plans is the fastest here, by a short measurement.

Plans on the plain path are taken at their word; of rewritten ones it is checked that they give the
same numbers, and one that does not is left out and said. It must not know jobs.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from graftscope.graph.rewrites import COMPILE
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._originals import PairSource
from graftscope.server.engine._plan import Plan
from graftscope.server.engine._precision import Backend, Precision
from graftscope.server.engine._subjects import Batch, Subject
from graftscope.server.engine._timings import Timings
from graftscope.server.errors import Cancelled
from graftscope.server.logs import get_logger

TOLERANCE = 1e-5
"""How far a rewritten plan's maps may be from the plain path's, of the image's range's width."""

WORTH_S = 1.0
"""A job that takes less than this on the plain path is not worth measuring for; nor is one that
would be over by the time that the other plans are measured."""

CLEARLY = 1.4
"""A plan that is so many times as fast as the first one ends the search on its backend."""

SURELY = 2.5
"""The same of a plan that compiles: graphs alone have not been seen to be so fast."""

NOTABLY = 1.05
"""So many times as fast as the best one so far a plan must be to take its place: between equals the
order decides, and not the noise of a clock."""

_CHECKED_PAIRS = 4

_TRIALS = 3
_TRIALS_S = 0.05

_log = get_logger("engine")


@dataclass(frozen=True)
class _Measured:
    plan: Plan
    seconds_a_pair: float


@dataclass(frozen=True, eq=False)
class Trial:
    """Pairs of a job on which plans are tried.

    Attributes:
        subject: whose influence.
        source: where the pairs come from.
        pairs: the job's, of which the first are tried.
        cancellation: what may stop it.
        timings: what was measured before, of any subject: the same is not measured again.
    """

    subject: Subject
    source: PairSource
    pairs: range
    cancellation: Cancellation
    timings: Timings = field(default_factory=Timings)

    def turn(self) -> AbstractContextManager[None]:
        """One run, once it may begin: interactive calls go first.

        Raises:
            Cancelled: it was stopped.
        """
        return self.subject.generator.turns.turn(self.cancellation)

    def remembered(self, what: object, pairs: int, measure: Callable[[], float]) -> float:
        """What `measure` gives, or once gave for a subject of this shape on so many such pairs."""
        return self.timings.get((self.subject.shape, self.source.kind, pairs, what), measure)

    def record(self, plan: Plan, pairs: range) -> Batch:
        """Both originals of some of the pairs, as a plan says."""
        return self.subject.record(self.source, pairs, plan, self.cancellation)


def choose(
    trial: Trial, candidates: Sequence[Plan], clock: Callable[[], float] = time.perf_counter
) -> Plan:
    """The plan that takes the least time for a pair.

    Args:
        trial: what is measured.
        candidates: at least one plan, of every backend the likeliest first. The very first is
            taken where the whole job takes no longer than measuring would; no more of a backend
            are tried after one that is clearly faster.
        clock: seconds.

    Raises:
        Cancelled: it was stopped.
    """
    if len(candidates) == 1:
        return candidates[0]

    def measure(plan: Plan) -> _Measured:
        measured = _Measured(plan, seconds_a_pair(trial, plan, clock))
        _log.debug(
            "plan measured", plan=str(plan), ms_a_pair=round(1e3 * measured.seconds_a_pair, 3)
        )
        return measured

    started = clock()
    first = measure(candidates[0])
    others_s = (len(candidates) - 1) * (clock() - started)
    if first.seconds_a_pair * len(trial.pairs) < max(WORTH_S, others_s):
        return first.plan
    best, settled = first, set[Backend]()
    for plan in candidates[1:]:
        other = None if plan.backend in settled else _try(measure, plan)
        if other is None or other.seconds_a_pair * NOTABLY >= best.seconds_a_pair:
            continue
        check = partial(agrees, trial, plan, first.plan)
        checked = len(trial.pairs[:_CHECKED_PAIRS])
        if trial.remembered(("agrees", plan, first.plan), checked, check):
            best = other
        clearly = SURELY if COMPILE in best.plan.rewrites else CLEARLY
        if best.seconds_a_pair * clearly < first.seconds_a_pair:
            settled.add(plan.backend)
    return best.plan


def seconds_a_pair(
    trial: Trial,
    plan: Plan,
    clock: Callable[[], float] = time.perf_counter,
    trials_s: float = _TRIALS_S,
) -> float:
    """How long a pair takes, by a batch's originals and one run of each kind.

    Args:
        trial: what is measured.
        plan: how it is run.
        clock: seconds.
        trials_s: a run that takes longer than this is not repeated.

    Raises:
        Cancelled: it was stopped.
    """
    pairs = trial.pairs[: plan.batch]

    def measure() -> float:
        return _measured_s(trial, plan, pairs, clock, trials_s) / len(pairs)

    return trial.remembered(("seconds a pair", plan, trials_s), len(pairs), measure)


def _measured_s(
    trial: Trial, plan: Plan, pairs: range, clock: Callable[[], float], trials_s: float
) -> float:
    """Seconds of all that a batch takes."""
    with trial.turn():
        trial.record(plan, pairs)  # Opens the sessions, as the first run of each kind does.
    with trial.turn():
        started = clock()
        batch = trial.record(plan, pairs)
        total_s = clock() - started
    for some, count in trial.subject.kinds(plan):
        run = partial(batch.effects, some)
        with trial.turn():
            run()
        total_s += count * _seconds(trial, run, clock, trials_s)
    return total_s


def _try(measure: Callable[[Plan], _Measured], plan: Plan) -> _Measured | None:
    """A measurement; None where the rewrites, or ONNX Runtime with what they made, cannot do it."""
    try:
        return measure(plan)
    except Cancelled:
        raise
    except Exception as error:
        # Whatever is wrong with a rewritten graph: the plain path is there.
        if not plan.rewrites:
            raise
        _log.warning("plan failed", rewrites=list(plan.rewrites), error=str(error))
        return None


def agrees(trial: Trial, plan: Plan, first: Plan) -> bool:
    """Whether a plan gives the maps of a first one, of that plan's first run.

    Args:
        trial: on whose first pairs they are compared.
        plan: one in reduced precision agrees always: every reply says how far it is.
        first: the plain path.

    Raises:
        Cancelled: it was stopped.
    """
    some = trial.pairs[: min(plan.batch, _CHECKED_PAIRS)]
    run, _ = trial.subject.kinds(plan)[0]
    plain_plan = replace(first, batch=plan.batch, sets=plan.sets)
    rewritten, plain = (_total(trial, x, some, run) for x in (plan, plain_plan))
    image = trial.subject.generator.manifest.image
    difference = float(np.abs(rewritten - plain).max()) / len(some) / (image.high - image.low)
    if difference <= TOLERANCE or plan.precision != Precision.FP32.value:
        return True
    _log.warning("plan left out", rewrites=list(plan.rewrites), difference=difference)
    return False


def _total(trial: Trial, plan: Plan, pairs: range, run: range) -> NDArray[np.float64]:
    with trial.turn():
        return trial.record(plan, pairs).effects(run).total


def _seconds(
    trial: Trial, work: Callable[[], object], clock: Callable[[], float], most_s: float
) -> float:
    """The median of three times, or of fewer where once is long already."""
    times: list[float] = []
    while len(times) < _TRIALS and sum(times) < most_s:
        with trial.turn():
            started = clock()
            work()
            times.append(clock() - started)
    return statistics.median(times)
