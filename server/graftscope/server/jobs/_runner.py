"""Jobs from creation to result, for whoever asks: create, get, list, watch, cancel, delete.

It owns the tasks and belongs to the event loop; whatever blocks runs in threads. It must not know
gRPC.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar
from uuid import uuid4
from weakref import WeakValueDictionary

from graftscope.server.engine import MemoryBudget, Timings
from graftscope.server.errors import (
    Cancelled,
    KeepsCrashing,
    NotFound,
    NotReady,
    ServerError,
    ServerStopping,
    StoreUnavailable,
)
from graftscope.server.executors import LocalExecutor
from graftscope.server.jobs._artifact_store import ArtifactStore
from graftscope.server.jobs._checkpoints import CheckpointFolder
from graftscope.server.jobs._counts import JobCounts
from graftscope.server.jobs._drafts import STOPS, Call, Drafts
from graftscope.server.jobs._expiry import Expiry
from graftscope.server.jobs._job import UNENDED, Job, JobState, Outcome, Result
from graftscope.server.jobs._lifecycle import JobSettings, Lifecycle, NeededFailed
from graftscope.server.jobs._live_job import Live, Moved, Snapshot
from graftscope.server.jobs._naming import named_arrays
from graftscope.server.jobs._peers import Peers
from graftscope.server.jobs._preparation import Preparation
from graftscope.server.jobs._resolver import Resolver
from graftscope.server.jobs._room import JobRoom
from graftscope.server.jobs._so_far import SoFars
from graftscope.server.jobs._specification import InfluenceSpec, Spec
from graftscope.server.jobs._store import Hold, JobStore
from graftscope.server.jobs._telling import about, of_whom
from graftscope.server.jobs._thread_pools import ThreadPools
from graftscope.server.logs import get_logger, join
from graftscope.server.spans import current, enter
from graftscope.server.workers import Workers

_log = get_logger("jobs")

# For so long a cancel waits until it is kept.
_REMEMBER_S = 0.5

_FEWEST_PROCESSES = 2
"""A short look need not wait for a long factorisation, on however few cores."""

_Value = TypeVar("_Value")


class JobRunner:
    """Creates, runs, watches and ends jobs.

    Args:
        store: where jobs are kept.
        checkpoints: where sums over the first shards are kept.
        resolver: from names and checksums to models and arrays.
        settings: how jobs are run.

    Attributes:
        so_fars: what influence jobs amount to before they have a result.
        processes: where modules are found.
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
        self._settings = settings
        self._expiry = Expiry(store, checkpoints, resolver.artifacts, settings.retention)
        self._stopped = asyncio.Event()
        self._room = JobRoom(store, settings.queued)
        self.processes = Workers(max(_FEWEST_PROCESSES, settings.workers))
        executor = settings.executor or LocalExecutor(settings.workers, self.processes)
        self._preparation = Preparation(
            store, checkpoints, resolver, executor, timings=Timings(settings.timings)
        )
        threads = ThreadPools(executor, self.processes)
        self._lifecycle = Lifecycle(self._preparation, settings, threads, self._run_needed)
        self._live: dict[str, Live] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._drafts = Drafts(self._preparation, settings.memory)
        self._creating: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._stopping = False
        # Who holds jobs: this process, this time.
        self._server = uuid4().hex
        self._peers = Peers(
            store, self._server, settings.lease_s, held=self._live, take_up=self._take_up_silent
        )
        self._watching_peers: asyncio.Task[None] | None = None
        self.so_fars = SoFars(
            self._preparation,
            settings.memory,
            live=lambda job_id: self._live.get(job_id) or self._peers.followed(job_id),
            is_here=self._live.__contains__,
        )

    @property
    def memory(self) -> MemoryBudget:
        """What calls and jobs may take together."""
        return self._settings.memory

    @property
    def artifacts(self) -> ArtifactStore:
        """Where arrays are kept."""
        return self._preparation.resolver.artifacts

    @property
    def counts(self) -> JobCounts:
        """What the jobs that ran here have come to."""
        return self._lifecycle.counts

    @property
    def here(self) -> Mapping[tuple[str, JobState], int]:
        """How many jobs run or wait at this server, by analysis and state; from any thread."""
        jobs = [live.outline.job for live in tuple(self._live.values())]
        return Counter((job.analysis, job.state) for job in jobs)

    @property
    def room(self) -> JobRoom:
        """Where there is room for jobs."""
        return self._room

    @property
    def expiry(self) -> Expiry:
        """What is kept, and for how long."""
        return self._expiry

    @property
    def checkpoints(self) -> CheckpointFolder:
        """Where sums are kept."""
        return self._checkpoints

    @property
    def store(self) -> JobStore:
        """Where jobs are kept."""
        return self._store

    async def start(self, *, resume: bool) -> None:
        """Takes up jobs that an earlier process left.

        Args:
            resume: whether to go on with them now; else they wait until somebody asks for them.
        """
        await self._sweep()
        self._spawn(self._keep_sweeping())
        self._peers.resume = resume
        if self._store.is_shared:
            self._watching_peers = asyncio.create_task(self._peers.run())
        elif resume:
            # No other server may use this database: whoever held them is gone.
            for job in reversed(await asyncio.to_thread(self._store.by_state, UNENDED)):
                await self._try_take_up(job)

    async def stop(self) -> None:
        """Stops the runs; jobs keep their sums and go on at the next start."""
        self._stopping = True
        self._stopped.set()
        self._preparation.cancellation.cancel()
        for live in self._live.values():
            live.stop()
        self._peers.dismiss()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        # Until then the jobs that end here are held.
        if self._watching_peers is not None:
            self._watching_peers.cancel()
            await asyncio.gather(self._watching_peers, return_exceptions=True)
        await asyncio.to_thread(self._peers.close)
        # Threads whose work was cancelled end soon; until then calls go on.
        await asyncio.to_thread(self._drafts.close)
        await asyncio.to_thread(self._lifecycle.close)
        await asyncio.to_thread(self.so_fars.close)

    async def create(
        self,
        spec: Spec,
        *,
        model: str,
        request_id: str | None = None,
        owner: str = "",
        shared: bool = False,
        share: str | None = None,
    ) -> Job:
        """Starts a job, or answers with the owner's of the same identity that goes on or is done.

        Args:
            spec: what to compute.
            model: the model's name, for people.
            request_id: the caller's name for this call.
            owner: whose the job is; '' where nobody is asked who they are.
            shared: whether others may see it too, where it is a new one.
            share: among whom the server divides itself fairly; by default among owners.

        Raises:
            Conflict: the request_id was used for another specification.
            TooLarge: it would take more memory than there is.
            Overloaded: too many jobs run or wait.
            ServerStopping: the server stops.
        """
        call = Call(
            self._preparation.cancellation.child(),
            spec,
            model,
            request_id,
            owner,
            shared,
            share=share,
        )
        try:
            # A caller who leaves must not leave a job that is stored and never launched.
            return await asyncio.shield(self._spawn(self._ask(call)))
        except asyncio.CancelledError:
            # Of one that is not stored yet no more is computed.
            call.cancellation.cancel()
            raise

    async def plan(
        self, spec: Spec, *, model: str, owner: str = "", share: str | None = None
    ) -> Job:
        """The job that `create` would start: its plan and its estimate. Nothing is started."""
        call = Call(self._preparation.cancellation.child(), spec, model, None, owner, share=share)
        draft, _ = await self._drafts.draft(call, patience_s=None)
        return draft

    async def get(self, job_id: str) -> Snapshot:
        """A job as it stands.

        Raises:
            NotFound: there is none of this id.
        """
        if job_id in self._live:
            return self._live[job_id].snapshot
        job = await asyncio.to_thread(self._store.get, job_id)
        if job is None:
            raise no_such_job(job_id)
        return self._resting(job)

    async def page(self, limit: int, offset: int, *, seen_by: str | None = None) -> list[Snapshot]:
        """Jobs, the newest first: those of an owner, and those that others share.

        Args:
            limit: at most so many.
            offset: after so many.
            seen_by: the owner; None for everybody's jobs.
        """
        jobs = await asyncio.to_thread(self._store.page, limit, offset, seen_by)
        return [self._as_it_stands(job) for job in jobs]

    async def share(self, job_id: str, shared: bool) -> Snapshot:
        """Lets everybody see a job, or its owner alone.

        Raises:
            NotFound: there is none of this id.
        """
        await asyncio.to_thread(self._store.share, job_id, shared)
        if live := self._live.get(job_id):
            live.set_shared(shared)
        return await self.get(job_id)

    async def names(self, sha256: str, *, seen_by: str) -> bool:
        """Whether an array is given to, or a result of, a job that an owner sees."""

        def look() -> bool:
            # The text may stand elsewhere in a job, where whoever asked put it.
            return any(sha256 in named_arrays(job) for job in self._store.naming(sha256, seen_by))

        return await asyncio.to_thread(look)

    async def cancel(self, job_id: str) -> None:
        """Asks a job to stop; one that has ended stays as it is.

        Raises:
            NotFound: there is none of this id.
        """
        if job_id in self._live:
            self._live[job_id].cancel()
            # Whoever cancels does not wait for a database that somebody else holds.
            remembering = self._spawn(self._remember_cancelled(job_id))
            await asyncio.wait({remembering}, timeout=_REMEMBER_S)
            return
        job = (await self.get(job_id)).job
        if job.state.ended:
            return
        await asyncio.to_thread(self._store.ask_cancel, job_id)
        if not self._is_held_elsewhere(job):
            await self._end(job, Outcome(JobState.CANCELLED))

    async def _remember_cancelled(self, job_id: str) -> None:
        """So that a job which was asked to stop is not taken up where the server dies first."""
        try:
            await asyncio.to_thread(self._store.ask_cancel, job_id)
        except StoreUnavailable as error:
            _log.warning("cancel not kept", job=job_id, error=str(error))

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
        await asyncio.to_thread(self._expiry.forget, job)

    async def watch(self, job_id: str) -> AsyncIterator[Snapshot]:
        """The job as it stands, then whenever it changes, until it has ended.

        A job that an earlier process left is taken up.

        Raises:
            NotFound: there is none of this id.
            ServerStopping: the server stops before the job has ended.
        """
        while True:
            snapshot = await self.get(job_id)
            if not snapshot.job.state.ended and job_id not in self._live:
                await self._take_up_free(snapshot.job)
            try:
                async with aclosing(self._changes(job_id, snapshot)) as changes:
                    async for snapshot in changes:
                        yield snapshot
            except Moved:
                continue  # Another server has taken it up, or this one.
            return

    async def _changes(self, job_id: str, snapshot: Snapshot) -> AsyncGenerator[Snapshot]:
        """A job's snapshots until its end, from wherever it runs. Raises as `Live.after`."""
        live = self._live.get(job_id)
        if live is None:
            snapshot = await self.get(job_id)
            if snapshot.job.state.ended:
                yield snapshot
                return
        following = nullcontext(live) if live else self._peers.following(snapshot.job)
        with following as told:
            version = -1
            while not snapshot.job.state.ended:
                version, snapshot = await told.after(version)
                yield snapshot

    async def wait(self, job_id: str, timeout_s: float | None) -> Snapshot:
        """The job once it has ended, or as it stands when the time is over. Raises as `watch`."""
        try:
            async with asyncio.timeout(timeout_s):
                async for snapshot in self.watch(job_id):
                    latest = snapshot
            return latest
        except TimeoutError:
            return await self.get(job_id)

    async def _ask(self, call: Call) -> Job:
        """Creates a job for its own sake."""
        job = await self._create(call)
        if live := self._live.get(job.id):
            live.asked_for = True
        if not job.wanted and not job.state.ended:
            await asyncio.to_thread(self._store.want, job.id)
        return job

    async def _create(self, call: Call) -> Job:
        if self._stopping:
            raise ServerStopping(STOPS)
        wanted = await self._drafts.identity(call)
        while True:
            async with (
                self._creation("job", wanted, call.owner),
                self._creation("call", call.request_id, call.owner),
            ):
                found = await asyncio.to_thread(
                    self._preparation.find, call.spec, call.request_id, call.owner
                )
                if found is None:
                    async with self._room_for(call):
                        draft, sums = await self._drafts.draft(call, self._settings.plan_patience_s)
                        job = replace(draft, server=self._server, fence=1)
                        stored = await asyncio.to_thread(
                            self._preparation.adopt, job, sums, call.request_id
                        )
                    if stored is not None:
                        _log.info("job created", **of_whom(stored), **about(call.spec))
                        return self._launch(stored, call.share)
                    continue  # Another server was faster.
                answer = await self._answer(found)
            if answer is not None:
                return answer

    def _room_for(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Room for one more job; what another job needs is part of that one."""
        return nullcontext() if call.needed else self._room.for_one(call.owner)

    async def _answer(self, found: Job) -> Job | None:
        """A job that is there, as it stands; None where it came to nothing meanwhile."""
        live = self._live.get(found.id)
        if not found.state.ended and (live.cancelling if live else found.cancel_asked):
            # Its end was not meant for who asks now.
            await self.wait(found.id, None)
            return None
        if live is None and not found.state.ended:
            # An earlier process left it, or another server has it.
            await self._take_up_free(found)
            live = self._live.get(found.id)
        if live is not None:
            return live.snapshot.job
        if found.state.ended:
            return found
        now = await asyncio.to_thread(self._store.get, found.id)
        return None if now is None or now.state.ended else now

    async def _run_needed(
        self, live: Live, spec: InfluenceSpec, on_progress: Callable[[Snapshot], None]
    ) -> Result:
        """Runs an influence job that `live` needs, or finds one.

        They are cancelled together, unless somebody has asked for the influence itself.

        Raises:
            NeededFailed: the influence job has failed.
            Cancelled: it was cancelled, or the server stops.
        """
        # Goes on by itself if this is cancelled: no job must be stored and never launched.
        job = live.snapshot.job
        call = Call(
            self._preparation.cancellation.child(),
            spec,
            job.model,
            None,
            job.owner,
            job.shared,
            needed=True,
            share=live.share,
        )
        creating = self._spawn(self._create(call))
        try:
            job = await asyncio.shield(creating)
            async for snapshot in self.watch(job.id):
                on_progress(snapshot)
        except ServerStopping as error:
            raise Cancelled(str(error)) from error
        except asyncio.CancelledError:
            call.cancellation.cancel()
            self._spawn(self._cancel_needed(creating))
            raise
        ended = snapshot.job
        if ended.failure is not None:
            raise NeededFailed(ended.failure)
        if ended.result is None:
            raise Cancelled(f"operations/{ended.id}, which is needed, was cancelled")
        return ended.result

    async def _cancel_needed(self, creating: asyncio.Task[Job]) -> None:
        live = self._live.get((await creating).id)
        if live is None or live.asked_for:
            return
        # It may have been asked for at another server.
        job = await asyncio.to_thread(self._store.get, live.snapshot.job.id)
        if job is None or not job.wanted:
            live.cancel()

    async def _try_take_up(self, job: Job) -> None:
        """One job that is not as it should be keeps neither others nor the server from going on."""
        try:
            await self._take_up(job)
        except Exception as error:
            _log.error("job cannot be taken up", job=job.id, exc_info=error)

    async def _take_up_free(self, job: Job) -> None:
        """Goes on with a job that somebody asks for, unless that is for another server to do."""
        if self._is_held_elsewhere(job):
            return
        if not self._store.is_shared or await asyncio.to_thread(self._is_for_here, job):
            await self._take_up(job)

    async def _take_up_silent(self, hold: Hold) -> None:
        """Goes on with a job that no server holds any more, if it can be gone on with here."""
        if self._stopping:
            return
        job = await asyncio.to_thread(self._store.get, hold.job_id)
        if job is None or not await asyncio.to_thread(self._is_for_here, job):
            return  # Another server may have its model and its device.
        await self._launch_taken(await asyncio.to_thread(self._store.take, hold, self._server))

    async def _take_up(self, job: Job) -> None:
        """Goes on with a job, or closes it where its plan would give other bits here."""
        can_go_on = await asyncio.to_thread(self._preparation.can_go_on, job)
        if job.id in self._live:
            return  # Somebody else asked for it meanwhile.
        if can_go_on:
            taken = await asyncio.to_thread(self._store.take, job, self._server)
            await self._launch_taken(taken)
        else:
            await self._end(job, Outcome(JobState.CANCELLED))

    async def _launch_taken(self, job: Job | None) -> None:
        """Runs a job that was just taken, unless it should not run again."""
        if job is None:
            return
        if job.cancel_asked:
            await asyncio.to_thread(self._lifecycle.end, job, Outcome(JobState.CANCELLED))
            _log.info("job cancelled", **of_whom(job), shards_done=job.shards_done)
        elif job.crashes >= self._settings.most_crashes:
            failure = self._settings.describe_failure(_keeps_crashing(job))
            why = {"reason": failure.reason, "error": failure.message}
            _log.error("job failed", **of_whom(job), **why)
            outcome = Outcome(JobState.FAILED, failure=failure)
            await asyncio.to_thread(self._lifecycle.end, job, outcome)
        else:
            where = {"attempt": job.attempts, "shards_done": job.shards_done}
            _log.info("job taken up", **of_whom(job), **where)
            self._launch(job)
            self._live[job.id].asked_for = job.wanted

    def _is_for_here(self, job: Job) -> bool:
        return self._preparation.is_served(job) and self._preparation.can_go_on(job)

    def _is_held_elsewhere(self, job: Job) -> bool:
        return self._store.is_shared and bool(job.server) and job.id not in self._live

    async def _end(self, job: Job, outcome: Outcome) -> None:
        """Ends a job that nobody works on, unless somebody has just begun to."""
        taken = await asyncio.to_thread(partial(self._store.take, job, self._server, runs=False))
        if taken is not None:
            ended = await asyncio.to_thread(self._lifecycle.end, taken, outcome)
            event = f"job {ended.state.name.lower()}"
            _log.info(event, **of_whom(ended), shards_done=ended.shards_done)

    async def _keep_sweeping(self) -> None:
        while not self._stopping:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._settings.retention.every_s)
                return
            await self._sweep()

    async def _sweep(self) -> None:
        try:
            await asyncio.to_thread(self._expiry.sweep)
        except (ServerError, OSError) as error:
            # The next time it may be there again.
            _log.warning("nothing swept", error=str(error))

    def _creation(self, kind: str, key: str | None, owner: str) -> asyncio.Lock:
        """What keeps one job from being created twice; others are created meanwhile."""
        if key is None:
            return asyncio.Lock()
        return self._creating.setdefault(f"{kind} {key} {owner}", asyncio.Lock())

    def _launch(self, job: Job, share: str | None = None) -> Job:
        live = Live(job, share, current().begin_apart("job", **of_whom(job)))
        self._live[job.id] = live
        self.counts.live.follow(live)
        self.counts.started.add(job.analysis)
        if self._stopping:
            live.stop()
        self._spawn(self._run(live))
        return job

    async def _run(self, live: Live) -> None:
        enter(live.span)
        join(trace=live.span.trace)
        await self._lifecycle.run(live)
        failure = live.snapshot.job.failure
        live.span.end(failure.reason if failure else "")
        self.counts.ended.add((live.outline.job.analysis, _end_of(live)))
        # One that the server's end has stopped goes on to be what its watchers see.
        if live.snapshot.job.state.ended or live.lost:
            self._live.pop(live.snapshot.job.id)

    def _as_it_stands(self, job: Job) -> Snapshot:
        """What is told of a job whose row was just read."""
        live = self._live.get(job.id)
        if live is None:
            return self._resting(job)
        outline = live.outline
        return replace(outline, job=replace(outline.job, specification=job.specification))

    def _resting(self, job: Job) -> Snapshot:
        """A job that does not run here: another server has it, or it waits to be taken up."""
        waits = not job.state.ended and not self._is_held_elsewhere(job)
        return Snapshot(replace(job, state=JobState.QUEUED) if waits else job)

    def _spawn(self, work: Coroutine[object, object, _Value]) -> asyncio.Task[_Value]:
        """A task that `stop` waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget_task)
        return task

    def _forget_task(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        # Asked for, so that nobody's log complains of an error whose caller has left.
        if not task.cancelled():
            task.exception()


def _end_of(live: Live) -> str:
    """How a job ended here, in a word."""
    if live.lost:
        return "lost"
    state = live.outline.job.state
    return state.name.lower() if state.ended else "put_away"


def _keeps_crashing(job: Job) -> KeepsCrashing:
    return KeepsCrashing(
        f"the server's process ended {job.crashes} times while operations/{job.id} ran, most likely"
        " for want of memory; it is not taken up again: ask for less, or for the same once more"
    )


def no_such_job(job_id: str) -> NotFound:
    """What says that there is no such job, or none that the caller may know of."""
    return NotFound(f"operation 'operations/{job_id}' does not exist", field="name")
