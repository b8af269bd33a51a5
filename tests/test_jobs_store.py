"""The table of jobs gives back what was put in, on SQLite and on any other database."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from graftscope.server.errors import InvalidInput, LeaseLost, StoreTooNew, StoreUnavailable
from graftscope.server.jobs import (
    ArrayRef,
    Failure,
    Job,
    JobState,
    JobStore,
    Result,
)
from graftscope.server.jobs._job import Checkpoint, Estimate
from graftscope.server.jobs._store import Progress

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


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    return str(request.getfixturevalue("postgres").new_database())


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


def test_one_identity_of_an_owner_has_one_unended_job(store: JobStore) -> None:
    again = numbered(1, identity=JOB.identity)
    assert store.add(JOB, "call")
    assert not store.add(again, "another")
    assert store.get(again.id) is store.by_request("another") is None
    assert store.add(replace(again, owner="somebody"))
    store.update(replace(JOB, state=JobState.CANCELLED))
    assert store.add(numbered(2, identity=JOB.identity))


def test_a_job_and_its_call_are_kept_together_or_not_at_all(store: JobStore) -> None:
    assert store.add(JOB, "call")
    assert not store.add(numbered(1), "call")
    assert store.get(numbered(1).id) is None
    assert store.by_request("call") == JOB
    # A name is its owner's.
    mine = numbered(2, owner="somebody")
    assert store.add(mine, "call")
    assert store.by_request("call", "somebody") == mine
    assert not store.name_request("call", numbered(3))


def test_what_is_written_under_an_earlier_fence_is_refused(store: JobStore) -> None:
    store.add(replace(JOB, server="first", fence=1))
    (hold,) = store.unended()
    taken = store.take(hold, "second")
    assert taken is not None
    assert (taken.fence, taken.server, taken.attempts) == (2, "second", 2)
    late = replace(JOB, server="first", fence=1, state=JobState.DONE, result=RESULT)
    with pytest.raises(LeaseLost):
        store.update(late)
    assert store.get(JOB.id) == taken
    assert store.beat({JOB.id: (1, Progress(3))}, "first") == {}
    assert store.beat({JOB.id: (2, Progress(3, 1.5, 9.0))}, "second") == {JOB.id: False}
    (held,) = store.unended()
    assert (held.beat, held.progress) == (1, Progress(3, 1.5, 9.0))
    # Who saw it before it was heard again comes too late, and so does who saw another hold it.
    assert store.take(replace(held, beat=0), "third") is None
    assert store.take(hold, "third") is None
    store.ask_cancel(JOB.id)
    assert store.still_held({JOB.id: (2, Progress())}, "second") == {JOB.id: True}
    store.update(replace(taken, state=JobState.DONE, result=RESULT, server=""))
    assert store.unended() == []
    assert store.take(held, "third") is None


def test_only_a_process_that_ended_while_a_job_ran_counts_against_it(store: JobStore) -> None:
    crashes = []
    store.add(replace(JOB, server="first", fence=1))
    job: Job | None = JOB
    for state, server in (
        (JobState.QUEUED, "first"),
        (JobState.RUNNING, "second"),
        (JobState.RUNNING, ""),
        (JobState.RUNNING, "third"),
    ):
        job = store.get(JOB.id)
        assert job is not None
        store.update(replace(job, state=state, server=server))
        (hold,) = store.unended()
        job = store.take(hold, "another")
        assert job is not None
        crashes.append(job.crashes)
    assert crashes == [0, 1, 1, 2]


def test_a_page_for_an_owner_has_theirs_and_what_is_shared(store: JobStore) -> None:
    jobs = [numbered(1, owner="a"), numbered(2, owner="b"), numbered(3, owner="b", shared=True)]
    for job in jobs:
        store.add(job)
    assert store.page(10, 0, "a") == [jobs[2], jobs[0]]
    store.share(jobs[1].id, True)
    assert [job.id for job in store.page(10, 0, "a")] == [job.id for job in jobs[::-1]]
    assert store.by_identity(jobs[0].identity, JobState, "b") == []


DAMAGES = {
    "an unknown state": "update jobs set state = 9",
    "no JSON": "update jobs set body = 'x', checksum = null",
    "a byte that differs": "update jobs set body = replace(body, 'toy', 'tox')",
    "no fields": "update jobs set body = '{}', checksum = null",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_row_that_cannot_be_read_is_set_aside_and_kept(url: str, damage: str) -> None:
    with closing(JobStore(url)) as store:
        store.add(JOB)
    changed(url, damage)
    with closing(JobStore(url)) as store:
        others = [numbered(index, identity=JOB.identity, owner=f"{index}") for index in range(3)]
        for job in others:
            store.add(job)
        assert store.page(2, 0) == others[2:0:-1]
        assert store.page(2, 2) == others[:1]
        assert store.get(JOB.id) is None
        # It does not keep the same from being computed.
        assert store.add(numbered(4, identity=JOB.identity))
        assert [hold.job_id for hold in store.unended()][-1] == numbered(4).id
    assert changed(url, "update jobs set shared = 0") == 5


@pytest.mark.parametrize("column", ["attempts", "owner", "shared", "shards_done", "crashes"])
def test_a_column_that_holds_something_else_is_noticed(tmp_path: Path, column: str) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.db'}"  # Other databases keep nothing else in it.
    with closing(JobStore(url)) as store:
        store.add(JOB)
    changed(url, f"update jobs set {column} = x'fffe'")
    with closing(JobStore(url)) as store:
        assert store.get(JOB.id) is None
        assert store.page(10, 0) == []


def changed(url: str, statement: str) -> int:
    """Changes the database beside the store; how many rows it changed."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        count = connection.execute(sa.text(statement)).rowcount
    engine.dispose()
    return int(count)


OF_VERSION_0_1_0 = (
    "create table jobs (id varchar(32) primary key, identity varchar(64) not null,"
    " state integer not null, created_s float not null, expires_s float, body text not null)",
    "create table requests (request_id varchar(128) primary key, job_id varchar(32) not null)",
)


def test_tables_of_version_0_1_0_are_brought_up_to_date(url: str) -> None:
    later = ("owner", "shared", "attempts", "crashes", "fence", "server", "cancel_asked", "wanted")
    ended = numbered(1, state=JobState.DONE, result=RESULT)
    # A full disk left it unended, and the same was asked once more.
    twice = numbered(2), replace(numbered(3), identity=numbered(2).identity)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in OF_VERSION_0_1_0:
            connection.execute(sa.text(statement))
        for job in (ended, *twice):
            body = {name: each for name, each in asdict(job).items() if name not in later}
            connection.execute(
                sa.text("insert into jobs values (:id, :identity, :state, :created, null, :body)"),
                {
                    **{"id": job.id, "identity": job.identity, "state": int(job.state)},
                    **{"created": job.created_s, "body": json.dumps(body)},
                },
            )
        connection.execute(sa.text(f"insert into requests values ('call', '{ended.id}')"))
    engine.dispose()
    for _ in range(2):
        with closing(JobStore(url)) as store:
            assert store.get(ended.id) == store.by_request("call") == replace(ended, attempts=0)
            assert [hold.job_id for hold in store.unended()] == [twice[1].id]
            older = store.get(twice[0].id)
            assert older is not None
            assert older.state is JobState.CANCELLED
            assert not store.add(numbered(4, identity=twice[0].identity))
            taken = store.take(store.unended()[0], "server")
            assert taken is not None
            assert taken.crashes == 0
            store.update(replace(taken, server=""))


def test_tables_of_a_later_version_are_refused(url: str) -> None:
    JobStore(url).close()
    changed(url, "update graftscope set schema = 99")
    with pytest.raises(StoreTooNew, match="their schema is 99, this version knows up to 2"):
        JobStore(url)


@pytest.mark.parametrize(
    "url",
    ["no url", "sqlite:////nowhere/jobs.db", "nodatabase://host/db", "postgresql://ann:secret"],
)
def test_a_database_that_cannot_be_opened_is_one_line(url: str) -> None:
    with pytest.raises(InvalidInput, match="jobs_url cannot be used") as caught:
        JobStore(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.field == "jobs_url"


def test_a_server_of_databases_that_is_away_may_come_back() -> None:
    with pytest.raises(StoreUnavailable, match=r"jobs_url cannot be used: .*refused") as caught:
        JobStore("postgresql+psycopg://ann:secret@127.0.0.1:1/graftscope")
    assert "secret" not in str(caught.value)
    assert caught.value.field == "jobs_url"
