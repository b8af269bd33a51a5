"""A job's life: its turn, its work, and the state that it ends in.

Jobs of different principals go on side by side and share the workers (`_lanes`, `_scheduling`);
modules are found and compared beside influence. It must not
know gRPC, or how jobs are created and watched.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor as Threads
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from graftscope.server.analysis import import_libraries
from graftscope.server.engine import KeptTimings, MemoryBudget, PairSource, Subject
from graftscope.server.errors import Cancelled, LeaseLost, StoreUnavailable
from graftscope.server.executors import Executor
from graftscope.server.failpoints import reach
from graftscope.server.jobs._checkpoints import Sums
from graftscope.server.jobs._clustering import run_modules, run_stability
from graftscope.server.jobs._counts import JobCounts
from graftscope.server.jobs._expiry import Retention
from graftscope.server.jobs._influence import InfluenceWork, finish, run_shards, shard_count
from graftscope.server.jobs._job import Failure, Job, JobState, Outcome, Result, end
from graftscope.server.jobs._lanes import Lane, Place
from graftscope.server.jobs._live_job import Counter, Live, Snapshot, Tracker
from graftscope.server.jobs._magnitude import run_magnitude
from graftscope.server.jobs._peers import LEASE_S
from graftscope.server.jobs._preparation import Preparation, stored_plan
from graftscope.server.jobs._room import QUEUED_JOBS
from graftscope.server.jobs._specification import (
    ConfidentLabelsSpec,
    InfluenceSpec,
    LabelsSpec,
    MagnitudeSpec,
    ModulesSpec,
    Spec,
    StabilitySpec,
    StableLabelsSpec,
    parse_spec,
)
from graftscope.server.jobs._stopping import Rule
from graftscope.server.jobs._telling import about, came_of, of_whom
from graftscope.server.jobs._thread_pools import SIDE_BY_SIDE, ThreadPools
from graftscope.server.jobs._worth import run_worth
from graftscope.server.jobs._worth_specs import WorthSpec
from graftscope.server.logs import get_logger
from graftscope.server.spans import part
from graftscope.server.workers import Run

_log = get_logger("jobs")

CHECKPOINT_S = 5.0
"""Seconds between two times that a job keeps its sums, where nothing else is said."""

# Jobs of a kind that go on at once, of all principals: each holds sums in memory.
_MOST_UNDER_WAY = 32

# Between two times that what a job came to is tried to be kept.
_RETRY_S = 0.5

PLAN_PATIENCE_S = 0.75
"""For how long a call waits for its job's plan, if nothing else is said."""

MOST_CRASHES = 3
"""How often a job may run as its process ends, and get no further, where nothing else is said."""

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class JobSettings:
    """How jobs are run and kept.

    Attributes:
        workers: single-threaded runs side by side in this process, at least 1.
        retention: for how long results are kept.
        describe_failure: an exception to its stable reason and its message.
        memory: what calls and jobs may take together.
        checkpoint_every_s: seconds between checkpoints; a crash loses at most this much work.
        lease_s: for how long a server may be silent before others take up its jobs.
        most_crashes: a job that ran so often as its process ended, and got no further, fails.
        queued: how many jobs may run or wait.
        plan_patience_s: for how long a call waits for its job's plan; it is found in the job's turn
            where that takes longer.
        timings: where what is measured of plans outlasts the process; None for nowhere.
        executor: what computes pieces of jobs; None for this process.
    """

    workers: int
    retention: Retention
    describe_failure: Callable[[Exception], Failure]
    checkpoint_every_s: float = CHECKPOINT_S
    lease_s: float = LEASE_S
    most_crashes: int = MOST_CRASHES
    queued: int = QUEUED_JOBS
    plan_patience_s: float = PLAN_PATIENCE_S
    memory: MemoryBudget = field(default_factory=MemoryBudget)
    timings: KeptTimings | None = None
    executor: Executor | None = None


Needed = Callable[[Live, InfluenceSpec, Callable[[Snapshot], None]], Awaitable[Result]]
"""Runs an influence job that another job needs to its end, and tells of its progress."""


class NeededFailed(Exception):
    """An influence job that another job needs has failed.

    Attributes:
        failure: why.
    """

    def __init__(self, failure: Failure) -> None:
        """Takes over the other job's reason."""
        super().__init__(failure.message)
        self.failure = failure


class Lifecycle:
    """Runs jobs to their end.

    Args:
        preparation: where jobs are kept; from names and checksums to models and arrays.
        settings: how jobs are run.
        threads: where they compute, or wait.
        needed: runs influence jobs that other jobs need.

    Attributes:
        counts: what jobs have come to.
    """

    def __init__(
        self,
        preparation: Preparation,
        settings: JobSettings,
        threads: ThreadPools,
        needed: Needed,
    ) -> None:
        self._store, self._checkpoints = preparation.store, preparation.checkpoints
        self._preparation = preparation
        self._artifacts = preparation.resolver.artifacts
        self._settings = settings
        self._needed = needed
        self.counts = JobCounts()
        self._threads = threads
        self._suspects = asyncio.Semaphore(1)
        self._lanes = {
            "influence": Lane(_MOST_UNDER_WAY, each=2),
            "modules": Lane(SIDE_BY_SIDE),
            "stability": Lane(SIDE_BY_SIDE),
            "magnitude": Lane(_MOST_UNDER_WAY),
        }
        worth = Lane(SIDE_BY_SIDE)
        self._lanes |= dict.fromkeys(("faithfulness", "independence", "reach", "probe"), worth)

    def close(self) -> None:
        """Ends the threads; a search that was dropped is not waited for."""
        self._threads.close()

    async def run(self, live: Live) -> None:
        """Runs a job. Whatever happens, it ends in a state that watchers see."""
        try:
            await self._settle(live, await self._outcome(live))
        except LeaseLost:
            _log.warning("job dropped: another server has it", job=live.snapshot.job.id)
            live.lose()
        except Exception as error:
            # What it came to cannot be kept: the database's file is damaged.
            failure = self._settings.describe_failure(error)
            _log.error("job lost", job=live.snapshot.job.id, error=failure.message)
            outcome = Outcome(JobState.FAILED, failure=failure)
            job = end(live.snapshot.job, outcome, self._settings.retention.keep_s)
            live.publish(replace(live.snapshot, job=job, eta_s=None, sums=None))

    def end(self, job: Job, outcome: Outcome) -> Job:
        """Keeps the state that a job ends in; blocks."""
        ended, result = end(job, outcome, self._settings.retention.keep_s), outcome.result
        if result is not None:
            # With a stopping rule the total is a maximum.
            done = ended.shards_done if "stopping" in result.scalars else ended.shards_total
            ended = replace(ended, shards_done=done, checkpoint=None, checkpoint_before=None)
        if outcome.state is JobState.DONE:
            reach("result-written")
        self._store.update(ended)
        if outcome.state is JobState.DONE:
            reach("result-named")
        if outcome.state is JobState.DONE:
            self._checkpoints.keep_only(ended)
        return ended

    async def _outcome(self, live: Live) -> Outcome:
        try:
            async with self._alone_if_suspect(live), self._turn(live), self._memory(live):
                return Outcome(JobState.DONE, result=await self._compute(live))
        except Cancelled:
            return Outcome(JobState.CANCELLED)
        except LeaseLost:
            raise
        except NeededFailed as error:
            return Outcome(JobState.FAILED, failure=error.failure)
        except Exception as error:
            return Outcome(JobState.FAILED, failure=self._settings.describe_failure(error))

    async def _settle(self, live: Live, outcome: Outcome) -> None:
        """Keeps what a job came to, with the sums so far where it can be gone on with."""
        if live.lost:
            return
        job, sums = live.snapshot.job, live.snapshot.sums
        if sums is not None and sums is not live.kept and outcome.state is not JobState.DONE:
            job = await asyncio.to_thread(self._save, job, sums)
        if live.stopping and outcome.state is JobState.CANCELLED:
            await asyncio.to_thread(self._let_go, job)
            live.close()
            return
        try:
            ended = await self._kept(live, self.end, job, outcome)
        except (StoreUnavailable, OSError) as error:
            _log.warning("job's end not kept: it goes on", job=job.id, error=str(error))
            live.close()
            return
        tell = _log.error if ended.state is JobState.FAILED else _log.info
        came_to = came_of(live, ended)
        tell(f"job {ended.state.name.lower()}", **of_whom(job), **live.about, **came_to)
        live.span.note(state=ended.state.name, **came_to)
        live.publish(replace(live.snapshot, job=ended, eta_s=None, sums=None))

    async def _begun(self, live: Live, job: Job) -> None:
        """Keeps the row of a job whose work goes on.

        Raises:
            Cancelled: the job was cancelled.
        """
        # A write that goes on is waited for: it must not come after that of the job's end.
        await self._kept(live, self._store.update, job, pause=live.unless_cancelled)
        live.cancellation.check()

    async def _kept(
        self,
        live: Live,
        keep: Callable[..., _Value],
        *arguments: object,
        pause: Callable[[Awaitable[None]], Awaitable[None]] = asyncio.ensure_future,
    ) -> _Value:
        """What `keep` gives, which is tried until there is room, or a database, again.

        Args:
            live: the job.
            keep: keeps something; blocks.
            arguments: its own.
            pause: waits between two times; what it raises ends the wait.

        Raises:
            StoreUnavailable, OSError: there is none, and the server stops.
        """
        is_said = False
        while True:
            try:
                return await asyncio.to_thread(keep, *arguments)
            except (StoreUnavailable, OSError) as error:
                if live.stopping:
                    raise
                if not is_said:
                    job_id = live.snapshot.job.id
                    _log.warning("job waits to be kept", job=job_id, error=str(error))
                is_said = True
            await pause(asyncio.sleep(_RETRY_S))

    def _let_go(self, job: Job) -> None:
        """Lets others take a job up at once; they would find out for themselves."""
        try:
            self._store.update(replace(job, state=JobState.QUEUED, server=""))
        except (LeaseLost, StoreUnavailable) as error:
            _log.warning("job not let go", job=job.id, error=str(error))

    @asynccontextmanager
    async def _alone_if_suspect(self, live: Live) -> AsyncIterator[None]:
        """Of jobs that ran when their process ended one at a time runs, so that it shows itself.

        What a magnitude needs are jobs of their own, which it must not keep from running.
        """
        if not live.snapshot.job.crashes or live.snapshot.job.analysis == "magnitude":
            yield
            return
        await live.unless_cancelled(self._suspects.acquire())
        try:
            yield
        finally:
            self._suspects.release()

    @asynccontextmanager
    async def _turn(self, live: Live) -> AsyncIterator[None]:
        """Waits until the job's lane has a place; a job that is cancelled does not wait."""
        lane = self._lanes[live.outline.job.analysis]
        place = Place(live.share, live.left, live.waits_for)
        await live.pack()
        try:
            await live.unless_cancelled(lane.enter(place))
        finally:
            live.unpack()
        try:
            live.cancellation.check()
            yield
        finally:
            lane.leave(place)

    @asynccontextmanager
    async def _memory(self, live: Live) -> AsyncIterator[None]:
        """Waits for the memory that the job will take; a job that is cancelled does not wait.

        Raises:
            TooLarge: there is not so much.
        """
        memory, spec = self._settings.memory, await _spec_of(live)
        need = self._preparation.need(spec)
        if isinstance(spec, MagnitudeSpec):
            # What it is made of takes memory by itself.
            memory.check(need)
            yield
            return
        give_back = await live.unless_cancelled(memory.take_for_job(need))
        try:
            yield
        finally:
            give_back()

    async def _compute(self, live: Live) -> Result:
        job = replace(live.snapshot.job, state=JobState.RUNNING)
        live.set_job(job)
        live.begin()
        await self._begun(live, job)
        spec = await _spec_of(live)
        live.about = about(spec)
        live.span.note(**live.about)
        shards = {"shards_done": job.shards_done, "shards_total": job.shards_total}
        waited = {"waited_s": round(live.waited_s, 3)}
        _log.info("job started", **of_whom(job), **live.about, **shards, **waited)
        match spec:
            case ModulesSpec():
                return await self._find_modules(live, spec)
            case StabilitySpec():
                return await self._stability(live, spec)
            case MagnitudeSpec():
                return await self._magnitude(live, spec)
            case InfluenceSpec():
                return await self._influence(live, spec)
            case WorthSpec():
                return await self._worth(live, spec)

    async def _find_modules(self, live: Live, spec: ModulesSpec) -> Result:
        run = self._threads.processes.of(live.cancellation)
        with part("factorisation", k=spec.k, method=spec.method):
            return await self._in(
                self._threads.modules, live, run_modules, spec, self._artifacts, run
            )

    async def _stability(self, live: Live, spec: StabilitySpec) -> Result:
        threads, counter = self._threads, Counter(_from_start(live), asyncio.get_running_loop())
        run = partial(threads.executor.run, live.cancellation)
        cells = threads.cells.flow(live.share)
        arguments = (spec, self._artifacts, cells, run, counter.one_more)
        with part("stability"):
            return await self._in(threads.comparisons, live, run_stability, *arguments)

    async def _worth(self, live: Live, spec: WorthSpec) -> Result:
        threads, counter = self._threads, Counter(_from_start(live), asyncio.get_running_loop())
        flow = threads.shards.flow(live.share)
        arguments = (spec, self._preparation.resolver, live.cancellation, flow, counter.one_more)
        with part(spec.analysis):
            return await self._in(threads.worths, live, run_worth, *arguments)

    async def _magnitude(self, live: Live, spec: MagnitudeSpec) -> Result:
        counter = Counter(_from_start(live), asyncio.get_running_loop())
        done = 0

        async def influence(needed: InfluenceSpec) -> Result:
            nonlocal done
            with part("influence", layer=needed.layer, pairs=needed.pairs):
                result = await self._needed(
                    live, needed, lambda snapshot: counter.reach(done + snapshot.job.shards_done)
                )
            done += shard_count(needed)
            counter.reach(done)
            await self._got_further(live)
            return result

        generator = self._preparation.resolver.catalogue.by_digest(spec.model)
        run = self._threads.processes.of(live.cancellation)
        arguments = (spec, generator, self._artifacts, self._threads.modules, run)
        memory = self._settings.memory
        return await live.unless_cancelled(run_magnitude(*arguments, influence, memory))

    async def _got_further(self, live: Live) -> None:
        """Something of the job lasts: whatever ended its process before was not the job."""
        if live.snapshot.job.crashes:
            job = replace(live.snapshot.job, crashes=0)
            await live.unless_cancelled(self._kept(live, self._store.update, job))
            live.set_job(replace(live.snapshot.job, crashes=0))

    async def _influence(self, live: Live, spec: InfluenceSpec) -> Result:
        resolved = asyncio.to_thread(live.cancellation.around(self._preparation.resolve), spec)
        subject, source = await live.unless_cancelled(resolved)
        flow = self._threads.shards.flow(live.share)
        if isinstance(spec.until, ConfidentLabelsSpec | StableLabelsSpec):
            # Beside the first shards, and not in front of the first look.
            self._threads.looks.submit(
                self._threads.processes.of(live.cancellation), import_libraries
            )
        job = await self._planned(live, flow, subject, source)
        start = await asyncio.to_thread(self._load, job, spec)
        # Those that an earlier holder told of and did not keep are done again.
        job = replace(job, shards_done=start.shards if start else 0)
        work = InfluenceWork(spec, subject, source, stored_plan(job.plan), live.cancellation)
        live.work, live.kept = work, start
        live.publish(replace(live.snapshot, job=job, sums=start))
        every_s = self._settings.checkpoint_every_s
        tracker = Tracker(live, self._save, work, start, every_s, self.counts)
        with self._ready_for_looks(live, spec), part("shards", total=job.shards_total):
            sums = await run_shards(
                work,
                start,
                threads=flow,
                executor=self._threads.executor,
                on_sums=tracker.advance,
                look=partial(self._look, live),
                earn=live.beside.allowance.earn,
            )
        with part("result"):
            return await asyncio.to_thread(
                live.cancellation.around(finish), work, sums, self._artifacts
            )

    async def _planned(
        self, live: Live, flow: Threads, subject: Subject, source: PairSource
    ) -> Job:
        """The job with a plan, kept before the first shard: it goes on with the same."""
        job = live.snapshot.job
        if job.plan:
            return job
        measure = partial(self._preparation.measured, job, subject, source, live.cancellation)
        with part("planning"):
            job = await self._in(flow, live, measure)
        await self._begun(live, job)
        live.set_job(job)
        return job

    async def _look(self, live: Live, rule: Rule, sums: Sums) -> Sums:
        """Takes a rule's look, the same bits whatever goes on beside it."""
        with part("look"):
            return await self._in(self._threads.looks, live, rule.look, sums, self._looking(live))

    def _looking(self, live: Live) -> Run:
        return self._threads.processes.of(live.cancellation)

    @contextmanager
    def _ready_for_looks(self, live: Live, spec: InfluenceSpec) -> Iterator[None]:
        """Starts, beside the first shards, the process in which labels are looked at.

        At the first look the workers would wait for it.
        """
        if not isinstance(spec.until, LabelsSpec):
            yield
            return
        starting = asyncio.ensure_future(
            self._in(self._threads.looks, live, self._looking(live), import_libraries)
        )
        # A look that meets what went wrong here says so.
        starting.add_done_callback(lambda it: it.cancelled() or it.exception())
        try:
            yield
        finally:
            starting.cancel()

    @staticmethod
    async def _in(
        threads: Threads, live: Live, work: Callable[..., _Value], *arguments: object
    ) -> _Value:
        """The work's value, computed there unless the job is cancelled first."""
        loop = asyncio.get_running_loop()
        work_here = partial(live.cancellation.around(work), *arguments)
        return await live.unless_cancelled(loop.run_in_executor(threads, work_here))

    def _load(self, job: Job, spec: InfluenceSpec) -> Sums | None:
        """The sums to go on from, if any can be read."""
        if isinstance(spec.until, ConfidentLabelsSpec) and spec.until.is_old:
            reason = "which labels are sure is decided otherwise by this version"
            _log.warning("job starts anew", job=job.id, reason=reason)
            return None
        sums = self._checkpoints.newest(job)
        if sums is None and job.checkpoints:
            _log.warning("job starts anew", job=job.id)
        return sums

    def _save(self, job: Job, sums: Sums) -> Job:
        """Keeps the sums so far: first the file, then the row that names it.

        Those before stay beside them. Without room, or a database, the job goes on with what was
        kept before.

        Raises:
            LeaseLost: another server has the job.
        """
        new = None
        try:
            whole = self._checkpoints.has(job.checkpoint)
            before = job.checkpoint if whole else job.checkpoint_before
            new = self._preparation.save(job, sums)
            kept = replace(job, checkpoint=new, checkpoint_before=before, crashes=0)
            self._store.update(kept)
        except LeaseLost:
            self._checkpoints.remove(new)
            raise
        except (OSError, StoreUnavailable) as error:
            _log.warning("job's sums not kept", job=job.id, error=str(error))
            self.counts.not_kept.add(job.owner)
            if new not in job.checkpoints:
                self._checkpoints.remove(new)
            return job
        reach("checkpoint-named")
        self._checkpoints.keep_only(kept)
        return kept


async def _spec_of(live: Live) -> Spec:
    """What a job computes; to read what is asked of many interventions takes a while."""
    return await asyncio.to_thread(parse_spec, live.snapshot.job.specification)


def _from_start(live: Live) -> Live:
    """The job, which keeps nothing of an earlier attempt."""
    live.set_job(replace(live.snapshot.job, shards_done=0))
    return live
