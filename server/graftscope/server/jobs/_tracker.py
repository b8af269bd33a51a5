"""How far a job is: told to its watchers; an influence job's sums are kept every few seconds.

It must not know what computes the shards or where sums are kept.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from graftscope.server.jobs._live import Live, Snapshot
from graftscope.server.jobs._store import Job
from graftscope.server.jobs._sums import Sums


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
        sets: how many sets E the job has.
        expected: how many shards the job will have, as far as its sums tell.
        start: the sums that it goes on from.
        every_s: seconds between two times that sums are kept.
    """

    def __init__(
        self,
        live: Live,
        save: Callable[[Job, Sums], Job],
        sets: int,
        expected: Callable[[Sums], int],
        start: Sums | None,
        every_s: float,
    ) -> None:
        self._live, self._save, self._sets, self._every_s = live, save, sets, every_s
        self._expected = expected
        self._first_pairs = start.pairs if start else 0
        self._first_shard = start.shards if start else 0
        self._started_s = self._saved_s = time.monotonic()

    async def advance(self, sums: Sums) -> None:
        """Takes the sums over the first shards."""
        now = time.monotonic()
        elapsed_s = now - self._started_s
        job = replace(self._live.snapshot.job, shards_done=sums.shards)
        left = max(0, self._expected(sums) - sums.shards)
        done = sums.shards - self._first_shard
        hybrids = (sums.pairs - self._first_pairs) * self._sets
        self._live.publish(Snapshot(job, left * elapsed_s / done, hybrids / elapsed_s, sums))
        if now - self._saved_s >= self._every_s and sums.shards < job.shards_total:
            self._live.set_job(await asyncio.to_thread(self._save, job, sums))
            self._saved_s = now
