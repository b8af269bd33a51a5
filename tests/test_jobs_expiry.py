"""Old jobs and files are forgotten, and nothing that is needed, read, or just written."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from blob_toys import PLACES
from graftscope.server.analysis import MapMoments
from graftscope.server.blobs import FolderBlobs
from graftscope.server.jobs import (
    ArtifactStore,
    CheckpointFolder,
    Job,
    JobState,
    JobStore,
    Result,
    Retention,
    Sums,
)
from graftscope.server.jobs._expiry import Expiry
from graftscope.server.jobs._job import Estimate

DAY_S = 86_400.0
NOTHING_IS_YOUNG = -10.0
"""Files are as old as the file system's clock says, which is not quite this process's."""

JOB = Job("", "influence", "{}", "", "toy", {}, Estimate(0.0, 0, 0), 9, owner="me")
ZEROS = MapMoments(np.zeros(1, np.int64), np.zeros((1, 2, 2)), np.zeros((1, 2, 2)))


@dataclass
class Kept:
    """What a server keeps."""

    store: JobStore
    checkpoints: CheckpointFolder
    artifacts: ArtifactStore

    def sweep(self, **retention: float) -> None:
        kept = Retention(**{"keep_s": 30 * DAY_S, "young_s": NOTHING_IS_YOUNG, **retention})
        Expiry(self.store, self.checkpoints, self.artifacts, kept).sweep()

    def forget(self, job: Job) -> None:
        Expiry(self.store, self.checkpoints, self.artifacts, Retention(DAY_S)).forget(job)

    def array(self, value: float, size: int = 125) -> str:
        """Stores an array of eight bytes a number."""
        return self.artifacts.put(np.full(size, value)).sha256

    def done(self, name: str, *values: float, ended_s: float | None = None) -> Job:
        """A job that has ended, with a result array for each value."""
        arrays = {str(value): self.artifacts.put(np.full(125, value)) for value in values}
        ended_s = time.time() + 1.0 if ended_s is None else ended_s
        job = replace(
            JOB,
            id=name,
            identity=name,
            state=JobState.DONE,
            result=Result(arrays),
            created_s=ended_s - 1.0,
            ended_s=ended_s,
            expires_s=ended_s + 30 * DAY_S,
        )
        assert self.store.add(job)
        return job

    def names(self) -> set[str]:
        return {info.name for info in self.artifacts.list()}

    def jobs(self) -> set[str]:
        return {job.id for job in self.store.page(None, 0)}


@pytest.fixture(params=PLACES)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    place = PLACES[request.param]
    with closing(JobStore(f"sqlite:///{tmp_path / 'jobs.db'}")) as store:
        checkpoints = CheckpointFolder(place(tmp_path / "checkpoints"))
        yield Kept(store, checkpoints, ArtifactStore(place(tmp_path / "artifacts")))


def test_uploads_that_no_job_names_go_when_they_are_old(kept: Kept) -> None:
    job, upload = kept.done("a", 1.0), kept.array(2.0)
    kept.sweep()
    assert upload in kept.names()
    kept.sweep(keep_s=NOTHING_IS_YOUNG)
    assert job.result is not None
    assert kept.names() == {job.result.arrays["1.0"].sha256}


def test_what_was_just_written_stays_however_little_is_kept(kept: Kept) -> None:
    upload = kept.array(2.0)
    kept.checkpoints.save("nobody", Sums(1, ZEROS, ZEROS))
    kept.sweep(keep_s=0.0, keep_bytes=0.0, young_s=900.0)
    assert kept.names() == {upload}
    assert len(kept.checkpoints.list()) == 1


def test_checkpoints_that_no_job_names_go(kept: Kept) -> None:
    named = kept.checkpoints.save("a", Sums(1, ZEROS, ZEROS))
    before = kept.checkpoints.save("a", Sums(2, ZEROS, ZEROS))
    kept.checkpoints.save("b", Sums(1, ZEROS, ZEROS))
    assert kept.store.add(replace(JOB, id="a", checkpoint=named, checkpoint_before=before))
    kept.sweep()
    assert {info.name for info in kept.checkpoints.list()} == {named.file, before.file}


def test_checkpoints_that_a_server_left_when_it_was_killed_at_a_jobs_end_go_at_once(
    kept: Kept,
) -> None:
    kept.done("a", 1.0)
    kept.checkpoints.save("a", Sums(1, ZEROS, ZEROS))
    kept.sweep(young_s=900.0)
    assert kept.checkpoints.list() == []


def test_a_job_that_has_expired_goes_with_its_files(kept: Kept) -> None:
    kept.done("old", 1.0, ended_s=time.time() - 31 * DAY_S)
    young = kept.done("young", 1.0, 2.0)
    kept.sweep()
    assert kept.jobs() == {"young"}
    assert young.result is not None
    assert kept.names() == {ref.sha256 for ref in young.result.arrays.values()}


def test_a_deleted_job_takes_its_files_with_it_but_for_those_that_others_need(kept: Kept) -> None:
    one, other = kept.done("one", 1.0, 2.0), kept.done("other", 2.0, 3.0)
    kept.forget(one)
    assert kept.jobs() == {"other"}
    assert other.result is not None
    assert kept.names() == {ref.sha256 for ref in other.result.arrays.values()}


def test_what_is_read_is_removed_when_it_has_been_read(kept: Kept) -> None:
    job = kept.done("one", 1.0)
    (sha256,) = kept.names()
    with kept.artifacts.open(sha256) as reader:
        kept.sweep(keep_bytes=0.0)
        kept.sweep(keep_s=NOTHING_IS_YOUNG)
        assert kept.names() == {sha256}
        kept.forget(job)
        assert reader.read(0, 1000) == np.full(125, 1.0).tobytes()
    assert kept.names() == set()


def test_files_of_a_job_that_this_version_cannot_read_stay(kept: Kept, tmp_path: Path) -> None:
    def no_longer_known(job: Job) -> None:
        raise ValueError(job.id)

    kept.done("foreign", 1.0)
    with closing(JobStore(f"sqlite:///{tmp_path / 'jobs.db'}", no_longer_known)) as store:
        assert store.page(None, 0) == []
        replace(kept, store=store).sweep(keep_s=NOTHING_IS_YOUNG)
    assert len(kept.names()) == 1


def test_of_too_much_that_goes_which_was_used_longest_ago(tmp_path: Path) -> None:
    with closing(JobStore(f"sqlite:///{tmp_path / 'jobs.db'}")) as store:
        checkpoints = CheckpointFolder(FolderBlobs(tmp_path / "checkpoints"))
        kept = Kept(store, checkpoints, ArtifactStore(FolderBlobs(tmp_path / "artifacts")))
        now = time.time()
        for age, name in enumerate(("newest", "middle", "oldest")):
            kept.done(name, float(age), ended_s=now - age * DAY_S)
        for age in range(3):
            path = tmp_path / "artifacts" / kept.array(float(age))
            os.utime(path, (now - age * DAY_S, now - age * DAY_S))
        upload = tmp_path / "artifacts" / kept.array(9.0)
        os.utime(upload, (now - 1.5 * DAY_S, now - 1.5 * DAY_S))
        # What was read a moment ago is used, however long ago its job has ended.
        os.utime(tmp_path / "artifacts" / kept.array(2.0), (now, now - 2 * DAY_S))
        kept.sweep(keep_bytes=4000.0)
        assert kept.jobs() == {"newest", "middle", "oldest"}
        kept.sweep(keep_bytes=3000.0)
        assert upload.name not in kept.names()
        kept.sweep(keep_bytes=2000.0)
        assert kept.jobs() == {"newest", "oldest"}
        kept.sweep(keep_bytes=0.0)
        assert (kept.jobs(), kept.names()) == (set(), set())


def test_what_unended_jobs_need_stays_however_little_is_kept(kept: Kept) -> None:
    upload = kept.array(1.0)
    checkpoint = kept.checkpoints.save("a", Sums(1, ZEROS, ZEROS))
    wants = replace(JOB, id="a", specification=f'{{"maps": "{upload}"}}', checkpoint=checkpoint)
    assert kept.store.add(wants)
    kept.sweep(keep_bytes=0.0, keep_s=NOTHING_IS_YOUNG)
    assert kept.names() == {upload}
    assert kept.checkpoints.has(checkpoint)


def test_results_that_a_composite_job_may_need_stay_however_little_is_kept(kept: Kept) -> None:
    now = time.time()
    assert kept.store.add(replace(JOB, id="whole", analysis="magnitude", created_s=now - 50.0))
    kept.done("before", 1.0, ended_s=now - 60.0)
    kept.done("part", 2.0, ended_s=now - 40.0)
    kept.sweep(keep_bytes=0.0)
    assert kept.jobs() == {"whole", "part"}
