"""One look at a server: the numbers that its rooms keep, each read once for all metrics."""

import asyncio
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from graftscope.server.access import Certificates, Work
from graftscope.server.engine import Catalogue
from graftscope.server.errors import StoreUnavailable
from graftscope.server.jobs import JobRunner, JobState
from graftscope.server.rpc import Admission, Calls, InteractiveRuns, Reading
from graftscope.server.tally import Tally
from graftscope.server.telemetry._metrics_declared import Values
from graftscope.server.telemetry._metrics_principals import Principals
from graftscope.server.workers import PROCESSES

LONGEST_LAG_S = 5.0
"""Of the event loop: a scrape that waits longer would get no answer in time."""


@dataclass(frozen=True, eq=False)
class Watched:
    """The parts of a server that are looked at.

    Attributes:
        state: the state folder.
        loop: the event loop.
        certificates: what TLS shows; None without TLS.
    """

    calls: Calls
    admission: Admission
    reading: Reading
    runs: InteractiveRuns
    catalogue: Catalogue
    runner: JobRunner
    state: Path
    loop: asyncio.AbstractEventLoop
    certificates: Certificates | None = None


class Look:
    """One look at a server: what several metrics need is read once.

    Args:
        watched: the server.
        principals: who has time series of their own.
    """

    def __init__(self, watched: Watched, principals: Principals) -> None:
        self.calls, self.admission = watched.calls, watched.admission
        self.reading, self.runs, self.runner = watched.reading, watched.runs, watched.runner
        self.models, self.pool = watched.catalogue.generators, watched.catalogue.pool
        self.memory, self.counts = watched.runner.memory, watched.runner.counts
        self._state, self._loop = watched.state, watched.loop
        self._principals = principals
        self._certificates = watched.certificates

    @property
    def certificate_until_s(self) -> float | None:
        """Until when the server's certificate is good; None where it has none."""
        return None if self._certificates is None else self._certificates.until_s

    @cached_property
    def jobs(self) -> Mapping[JobState, int] | None:
        """Jobs in the database; None where it cannot be used."""
        try:
            return self.runner.store.counts()
        except StoreUnavailable:
            return None

    @cached_property
    def sessions(self) -> tuple[int, int]:
        """How many are open, and how many others take the place of one."""
        return self.pool.open

    @cached_property
    def disk(self) -> tuple[int, int] | None:
        """Bytes of the state folder's disk, and how many are free; None where it is gone."""
        try:
            usage = shutil.disk_usage(self._state)
        except OSError:
            return None
        return usage.total, usage.free

    @cached_property
    def lag_s(self) -> float | None:
        """How long the event loop took to answer; None where it is closed."""
        answered, asked_s = threading.Event(), time.perf_counter()
        try:
            self._loop.call_soon_threadsafe(answered.set)
        except RuntimeError:
            return None
        answered.wait(LONGEST_LAG_S)
        return time.perf_counter() - asked_s

    @property
    def tasks(self) -> int:
        """How many tasks the event loop has."""
        return len(asyncio.all_tasks(self._loop))

    @cached_property
    def hybrids(self) -> Mapping[tuple[str, str], int]:
        """How many hybrids were made, by kind of work and by principal."""
        explored = Work.EXPLORE
        return {
            **{
                ("explore" if work is explored else "hybridize", owner): number
                for (work, owner), number in self.runs.made_hybrids.by_key.items()
            },
            **{("influence", owner): x for owner, x in self.counts.hybrids.by_key.items()},
        }

    @cached_property
    def objects(self) -> Mapping[str, Tally]:
        """What is counted as it comes and goes, but for the kinds of calls."""
        return {
            "call": self.calls.tally,
            "session": self.pool.made,
            "compiled_code": self.pool.made_others,
            "exploration": self.runs.explorations,
            "memory_grant": self.memory.grants,
            "job": self.counts.live,
            "artifact": self.runner.artifacts.files,
            "checkpoint": self.runner.checkpoints.files,
            "artifact_transfer": self.runner.artifacts.transfers,
            "worker_process": PROCESSES,
        }

    def by_principal(self, numbers: Iterable[tuple[str, int]]) -> Values:
        """Numbers of principals, those of who has no time series added up."""
        total: Counter[str] = Counter()
        for owner, number in numbers:
            if owner:
                total[self._principals.label(owner)] += number
        return [((label,), number) for label, number in total.items()]
