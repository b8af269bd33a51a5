"""The table of jobs gives back what was put in, on SQLite and on any other database."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import (
    ArrayRef,
    Failure,
    Job,
    JobState,
    JobStore,
    Result,
)
from graftscope.server.jobs._job import Checkpoint, Estimate

DATABASE_URL = os.environ.get("GRAFTSCOPE_TEST_DATABASE_URL")
NO_DATABASE = "needs a database at GRAFTSCOPE_TEST_DATABASE_URL, whose table of jobs is dropped"

JOB = Job(
    id="a" * 32,
    analysis="influence",
    specification='{"analysis":"influence","layer":"größe"}',
    identity="b" * 64,
    model="models/toy",
    plan={"batch": 32, "rewrites": []},
    estimate=Estimate(1.5, 10**12, 2**40),
    shards_total=4,
    created_s=1_700_000_000.123456,
)
RESULT = Result(
    {"maps": ArrayRef("c" * 64, "FP64", (2, 8, 8)), "one": ArrayRef("d" * 64, "FP64", ())},
    {"pairs": 5, "range_width": 2.0, "layer": "fc"},
)
STATES = {
    JobState.QUEUED: JOB,
    JobState.RUNNING: replace(
        JOB, state=JobState.RUNNING, shards_done=2, checkpoint=Checkpoint("a-2.npz", "e" * 64)
    ),
    JobState.DONE: replace(JOB, state=JobState.DONE, result=RESULT, ended_s=2.5, expires_s=3.5),
    JobState.CANCELLED: replace(JOB, state=JobState.CANCELLED, ended_s=2.5, expires_s=3.5),
    JobState.FAILED: replace(
        JOB, state=JobState.FAILED, failure=Failure("K_TOO_LARGE", "k = 9 …"), ended_s=2.5
    ),
}
UNENDED = (JobState.QUEUED, JobState.RUNNING)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("other", marks=pytest.mark.skipif(not DATABASE_URL, reason=NO_DATABASE)),
    ]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'jobs.db'}"
        return
    assert DATABASE_URL is not None
    yield DATABASE_URL
    engine = sa.create_engine(DATABASE_URL)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE jobs"))
    engine.dispose()


@pytest.fixture
def store(url: str) -> Iterator[JobStore]:
    with closing(JobStore(url)) as made:
        yield made


def numbered(index: int, **changes: object) -> Job:
    job = replace(JOB, id=f"{index:032}", identity=f"{index:064}", created_s=1000.0 + index)
    return replace(job, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", JobState)
def test_a_job_survives_in_every_state(store: JobStore, state: JobState) -> None:
    job = STATES[state]
    assert job.state is state
    store.add(JOB)
    store.update(job)
    assert store.get(job.id) == job
    assert store.by_state([state]) == [job]
    assert store.by_state(set(JobState) - {state}) == []


def test_jobs_survive_the_store(url: str) -> None:
    with closing(JobStore(url)) as before:
        before.add(JOB)
    with closing(JobStore(url)) as after:
        assert after.get(JOB.id) == JOB


def test_a_job_that_is_not_there_is_none(store: JobStore) -> None:
    assert store.get("nobody") is None
    assert store.by_request("nobody") is None
    store.delete("nobody")


def test_a_request_id_finds_the_job_that_answered_it_last(store: JobStore) -> None:
    again = replace(numbered(1), identity=JOB.identity, state=JobState.DONE)
    for job in (JOB, again):
        store.add(job)
    store.name_request("größe-1", JOB)
    store.name_request("another", JOB)
    assert store.by_request("größe-1") == store.by_request("another") == JOB
    store.name_request("größe-1", again)
    assert store.by_request("größe-1") == again
    store.delete(JOB.id)
    assert store.by_request("another") is None


def test_what_only_another_version_keeps_of_a_job_is_left_out(url: str) -> None:
    with closing(JobStore(url)) as store:
        store.add(JOB)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        (body,) = connection.execute(sa.text("select body from jobs")).one()
        body = json.dumps({**json.loads(body), "of_the_future": 1})
        connection.execute(sa.text("update jobs set body = :body, checksum = null"), {"body": body})
    engine.dispose()
    with closing(JobStore(url)) as store:
        assert store.get(JOB.id) == JOB


def test_pages_have_the_newest_first_and_miss_nothing(store: JobStore) -> None:
    jobs = [numbered(index) for index in range(7)]
    for job in jobs:
        store.add(job)
    pages = [store.page(limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert [job for page in pages for job in page] == jobs[::-1]
    assert store.page(limit=None, offset=0) == jobs[::-1]


def test_jobs_are_found_by_identity_and_state(store: JobStore) -> None:
    first = numbered(1, identity=JOB.identity)
    second = numbered(2, identity=JOB.identity, state=JobState.DONE)
    other = numbered(3)
    for job in (first, second, other):
        store.add(job)
    assert store.by_identity(JOB.identity, JobState) == [second, first]
    assert store.by_identity(JOB.identity, UNENDED) == [first]


def test_jobs_expire_when_their_time_is_over(store: JobStore) -> None:
    store.add(numbered(1, expires_s=10.0))
    store.add(numbered(2, expires_s=20.0))
    store.add(numbered(3))
    assert [job.id for job in store.expired(15.0)] == [f"{1:032}"]
    store.delete(f"{1:032}")
    assert store.expired(15.0) == []


@pytest.mark.parametrize("url", ["no url", "sqlite:////nowhere/jobs.db", "nodatabase://host/db"])
def test_a_database_that_cannot_be_opened_is_one_line(url: str) -> None:
    with pytest.raises(InvalidInput, match="jobs_url cannot be used") as caught:
        JobStore(url)
    assert "\n" not in str(caught.value)
    assert caught.value.field == "jobs_url"
