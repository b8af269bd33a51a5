"""The servers of one database: that this one lives is told, that others do is seen.

A holder raises its jobs' beat; whoever sees a beat stand still for a lease, by its own monotonic
clock, may take the job up. Nobody compares clocks, so none that is set changes anything. It belongs
to the event loop, and must not know how jobs run.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from graftscope.server.errors import StoreUnavailable
from graftscope.server.jobs._job import Job
from graftscope.server.jobs._live_job import Live, Snapshot
from graftscope.server.jobs._store import Hold, JobStore, Progress
from graftscope.server.logs import get_logger

LEASE_S = 10.0
"""For how long a server may be silent before others take up its jobs, if nothing else is said."""

_BEATS_A_LEASE = 4
# A cancel that was asked for elsewhere is heard, and progress elsewhere is seen, after so long.
_LOOK_EVERY_S = 0.5

_log = get_logger("jobs")

_Value = TypeVar("_Value")


@dataclass
class Observer:
    """Sees which jobs nobody holds any more.

    Args:
        lease_s: for how long a beat may stand still.
        clock: seconds that only grow.
    """

    lease_s: float
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[tuple[int, int], float]] = field(default_factory=dict)
    _last_s: float = 0.0

    def free(self, holds: Sequence[Hold]) -> list[Hold]:
        """Those of all unended jobs that may be taken up: of nobody, or of somebody silent."""
        now = self.clock()
        # Whoever has not looked for long was frozen, or the database was gone, and with it the
        # means to raise a beat: holders get a whole lease to be heard again.
        anew = now - self._last_s > self.lease_s / 2
        self._last_s = now
        before = {} if anew else self._seen
        self._seen = {}
        for hold in holds:
            mark = (hold.fence, hold.beat)
            known = before.get(hold.job_id)
            self._seen[hold.job_id] = known if known and known[0] == mark else (mark, now)
        silent_s = {job_id: now - since for job_id, (_, since) in self._seen.items()}
        return [x for x in holds if not x.server or silent_s[x.job_id] >= self.lease_s]


@dataclass(eq=False)
class _Followed:
    """A job that another server runs, and how many watch it here."""

    live: Live
    watchers: int = 0


class Peers:
    """Beats for the jobs that this server holds, and looks at those of others.

    Args:
        store: where jobs are kept.
        server: who this server is.
        lease_s: for how long a server may be silent.
        held: the jobs that this server runs.
        take_up: called with a job that nobody holds any more.

    Attributes:
        resume: whether to take up any such job, or only those that somebody watches here.
    """

    def __init__(
        self,
        store: JobStore,
        server: str,
        lease_s: float,
        *,
        held: Mapping[str, Live],
        take_up: Callable[[Hold], Awaitable[object]],
    ) -> None:
        self.resume = False
        self._store, self._server, self._held, self._take_up = store, server, held, take_up
        self._observer = Observer(lease_s)
        self._beat_every_s = lease_s / _BEATS_A_LEASE
        self._look_every_s = min(_LOOK_EVERY_S, self._beat_every_s)
        self._beaten_s = self._looked_s = -lease_s
        self._followed: dict[str, _Followed] = {}
        self._threads = ThreadPoolExecutor(2, "peers")

    async def run(self) -> None:
        """Beats and looks until it is cancelled; neither waits for the other."""
        await asyncio.gather(self._repeat(self._tell), self._repeat(self._look))

    def dismiss(self) -> None:
        """Says to watchers that nothing more will come."""
        for followed in self._followed.values():
            followed.live.close()

    def close(self) -> None:
        """Ends the threads, once what they ask of the database is answered; blocks."""
        self._threads.shutdown()

    @contextmanager
    def following(self, job: Job) -> Iterator[Live]:
        """What happens to a job that another server runs; one look serves all who watch."""
        followed = self._followed.setdefault(job.id, _Followed(Live(job)))
        followed.watchers += 1
        try:
            yield followed.live
        finally:
            followed.watchers -= 1
            if not followed.watchers:
                self._followed.pop(job.id, None)

    def followed(self, job_id: str) -> Live | None:
        """A job that another server runs, where somebody watches it here."""
        found = self._followed.get(job_id)
        return found.live if found else None

    async def _repeat(self, step: Callable[[], Awaitable[None]]) -> None:
        is_reached = True
        while True:
            try:
                await step()
                is_reached = True
            except StoreUnavailable as error:
                if is_reached:
                    _log.warning("other servers cannot be heard", error=str(error))
                is_reached = False
            except Exception as error:
                # Nothing of one job may keep the others from being held.
                _log.error("other servers cannot be looked at", exc_info=error)
            await asyncio.sleep(self._look_every_s)

    async def _tell(self) -> None:
        """Beats where that is due; stops what was cancelled elsewhere, or is another's by now."""
        running = dict(self._held)
        if not running:
            return
        holds = {job_id: _hold(live.outline) for job_id, live in running.items()}
        if is_due := time.monotonic() - self._beaten_s >= self._beat_every_s:
            self._beaten_s = time.monotonic()
        tell = self._store.beat if is_due else self._store.still_held
        told = await self._in_thread(tell, holds, self._server)
        for job_id, live in running.items():
            if job_id not in told:
                await self._check_lost(live)
            elif told[job_id]:
                live.cancel()

    async def _check_lost(self, live: Live) -> None:
        """A job that is not among those held is another's, unless it has just ended here."""
        mine = live.outline.job
        job = await self._in_thread(self._store.get, mine.id)
        is_mine = job is not None and job.fence == mine.fence
        if not is_mine and self._held.get(mine.id) is live:
            live.lose()

    async def _look(self) -> None:
        """Tells watchers of jobs elsewhere, and takes up those that nobody holds any more."""
        now = time.monotonic()
        if not self._followed and now - self._looked_s < self._beat_every_s:
            return
        self._looked_s = now
        holds = await self._in_thread(self._store.unended)
        elsewhere = [hold for hold in holds if hold.job_id not in self._held]
        await self._follow({hold.job_id: hold for hold in elsewhere})
        for hold in self._observer.free(elsewhere):
            if self.resume or hold.job_id in self._followed:
                try:
                    await self._take_up(hold)
                except StoreUnavailable:
                    raise
                except Exception as error:
                    # One job that is not as it should be must not keep others from going on.
                    _log.error("job cannot be taken up", job=hold.job_id, exc_info=error)

    async def _follow(self, holds: Mapping[str, Hold]) -> None:
        for job_id, followed in tuple(self._followed.items()):
            hold = holds.get(job_id)
            if hold is not None:
                followed.live.publish_if_new(_as_held(followed.live.snapshot, hold))
            elif job_id in self._held:
                followed.live.move()
            else:
                await self._tell_end(job_id, followed.live)

    async def _tell_end(self, job_id: str, live: Live) -> None:
        ended = await self._in_thread(self._store.get, job_id)
        if ended is None:
            live.move()  # It was deleted: whoever watches asks again, and hears so.
        elif ended.state.ended:
            live.publish_if_new(Snapshot(ended))

    async def _in_thread(self, call: Callable[..., _Value], *arguments: object) -> _Value:
        """In threads of their own: whatever else the server does, its jobs stay held."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)


def _hold(snapshot: Snapshot) -> tuple[int, Progress]:
    job = snapshot.job
    return job.fence, Progress(job.shards_done, snapshot.eta_s, snapshot.hybrids_per_s)


def _as_held(snapshot: Snapshot, hold: Hold) -> Snapshot:
    """A job as its row tells; between two holders it waits."""
    progress = hold.progress
    job = replace(
        snapshot.job,
        state=hold.state,
        server=hold.server,
        fence=hold.fence,
        cancel_asked=hold.cancel_asked,
        shards_done=progress.shards_done,
    )
    return Snapshot(job, progress.eta_s, progress.hybrids_per_s)
