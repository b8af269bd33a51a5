"""Jobs from creation to result: one influence job at a time on all workers, modules beside it.

It owns the tasks and belongs to the event loop; whatever blocks runs in threads. It must not know
gRPC.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import uuid4

from graftscope.server.engine import (
    ARITHMETIC_VERSION,
    PairSource,
    Plan,
    Subject,
    choose_plan,
)
from graftscope.server.errors import Cancelled, Conflict, Corrupt, NotFound, NotReady
from graftscope.server.jobs._artifacts import ArtifactStore
from graftscope.server.jobs._checkpoints import CheckpointFolder, Sums
from graftscope.server.jobs._influence import estimate, finish, run_shards, shard_count
from graftscope.server.jobs._live import Live, Snapshot
from graftscope.server.jobs._modules import run_modules
from graftscope.server.jobs._resolve import Resolver
from graftscope.server.jobs._specification import (
    InfluenceSpec,
    ModulesSpec,
    Spec,
    canonical,
    identity,
    input_arrays,
    parse_spec,
)
from graftscope.server.jobs._store import Estimate, Failure, Job, JobState, JobStore, Result, end
from graftscope.server.logs import get_logger

# A crash loses at most this much work.
_CHECKPOINT_EVERY_S = 5.0
_UNENDED = (JobState.QUEUED, JobState.RUNNING)

_log = get_logger("jobs")


@dataclass(frozen=True)
class JobSettings:
    """How jobs are run and kept.

    Attributes:
        workers: single-threaded runs side by side, at least 1.
        keep_s: seconds for which the result of an ended job is kept.
        describe_failure: an exception to its stable reason and its message.
    """

    workers: int
    keep_s: float
    describe_failure: Callable[[Exception], Failure]


class JobRunner:
    """Creates, runs, watches and ends jobs.

    Args:
        store: where jobs are kept.
        checkpoints: where sums over the first shards are kept.
        resolver: from names and checksums to models and arrays.
        settings: how jobs are run.
    """

    def __init__(
        self,
        store: JobStore,
        checkpoints: CheckpointFolder,
        resolver: Resolver,
        settings: JobSettings,
    ) -> None:
        self._store = store
        self._checkpoints = checkpoints
        self._resolver = resolver
        self._settings = settings
        self._executor = ThreadPoolExecutor(settings.workers, thread_name_prefix="shard")
        self._live: dict[str, Live] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._creating = asyncio.Lock()
        self._lanes = {"influence": asyncio.Semaphore(1), "modules": asyncio.Semaphore(1)}

    @property
    def artifacts(self) -> ArtifactStore:
        """Where arrays are kept."""
        return self._resolver.artifacts

    async def start(self, *, resume: bool) -> None:
        """Takes up jobs that an earlier process left, or closes them so that they can be resumed.

        Args:
            resume: whether to go on with them now; else the next job of the same identity does.
        """
        await asyncio.to_thread(self._forget_expired)
        for job in reversed(await asyncio.to_thread(self._store.by_state, _UNENDED)):
            if resume:
                _log.info("job resumed", job=job.id, shards_done=job.shards_done)
                self._launch(job)
            else:
                await asyncio.to_thread(self._end, job, JobState.CANCELLED)

    async def stop(self) -> None:
        """Stops the runs; jobs keep their checkpoints and go on at the next start."""
        for live in self._live.values():
            live.stopping = True
            live.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._executor.shutdown()
        await asyncio.to_thread(self._store.close)

    async def create(self, spec: Spec, *, model: str, request_id: str | None = None) -> Job:
        """Starts a job, or answers with one of the same identity that goes on or is done.

        Args:
            spec: what to compute.
            model: the model's name, for people.
            request_id: the caller's name for this call.

        Raises:
            Conflict: the request_id was used for another specification.
        """
        async with self._creating:
            found = await asyncio.to_thread(self._find, spec, request_id)
            if found is not None:
                return self._latest(found)
            job = await asyncio.to_thread(self._new, spec, model, request_id)
            await asyncio.to_thread(self._store.add, job)
            self._launch(job)
            return job

    async def plan(self, spec: Spec, *, model: str) -> Job:
        """The job that `create` would start: its plan and its estimate. Nothing is started."""
        return await asyncio.to_thread(self._new, spec, model, None)

    async def get(self, job_id: str) -> Snapshot:
        """A job as it stands.

        Raises:
            NotFound: there is none of this id.
        """
        if job_id in self._live:
            return self._live[job_id].snapshot
        job = await asyncio.to_thread(self._store.get, job_id)
        if job is None:
            raise NotFound(f"operation 'operations/{job_id}' does not exist", field="name")
        return Snapshot(job)

    async def page(self, limit: int, offset: int) -> list[Snapshot]:
        """Jobs, the newest first."""
        jobs = await asyncio.to_thread(self._store.page, limit, offset)
        return [self._live[x.id].snapshot if x.id in self._live else Snapshot(x) for x in jobs]

    async def cancel(self, job_id: str) -> None:
        """Asks a job to stop; one that has ended stays as it is.

        Raises:
            NotFound: there is none of this id.
        """
        await self.get(job_id)
        if job_id in self._live:
            self._live[job_id].cancel()

    async def delete(self, job_id: str) -> None:
        """Forgets a job that has ended.

        Raises:
            NotFound: there is none of this id.
            NotReady: it goes on.
        """
        job = (await self.get(job_id)).job
        if not job.state.ended:
            raise NotReady(
                f"operation 'operations/{job_id}' goes on; cancel it first", field="name"
            )
        await asyncio.to_thread(self._checkpoints.remove, job.checkpoint)
        await asyncio.to_thread(self._store.delete, job_id)

    async def watch(self, job_id: str) -> AsyncIterator[Snapshot]:
        """The job as it stands, then whenever it changes, until it has ended.

        Raises:
            NotFound: there is none of this id.
        """
        live = self._live.get(job_id)
        if live is None:
            yield await self.get(job_id)
            return
        version = -1
        while True:
            version, snapshot = await live.after(version)
            yield snapshot
            if snapshot.job.state.ended:
                return

    async def wait(self, job_id: str, timeout_s: float | None) -> Snapshot:
        """The job once it has ended, or as it stands when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                async for snapshot in self.watch(job_id):
                    latest = snapshot
            return latest
        except TimeoutError:
            return await self.get(job_id)

    def _latest(self, job: Job) -> Job:
        return self._live[job.id].snapshot.job if job.id in self._live else job

    def _find(self, spec: Spec, request_id: str | None) -> Job | None:
        """A job that answers the call: of its request_id, or of the same identity."""
        wanted = identity(spec)
        if request_id is not None:
            job = self._store.by_request(request_id)
            if job is not None and job.identity != wanted:
                raise Conflict(
                    f"request_id {request_id!r} was used for operations/{job.id}, which computes "
                    "something else; use a new one",
                    field="request_id",
                )
            if job is not None:
                return job
        usable = self._store.by_identity(wanted, (*_UNENDED, JobState.DONE))
        return next((job for job in usable if self._is_whole(job)), None)

    def _is_whole(self, job: Job) -> bool:
        """Whether a job goes on, or all of its result arrays are still there."""
        return job.result is None or all(
            self.artifacts.has(ref.sha256) for ref in job.result.arrays.values()
        )

    def _new(self, spec: Spec, model: str, request_id: str | None) -> Job:
        job = Job(
            id=uuid4().hex,
            analysis=spec.analysis,
            specification=canonical(spec),
            identity=identity(spec),
            model=model,
            request_id=request_id,
            plan={},
            estimate=Estimate(0.0, 0, 0),
            shards_total=1,
            created_s=time.time(),
        )
        return self._planned(job, spec) if isinstance(spec, InfluenceSpec) else job

    def _planned(self, job: Job, spec: InfluenceSpec) -> Job:
        """With the plan and the checkpoint of an earlier attempt, or a new plan."""
        subject, source = self._resolve(spec)
        earlier = self._resumable(job.identity, subject)
        plan = (
            _plan(earlier.plan)
            if earlier
            else choose_plan(subject.generator, subject.layer, len(subject.sets))
        )
        job = replace(
            job,
            plan=asdict(plan),
            estimate=estimate(subject, source, plan, spec, self._settings.workers),
            shards_total=shard_count(spec),
        )
        if earlier is None or earlier.checkpoint is None:
            return job
        sums = self._checkpoints.load(earlier.checkpoint)
        checkpoint = self._checkpoints.save(job.id, sums)
        return replace(job, checkpoint=checkpoint, shards_done=sums.shards)

    def _resumable(self, wanted: str, subject: Subject) -> Job | None:
        """The newest attempt that can be gone on with: same arithmetic, same provider."""
        for job in self._store.by_identity(wanted, (JobState.CANCELLED, JobState.FAILED)):
            same = job.plan.get("arithmetic_version") == ARITHMETIC_VERSION
            if same and job.plan.get("provider") == subject.generator.provider and job.checkpoint:
                try:
                    self._checkpoints.load(job.checkpoint)
                except Corrupt as error:
                    _log.warning("checkpoint left out", job=job.id, error=str(error))
                else:
                    return job
        return None

    def _resolve(self, spec: InfluenceSpec) -> tuple[Subject, PairSource]:
        subject = self._resolver.subject(spec)
        return subject, self._resolver.pairs(subject.generator, spec.originals, spec.seed)

    def _launch(self, job: Job) -> None:
        self._live[job.id] = Live(job)
        task = asyncio.create_task(self._run(self._live[job.id]), name=f"job-{job.id}")
        self._tasks[job.id] = task

    async def _run(self, live: Live) -> None:
        """A job's life. Whatever happens, it ends in a state that watchers see."""
        job = live.snapshot.job
        try:
            async with self._lanes[job.analysis]:
                result = await self._compute(live)
            state, failure = JobState.DONE, None
        except Cancelled:
            result, state, failure = None, JobState.CANCELLED, None
        except Exception as error:
            result, state = None, JobState.FAILED
            failure = self._settings.describe_failure(error)
            _log.error("job failed", job=job.id, reason=failure.reason, error=failure.message)
        finally:
            self._tasks.pop(job.id, None)
        last = live.snapshot.job
        if live.snapshot.sums is not None and state is not JobState.DONE:
            last = await asyncio.to_thread(self._save, last, live.snapshot.sums)
        if live.stopping:
            return  # The server stops; the job goes on at the next start.
        ended = await asyncio.to_thread(self._end, last, state, result, failure)
        live.publish(replace(live.snapshot, job=ended, eta_s=None))
        self._live.pop(job.id, None)

    async def _compute(self, live: Live) -> Result:
        live.cancellation.check()
        job = replace(live.snapshot.job, state=JobState.RUNNING)
        live.set_job(job)
        await asyncio.to_thread(self._store.update, job)
        spec = parse_spec(job.specification)
        if isinstance(spec, ModulesSpec):
            return await _unless_cancelled(live, run_modules, spec, self.artifacts)
        return await self._influence(live, spec)

    async def _influence(self, live: Live, spec: InfluenceSpec) -> Result:
        subject, source = await asyncio.to_thread(self._resolve, spec)
        job = live.snapshot.job
        start = await asyncio.to_thread(self._load, job)
        tracker = _Tracker(live, self._save, len(subject.sets), start)
        sums = await run_shards(
            subject,
            source,
            _plan(job.plan),
            spec,
            sums=start,
            executor=self._executor,
            workers=self._settings.workers,
            cancellation=live.cancellation,
            on_sums=tracker.advance,
        )
        return await asyncio.to_thread(finish, subject, source, spec, sums, self.artifacts)

    def _load(self, job: Job) -> Sums | None:
        """The sums to go on from; a damaged checkpoint is said and left out."""
        if job.checkpoint is None:
            return None
        try:
            return self._checkpoints.load(job.checkpoint)
        except Corrupt as error:
            _log.warning("job starts anew", job=job.id, error=str(error))
            return None

    def _save(self, job: Job, sums: Sums) -> Job:
        """Keeps the sums so far: first the file, then the row that names it."""
        old = job.checkpoint
        job = replace(job, checkpoint=self._checkpoints.save(job.id, sums))
        self._store.update(job)
        if old != job.checkpoint:
            self._checkpoints.remove(old)
        return job

    def _end(
        self,
        job: Job,
        state: JobState,
        result: Result | None = None,
        failure: Failure | None = None,
    ) -> Job:
        ended = end(job, state, self._settings.keep_s, result=result, failure=failure)
        if state is JobState.DONE:
            ended = replace(ended, shards_done=ended.shards_total, checkpoint=None)
        self._store.update(ended)
        if state is JobState.DONE:
            self._checkpoints.remove(job.checkpoint)
        return ended

    def _forget_expired(self) -> None:
        for job in self._store.expired(time.time()):
            self._checkpoints.remove(job.checkpoint)
            self._store.delete(job.id)
        needed: set[str] = set()
        for job in self._store.page(limit=None, offset=0):
            results = job.result.arrays.values() if job.result else ()
            needed.update(ref.sha256 for ref in results)
            needed.update(ref.sha256 for ref in input_arrays(parse_spec(job.specification)))
        self.artifacts.sweep(needed, self._settings.keep_s)


class _Tracker:
    """Tells watchers of every shard, and keeps the sums every few seconds."""

    def __init__(
        self, live: Live, save: Callable[[Job, Sums], Job], sets: int, start: Sums | None
    ) -> None:
        self._live, self._save, self._sets = live, save, sets
        self._first_pairs = start.moments.count if start else 0
        self._first_shard = start.shards if start else 0
        self._started_s = self._saved_s = time.monotonic()

    async def advance(self, sums: Sums) -> None:
        now = time.monotonic()
        elapsed_s = now - self._started_s
        job = replace(self._live.snapshot.job, shards_done=sums.shards)
        left, done = job.shards_total - sums.shards, sums.shards - self._first_shard
        hybrids = (sums.moments.count - self._first_pairs) * self._sets
        self._live.publish(Snapshot(job, left * elapsed_s / done, hybrids / elapsed_s, sums))
        if now - self._saved_s >= _CHECKPOINT_EVERY_S and left:
            self._live.set_job(await asyncio.to_thread(self._save, job, sums))
            self._saved_s = now


async def _unless_cancelled(live: Live, function: Callable[..., Result], *arguments: Any) -> Result:
    """Runs in a thread; a cancelled job ends at once and the thread's result is dropped."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    asked = asyncio.ensure_future(live.cancel_asked.wait())
    await asyncio.wait((work, asked), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not work.done():
        work.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise Cancelled("the job was cancelled")
    return work.result()


def _plan(value: dict[str, Any]) -> Plan:
    return Plan(**{**value, "rewrites": tuple(value["rewrites"])})
