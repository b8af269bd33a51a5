"""A job that goes on: its latest state, and those who watch it.

A slow watcher skips states and never holds the job up. It belongs to the event loop.
"""

import asyncio
from dataclasses import dataclass, replace

from graftscope.server.engine import Cancellation
from graftscope.server.jobs._checkpoints import Sums
from graftscope.server.jobs._store import Job


@dataclass(frozen=True)
class Snapshot:
    """A job at one moment.

    Attributes:
        job: as it stands.
        eta_s: seconds to go, or None where unknown.
        hybrids_per_s: since the job was started or resumed; 0 where unknown.
        sums: over the shards so far, where the job has such.
    """

    job: Job
    eta_s: float | None = None
    hybrids_per_s: float = 0.0
    sums: Sums | None = None


class Live:
    """The latest snapshot of a job.

    Args:
        job: as it was created.

    Attributes:
        snapshot: the latest.
        cancellation: stops the job's runs.
        cancel_asked: set once the job was asked to stop.
        stopping: whether that was because the server stops, so that the job goes on later.
    """

    def __init__(self, job: Job) -> None:
        self.snapshot = Snapshot(job)
        self.cancellation = Cancellation()
        self.cancel_asked = asyncio.Event()
        self.stopping = False
        self._version = 0
        self._changed = asyncio.Event()

    def publish(self, snapshot: Snapshot) -> None:
        """Replaces the snapshot and wakes every watcher."""
        self.snapshot = snapshot
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def set_job(self, job: Job) -> None:
        """Replaces the job and leaves the rest of the snapshot."""
        self.publish(replace(self.snapshot, job=job))

    def cancel(self) -> None:
        """Asks the job to stop, and stops its runs."""
        self.cancel_asked.set()
        self.cancellation.cancel()

    async def after(self, version: int) -> tuple[int, Snapshot]:
        """The snapshot, as soon as it is newer than `version`; -1 takes the present one."""
        while self._version <= version:
            await self._changed.wait()
        return self._version, self.snapshot
