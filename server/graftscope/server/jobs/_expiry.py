"""What is forgotten while a server runs: old jobs, and files that no job needs.

Several servers may do so at a time, without a lock: nothing is removed that was written or used a
moment ago, since whoever did so may not have named it yet. It must not know what the jobs compute.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from graftscope.server.blobs import BlobInfo
from graftscope.server.jobs._artifact_store import ArtifactStore
from graftscope.server.jobs._checkpoints import CheckpointFolder, job_of
from graftscope.server.jobs._job import UNENDED, Job, JobState
from graftscope.server.jobs._store import JobStore
from graftscope.server.logs import get_logger

_log = get_logger("jobs")

_ENDED = tuple(state for state in JobState if state.ended)


@dataclass(frozen=True)
class Retention:
    """For how long results are kept.

    Attributes:
        keep_s: seconds since a job's end, or since an upload was last used.
        keep_bytes: of all files together; what was used longest ago goes first.
        young_s: seconds for which nothing is removed that was just written or used.
        every_s: seconds between two times that is looked for what may go.
    """

    keep_s: float
    keep_bytes: float = math.inf
    young_s: float = 900.0
    every_s: float = 300.0


class Expiry:
    """Forgets jobs, and removes their files.

    Args:
        store: where jobs are kept.
        checkpoints: their checkpoints.
        artifacts: their results, and what was uploaded for them.
        retention: for how long.

    Attributes:
        retention: as given.
        stored: of each kind how many files there were at the last look, and of how many bytes.
        looked_s: when that was, in seconds since 1970; None for not yet.
    """

    def __init__(
        self,
        store: JobStore,
        checkpoints: CheckpointFolder,
        artifacts: ArtifactStore,
        retention: Retention,
    ) -> None:
        self._store, self._checkpoints, self._artifacts = store, checkpoints, artifacts
        self.retention = retention
        self.stored: dict[str, tuple[int, int]] = {}
        self.looked_s: float | None = None

    def forget(self, job: Job) -> None:
        """Forgets a job that has ended, and removes the files that no other job needs."""
        self._store.delete(job.id)
        self._remove_files(job, _Needed(self._store))

    def sweep(self) -> None:
        """Removes what is too old, then what is too much."""
        self._artifacts.sweep_incoming()
        self._checkpoints.sweep_incoming()
        # Files before rows: a row that is stored meanwhile names no file that is listed as old.
        artifacts, checkpoints = self._artifacts.list(), self._checkpoints.list()
        if self.looked_s is None:  # What was there before this server.
            self._artifacts.files.create(len(artifacts))
            self._checkpoints.files.create(len(checkpoints))
        needed, now = _Needed(self._store), time.time()
        for job in self._store.expired(now):
            self._delete(job, needed)
        self._artifacts.remove_awaited(needed.names)
        old_s = now - max(self.retention.keep_s, self.retention.young_s)
        for info in artifacts:
            if info.name not in needed and info.used_s < old_s:
                self._artifacts.remove_unless_used(info)
        for info in checkpoints:
            is_old = info.written_s < now - self.retention.young_s
            if info.name not in needed and (is_old or self._has_ended(info.name)):
                self._checkpoints.remove_file(info.name)
        self._shrink(needed, now)

    def _has_ended(self, checkpoint: str) -> bool:
        """Whether the checkpoint's job has, so that nobody is about to name it."""
        job = self._store.get(job_of(checkpoint))
        return job is not None and job.state.ended

    def _delete(self, job: Job, needed: "_Needed") -> None:
        self._store.delete(job.id)
        needed.forget(job)
        self._remove_files(job, needed)

    def _remove_files(self, job: Job, needed: "_Needed") -> None:
        for sha256 in _results(job):
            if sha256 not in needed:
                # Who has sent the same bytes since may be about to use them.
                self._artifacts.remove(sha256, job.ended_s or job.created_s)
        for checkpoint in job.checkpoints:
            self._checkpoints.remove(checkpoint)

    def _shrink(self, needed: "_Needed", now: float) -> None:
        """Forgets what was used longest ago until the rest is small enough."""
        artifacts = {info.name: info for info in self._artifacts.list()}
        checkpoints = {info.name: info for info in self._checkpoints.list()}
        for kind, found in (("artifacts", artifacts), ("checkpoints", checkpoints)):
            self.stored[kind] = len(found), sum(info.size for info in found.values())
        self.looked_s = now
        files = artifacts | checkpoints
        over = sum(info.size for info in files.values()) - self.retention.keep_bytes
        if over <= 0:
            return
        forgotten = 0
        by_use: list[tuple[float, BlobInfo | Job]] = [
            *((info.used_s, info) for info in artifacts.values() if info.name not in needed),
            *self._ended_by_use(files),
        ]
        for used_s, each in sorted(by_use, key=lambda item: item[0]):
            if over <= 0 or used_s > now - self.retention.young_s:
                break
            if isinstance(each, BlobInfo):
                over -= each.size * self._artifacts.remove_unless_used(each)
                continue
            self._delete(each, needed)
            forgotten += 1
            gone = {name for name in _files(each) if name in files and name not in needed}
            over -= sum(files[name].size for name in gone)
        if forgotten:
            _log.info("jobs forgotten: more is kept than keep_gib allows", jobs=forgotten)
        if over > 0:
            _log.warning("more is kept than keep_gib allows: it is in use", over_bytes=int(over))

    def _ended_by_use(self, files: dict[str, BlobInfo]) -> Iterator[tuple[float, Job]]:
        """Jobs that have files, with their last use, but for those that others may need."""
        composite = [
            x.created_s for x in self._store.by_state(UNENDED) if x.analysis == "magnitude"
        ]
        needed_from_s = min(composite, default=math.inf)
        for job in self._store.by_state(_ENDED):
            used = [files[name].used_s for name in _files(job) if name in files]
            ended_s = job.ended_s or job.created_s
            if used and ended_s < needed_from_s:
                yield max(ended_s, *used), job


class _Needed:
    """The names of files that jobs need, also those jobs that this version cannot read."""

    def __init__(self, store: JobStore) -> None:
        self._by_job = store.named_files()
        self._count = Counter(name for names in self._by_job.values() for name in names)

    def __contains__(self, name: str) -> bool:
        return self._count[name] > 0

    @property
    def names(self) -> set[str]:
        """All of them."""
        return {name for name, count in self._count.items() if count > 0}

    def forget(self, job: Job) -> None:
        """Takes away what a job needed."""
        self._count.subtract(self._by_job.pop(job.id, ()))


def _results(job: Job) -> list[str]:
    return [ref.sha256 for ref in job.result.arrays.values()] if job.result else []


def _files(job: Job) -> set[str]:
    return {*_results(job), *(checkpoint.file for checkpoint in job.checkpoints)}
