"""A job that goes on: its latest state, those who watch it, and how far it is.

A slow watcher skips states and never holds the job up. It belongs to the event loop, and must not
know how shards are computed or where sums are kept.
"""

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from graftscope.server.engine import Cancellation
from graftscope.server.errors import Cancelled, ServerStopping
from graftscope.server.jobs._beside import Beside
from graftscope.server.jobs._checkpoints import Sums
from graftscope.server.jobs._counts import JobCounts
from graftscope.server.jobs._influence import InfluenceWork
from graftscope.server.jobs._job import Job
from graftscope.server.spans import UNTOLD, Fact, Span, now_ns

_Value = TypeVar("_Value")

# Characters of a specification that is kept compressed while its job waits.
_LONG = 32_768


@dataclass(frozen=True)
class Snapshot:
    """A job at one moment.

    Attributes:
        job: as it stands.
        eta_s: seconds to go, or None where unknown.
        hybrids_per_s: since the job was started or resumed; 0 where unknown.
        sums: over the shards so far, where the job has such.
        jobs_ahead: how many jobs it waits for; 0 where it waits for none.
        hybrids_left: how many are still to be computed; None where that is not known better than
            by shards.
    """

    job: Job
    eta_s: float | None = None
    hybrids_per_s: float = 0.0
    sums: Sums | None = None
    jobs_ahead: int = 0
    hybrids_left: int | None = None


class Moved(Exception):
    """A job is looked for elsewhere from now on."""


class Live:
    """The latest snapshot of a job.

    Args:
        job: as it was created.
        share: among whom the server divides itself fairly; by default the owners of jobs.

    Attributes:
        share: likewise.
        cancellation: stops the job's runs.
        stopping: whether the job stops because the server does, so that it goes on later.
        lost: whether another server has taken the job up.
        kept: the sums in the latest checkpoint, where this server wrote it.
        asked_for: whether somebody wants the job for its own sake, or no more than a job that
            needs it.
        work: what an influence job computes, once it does.
        beside: what is answered about its sums meanwhile.
        about: what it computes, for the log; known once its turn has come.
        span: what is told of it to whoever traces it.
    """

    def __init__(self, job: Job, share: str | None = None, span: Span = UNTOLD) -> None:
        self._snapshot = Snapshot(job)
        self._packed: bytes | None = None
        self._shared = job.shared
        self.share = job.owner if share is None else share
        self.cancellation = Cancellation()
        self.stopping = False
        self.lost = False
        self.kept: Sums | None = None
        self.asked_for = False
        self.work: InfluenceWork | None = None
        self.beside = Beside(self.refresh)
        self.about: dict[str, Fact] = {}
        self.span = span
        self._launched_ns, self._began_ns = now_ns(), 0
        self._cancel_asked = asyncio.Event()
        self._closed = self._moved = False
        self._version = 0
        self._changed = asyncio.Event()

    def begin(self) -> None:
        """Says that the job's turn has come: it waited until now."""
        self._began_ns = now_ns()
        self.span.record("queue", self._launched_ns, self._began_ns)

    @property
    def waited_s(self) -> float:
        """For how long the job has waited for its turn."""
        return 1e-9 * ((self._began_ns or now_ns()) - self._launched_ns)

    @property
    def ran_s(self) -> float:
        """For how long the job has run; 0 before its turn."""
        return 1e-9 * (now_ns() - self._began_ns) if self._began_ns else 0.0

    @property
    def cancelling(self) -> bool:
        """Whether the job was asked to stop; it may take a while to end."""
        return self._cancel_asked.is_set()

    @property
    def snapshot(self) -> Snapshot:
        """The latest."""
        if self._packed is None:
            return self._snapshot
        text = zlib.decompress(self._packed).decode()
        return replace(self._snapshot, job=replace(self._snapshot.job, specification=text))

    @property
    def outline(self) -> Snapshot:
        """Likewise, of a job that waits perhaps without its specification, which may be long."""
        return self._snapshot

    async def pack(self) -> None:
        """Keeps a long specification compressed: a job that waits should take a row, not memory."""
        text = self.snapshot.job.specification
        if len(text) >= _LONG:
            self._packed = await asyncio.to_thread(zlib.compress, text.encode(), 1)
            self._keep(self._snapshot)

    def unpack(self) -> None:
        """Has the specification at hand again."""
        self._snapshot, self._packed = self.snapshot, None

    def set_shared(self, shared: bool) -> None:
        """Lets everybody see the job, or its owner alone, whatever else is published about it."""
        self._shared = shared
        self.publish(self.snapshot)

    def _keep(self, snapshot: Snapshot) -> None:
        if snapshot.job.shared != self._shared:  # The job was read before that was said.
            snapshot = replace(snapshot, job=replace(snapshot.job, shared=self._shared))
        if self._packed is not None:
            snapshot = replace(snapshot, job=replace(snapshot.job, specification=""))
        self._snapshot = snapshot

    def publish(self, snapshot: Snapshot) -> None:
        """Replaces the snapshot and wakes every watcher."""
        self._keep(snapshot)
        self.refresh()

    def refresh(self) -> None:
        """Wakes every watcher: there is news beside the snapshot."""
        self._version += 1
        self._wake()

    def publish_if_new(self, snapshot: Snapshot) -> None:
        """Likewise, where anything has changed of a job that was just read whole."""
        self._shared = snapshot.job.shared
        if snapshot != self.snapshot:
            self.publish(snapshot)

    def waits_for(self, jobs: int) -> None:
        """Says how many jobs this one waits for."""
        if jobs != self._snapshot.jobs_ahead:
            self.publish(replace(self._snapshot, jobs_ahead=jobs))

    def left(self) -> float:
        """How many hybrids are still to be computed, as far as is known."""
        job, left = self._snapshot.job, self._snapshot.hybrids_left
        if left is not None:
            return left
        return job.estimate.hybrids * (1 - job.shards_done / job.shards_total)

    def set_job(self, job: Job) -> None:
        """Replaces the job and leaves the rest of the snapshot."""
        self.publish(replace(self.snapshot, job=job))

    def cancel(self) -> None:
        """Asks the job to stop, and stops its runs."""
        self._cancel_asked.set()
        self.cancellation.cancel()

    def stop(self) -> None:
        """Like `cancel`, for the server's sake; a job that somebody cancelled stays cancelled."""
        self.stopping = not self._cancel_asked.is_set()
        self.cancel()

    def close(self) -> None:
        """Says that no further snapshot will come, though the job has not ended."""
        self._closed = True
        self._wake()

    def lose(self) -> None:
        """Stops the runs of a job that another server has taken up; nothing of it is kept."""
        self.lost = True
        self.cancel()
        self.move()

    def move(self) -> None:
        """Says that whatever comes of the job comes from elsewhere."""
        self._moved = True
        self._wake()

    async def after(self, version: int) -> tuple[int, Snapshot]:
        """The snapshot, as soon as it is newer than `version`; -1 takes the present one.

        Raises:
            Moved: none will come, because another server has the job, or nobody.
            ServerStopping: none will come, because the server stops.
        """
        while self._version <= version:
            if self._moved:
                raise Moved
            if self._closed:
                raise ServerStopping(
                    f"the server stops; operations/{self.snapshot.job.id} goes on at its next start"
                )
            await self._changed.wait()
        return self._version, self.snapshot

    async def unless_cancelled(self, work: Awaitable[_Value]) -> _Value:
        """Waits for the work, but no longer than until `cancel`; then its result is dropped.

        Raises:
            Cancelled: `cancel` was called first.
        """
        task = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self._cancel_asked.wait())
        try:
            done, _ = await asyncio.wait((task, asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            task.cancel()
        if task not in done:
            raise Cancelled("the job was cancelled")
        return task.result()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Counter:
    """Counts pieces of work that are all alike.

    Args:
        live: the job.
        loop: the job's.
    """

    def __init__(self, live: Live, loop: asyncio.AbstractEventLoop) -> None:
        self._live, self._loop = live, loop
        self._started_s = time.monotonic()

    def one_more(self) -> None:
        """Tells that a piece is done; from any thread."""
        self._loop.call_soon_threadsafe(lambda: self.reach(self._live.snapshot.job.shards_done + 1))

    def reach(self, done: int) -> None:
        """Tells how many pieces are done; in the loop."""
        job = self._live.snapshot.job
        # A piece that was dropped with its job may end later; a job that is found may start anew.
        if job.state.ended or done <= job.shards_done:
            return
        elapsed_s = time.monotonic() - self._started_s
        eta_s = (job.shards_total - done) * elapsed_s / done
        self._live.publish(Snapshot(replace(job, shards_done=done), eta_s))


class Tracker:
    """Hears of every shard of an influence.

    Args:
        live: the job.
        save: keeps the sums so far; blocks.
        work: what it computes.
        start: the sums that it goes on from.
        every_s: seconds between two times that sums are kept.
        counts: told of what was added up.
    """

    def __init__(
        self,
        live: Live,
        save: Callable[[Job, Sums], Job],
        work: InfluenceWork,
        start: Sums | None,
        every_s: float,
        counts: JobCounts,
    ) -> None:
        self._counts = counts
        self._counted = _added(start)
        self._live, self._save, self._work, self._every_s = live, save, work, every_s
        self._first_hybrids = int(start.pairs_of.sum()) if start else 0
        self._started_s = self._saved_s = time.monotonic()

    async def advance(self, sums: Sums) -> None:
        """Takes the sums over the first shards."""
        self._count(sums)
        now = time.monotonic()
        elapsed_s = now - self._started_s
        job = replace(self._live.snapshot.job, shards_done=sums.shards)
        hybrids_a_s = (int(sums.pairs_of.sum()) - self._first_hybrids) / elapsed_s
        left = self._work.hybrids_left(sums)
        if self._work.rule is None:  # With a rule nobody knows how long it goes on.
            self._live.beside.allowance.foresee(hybrids_a_s * elapsed_s, left)
        snapshot = Snapshot(job, left / hybrids_a_s, hybrids_a_s, sums, hybrids_left=left)
        self._live.publish(snapshot)
        # After a crash at once: a job that gets further is not what ended its process.
        is_due = job.crashes or now - self._saved_s >= self._every_s
        if is_due and sums.shards < job.shards_total:
            saved = await asyncio.to_thread(self._save, job, sums)
            self._live.set_job(saved)
            if saved.checkpoint != job.checkpoint:
                self._live.kept = sums
            self._saved_s = now

    def _count(self, sums: Sums) -> None:
        owner, before = self._live.outline.job.owner, self._counted
        self._counted = _added(sums)
        counts = (self._counts.hybrids, self._counts.pairs, self._counts.shards)
        for count, new, old in zip(counts, self._counted, before, strict=True):
            count.add(owner, new - old)


def _added(sums: Sums | None) -> tuple[int, int, int]:
    """How many hybrids, pairs and shards are in sums."""
    return (int(sums.pairs_of.sum()), sums.pairs, sums.shards) if sums else (0, 0, 0)
