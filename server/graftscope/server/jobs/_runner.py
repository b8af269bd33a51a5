"""Jobs from creation to result, for whoever asks: create, get, list, watch, cancel, delete.

It owns the tasks and belongs to the event loop; whatever blocks runs in threads. It must not know
gRPC.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar
from uuid import uuid4
from weakref import WeakValueDictionary

from graftscope.server.errors import Cancelled, NotFound, NotReady, ServerStopping
from graftscope.server.jobs._artifact_store import ArtifactStore
from graftscope.server.jobs._checkpoints import CheckpointFolder, Sums
from graftscope.server.jobs._expiry import forget_expired
from graftscope.server.jobs._job import UNENDED, Job, JobState, Outcome, Result
from graftscope.server.jobs._lifecycle import JobSettings, Lifecycle, NeededFailed
from graftscope.server.jobs._live_job import Live, Snapshot
from graftscope.server.jobs._preparation import Preparation
from graftscope.server.jobs._resolver import Resolver
from graftscope.server.jobs._specification import InfluenceSpec, Spec, identity
from graftscope.server.jobs._store import JobStore
from graftscope.server.logs import get_logger

_log = get_logger("jobs")

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class _Call:
    """What somebody asks to be computed; see `JobRunner.create`."""

    spec: Spec
    model: str
    request_id: str | None
    owner: str
    shared: bool = False


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
        self._settings = settings
        self._preparation = Preparation(store, checkpoints, resolver, settings.workers)
        self._lifecycle = Lifecycle(self._preparation, settings, self._run_needed)
        self._live: dict[str, Live] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        # Threads of their own: estimates take a while and must not hold up look-ups.
        self._planning = ThreadPoolExecutor(1, thread_name_prefix="planning")
        self._creating: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._stopping = False
        # Who holds jobs: this process, this time.
        self._server = uuid4().hex

    @property
    def artifacts(self) -> ArtifactStore:
        """Where arrays are kept."""
        return self._preparation.resolver.artifacts

    async def start(self, *, resume: bool) -> None:
        """Takes up jobs that an earlier process left.

        Args:
            resume: whether to go on with them now; else they wait until somebody asks for them.
        """
        keep_s = self._settings.keep_s
        await asyncio.to_thread(
            forget_expired, self._store, self._checkpoints, self.artifacts, keep_s
        )
        if resume:
            for job in reversed(await asyncio.to_thread(self._store.by_state, UNENDED)):
                await self._take_up(job)

    async def stop(self) -> None:
        """Stops the runs; jobs keep their sums and go on at the next start."""
        self._stopping = True
        self._preparation.cancellation.cancel()
        for live in self._live.values():
            live.stop()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._planning.shutdown()
        self._lifecycle.close()

    async def create(
        self,
        spec: Spec,
        *,
        model: str,
        request_id: str | None = None,
        owner: str = "",
        shared: bool = False,
    ) -> Job:
        """Starts a job, or answers with the owner's of the same identity that goes on or is done.

        Args:
            spec: what to compute.
            model: the model's name, for people.
            request_id: the caller's name for this call.
            owner: whose the job is; '' where nobody is asked who they are.
            shared: whether others may see it too, where it is a new one.

        Raises:
            Conflict: the request_id was used for another specification.
            ServerStopping: the server stops.
        """
        # A caller who leaves in between must not leave a job that is stored and never launched.
        call = _Call(spec, model, request_id, owner, shared)
        return await asyncio.shield(self._spawn(self._ask(call)))

    async def plan(self, spec: Spec, *, model: str, owner: str = "") -> Job:
        """The job that `create` would start: its plan and its estimate. Nothing is started."""
        job, _ = await self._prepare(_Call(spec, model, None, owner))
        return job

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
        return _resting(job)

    async def page(self, limit: int, offset: int, *, seen_by: str | None = None) -> list[Snapshot]:
        """Jobs, the newest first: those of an owner, and those that others share.

        Args:
            limit: at most so many.
            offset: after so many.
            seen_by: the owner; None for everybody's jobs.
        """
        jobs = await asyncio.to_thread(self._store.page, limit, offset, seen_by)
        return [self._live[x.id].snapshot if x.id in self._live else _resting(x) for x in jobs]

    async def cancel(self, job_id: str) -> None:
        """Asks a job to stop; one that has ended stays as it is.

        Raises:
            NotFound: there is none of this id.
        """
        job = (await self.get(job_id)).job
        if job_id in self._live:
            self._live[job_id].cancel()
        elif not job.state.ended:
            await self._end(job, Outcome(JobState.CANCELLED))

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
        await asyncio.to_thread(self._store.delete, job_id)
        await asyncio.to_thread(self._checkpoints.remove, job.checkpoint)

    async def watch(self, job_id: str) -> AsyncIterator[Snapshot]:
        """The job as it stands, then whenever it changes, until it has ended.

        A job that an earlier process left is taken up.

        Raises:
            NotFound: there is none of this id.
            ServerStopping: the server stops before the job has ended.
        """
        snapshot = await self.get(job_id)
        if not snapshot.job.state.ended and job_id not in self._live:
            await self._take_up(snapshot.job)
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
        """The job once it has ended, or as it stands when the time is over. Raises as `watch`."""
        try:
            async with asyncio.timeout(timeout_s):
                async for snapshot in self.watch(job_id):
                    latest = snapshot
            return latest
        except TimeoutError:
            return await self.get(job_id)

    async def _ask(self, call: _Call) -> Job:
        """Creates a job for its own sake."""
        job = await self._create(call)
        if job.id in self._live:
            self._live[job.id].asked_for = True
        return job

    async def _create(self, call: _Call) -> Job:
        while True:
            async with (
                self._creation("job", identity(call.spec), call.owner),
                self._creation("call", call.request_id, call.owner),
            ):
                found = await asyncio.to_thread(
                    self._preparation.find, call.spec, call.request_id, call.owner
                )
                if found is None:
                    job, sums = await self._prepare(call)
                    stored = await asyncio.to_thread(
                        self._preparation.adopt, job, sums, call.request_id
                    )
                    if stored is not None:
                        return self._launch(stored)
                    continue  # Another server was faster.
                answer = await self._answer(found)
            if answer is not None:
                return answer

    async def _answer(self, found: Job) -> Job | None:
        """A job that is there, as it stands; None where it came to nothing meanwhile."""
        live = self._live.get(found.id)
        if live is not None and live.cancelling:
            # Its end was not meant for who asks now.
            await self.wait(found.id, None)
            return None
        if live is None and not found.state.ended:
            # An earlier process left it, or the disk was full when it ended.
            await self._take_up(found)
            live = self._live.get(found.id)
        if live is not None:
            return live.snapshot.job
        return found if found.state.ended else None

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
        creating = self._spawn(self._create(_Call(spec, job.model, None, job.owner, job.shared)))
        try:
            job = await asyncio.shield(creating)
            async for snapshot in self.watch(job.id):
                on_progress(snapshot)
        except ServerStopping as error:
            raise Cancelled(str(error)) from error
        except asyncio.CancelledError:
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
        if live is not None and not live.asked_for:
            live.cancel()

    async def _take_up(self, job: Job) -> None:
        """Goes on with a job, or closes it where its plan would give other bits here."""
        can_go_on = await asyncio.to_thread(self._preparation.can_go_on, job)
        if job.id in self._live:
            return  # Somebody else asked for it meanwhile.
        if not can_go_on:
            await self._end(job, Outcome(JobState.CANCELLED))
            return
        taken = await asyncio.to_thread(self._store.take, job, self._server)
        if taken is not None:
            _log.info("job taken up", job=job.id, shards_done=taken.shards_done)
            self._launch(taken)
            # By whom is not known any more.
            self._live[job.id].asked_for = True

    async def _end(self, job: Job, outcome: Outcome) -> None:
        """Ends a job that nobody works on, unless somebody has just begun to."""
        taken = await asyncio.to_thread(partial(self._store.take, job, self._server, runs=False))
        if taken is not None:
            await asyncio.to_thread(self._lifecycle.end, taken, outcome)

    def _creation(self, kind: str, key: str | None, owner: str) -> asyncio.Lock:
        """What keeps one job from being created twice; others are created meanwhile."""
        if key is None:
            return asyncio.Lock()
        return self._creating.setdefault(f"{kind} {key} {owner}", asyncio.Lock())

    async def _prepare(self, call: _Call) -> tuple[Job, Sums | None]:
        loop = asyncio.get_running_loop()
        try:
            self._preparation.cancellation.check()
            job, sums = await loop.run_in_executor(
                self._planning, self._preparation.prepare, call.spec, call.model, call.owner
            )
            return replace(job, shared=call.shared, server=self._server, fence=1), sums
        except Cancelled as error:
            raise ServerStopping("the server stops; ask again when it is back") from error

    def _launch(self, job: Job) -> Job:
        live = Live(job)
        self._live[job.id] = live
        if self._stopping:
            live.stop()
        self._spawn(self._run(live))
        return job

    async def _run(self, live: Live) -> None:
        await self._lifecycle.run(live)
        if live.snapshot.job.state.ended:
            self._live.pop(live.snapshot.job.id)

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


def _resting(job: Job) -> Snapshot:
    """A job that nobody works on; one that has not ended waits to be taken up."""
    return Snapshot(job if job.state.ended else replace(job, state=JobState.QUEUED))
