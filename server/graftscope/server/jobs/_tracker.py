"""How far an influence job is: told to its watchers, and kept every few seconds.

It must not know what computes the shards or where sums are kept.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from graftscope.server.jobs._checkpoints import Sums
from graftscope.server.jobs._live import Live, Snapshot
from graftscope.server.jobs._store import Job


class Tracker:
    """Hears of every shard.

    Args:
        live: the job.
        save: keeps the sums so far; blocks.
        sets: how many sets E the job has.
        start: the sums that it goes on from.
        every_s: seconds between two times that sums are kept.
    """

    def __init__(
        self,
        live: Live,
        save: Callable[[Job, Sums], Job],
        sets: int,
        start: Sums | None,
        every_s: float,
    ) -> None:
        self._live, self._save, self._sets, self._every_s = live, save, sets, every_s
        self._first_pairs = start.moments.count if start else 0
        self._first_shard = start.shards if start else 0
        self._started_s = self._saved_s = time.monotonic()

    async def advance(self, sums: Sums) -> None:
        """Takes the sums over the first shards."""
        now = time.monotonic()
        elapsed_s = now - self._started_s
        job = replace(self._live.snapshot.job, shards_done=sums.shards)
        left, done = job.shards_total - sums.shards, sums.shards - self._first_shard
        hybrids = (sums.moments.count - self._first_pairs) * self._sets
        self._live.publish(Snapshot(job, left * elapsed_s / done, hybrids / elapsed_s, sums))
        if now - self._saved_s >= self._every_s and left:
            self._live.set_job(await asyncio.to_thread(self._save, job, sums))
            self._saved_s = now
