"""Jobs in a database: SQLite by default, any other by its SQLAlchemy URL.

One row a job. Writes are short and come from worker threads, never from the event loop. It must not
know what the jobs compute.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import IntEnum
from typing import Any, TypeAlias

import sqlalchemy as sa

from graftscope.server.database import open_database
from graftscope.server.jobs._artifact_store import ArrayRef
from graftscope.server.jobs._json import from_plain

Json: TypeAlias = "str | int | float | list[Json] | dict[str, Json]"
"""What a result keeps beside its arrays."""


class JobState(IntEnum):
    """Where a job stands; the numbers are the contract's."""

    QUEUED = 1
    RUNNING = 2
    DONE = 3
    CANCELLED = 4
    FAILED = 5

    @property
    def ended(self) -> bool:
        """Whether the job will not change any more."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class Estimate:
    """What a job will take.

    Attributes:
        duration_s: seconds with all workers.
        hybrids: how many are computed.
        result_bytes: size of the result arrays.
    """

    duration_s: float
    hybrids: int
    result_bytes: int


@dataclass(frozen=True)
class Result:
    """What a job gave.

    Attributes:
        arrays: by the field's name in the operation's response.
        scalars: the response's other fields.
    """

    arrays: dict[str, ArrayRef] = field(default_factory=dict)
    scalars: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why a job failed: a stable reason and one line."""

    reason: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """What a job came to."""

    state: JobState
    result: Result | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A file with the sums over the first shards, and its sha256."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Job:
    """A job as it stands.

    Attributes:
        id: part of the operation's name.
        analysis: influence, modules, stability or magnitude.
        specification: canonical JSON.
        identity: its sha256.
        model: name of the model, for people; the specification holds the digest.
        plan: how it is computed, as JSON; {} where nothing is to be chosen.
        shards_total: how many pieces of work.
        shards_done: how many are in the ordered prefix that is done.
        created_s, ended_s, expires_s: seconds since 1970.
    """

    id: str
    analysis: str
    specification: str
    identity: str
    model: str
    plan: dict[str, Any]
    estimate: Estimate
    shards_total: int
    shards_done: int = 0
    state: JobState = JobState.QUEUED
    checkpoint: Checkpoint | None = None
    result: Result | None = None
    failure: Failure | None = None
    created_s: float = 0.0
    ended_s: float | None = None
    expires_s: float | None = None


_FIELDS = frozenset(each.name for each in fields(Job))

_METADATA = sa.MetaData()
_JOBS = sa.Table(
    "jobs",
    _METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("identity", sa.String(64), nullable=False, index=True),
    sa.Column("state", sa.Integer, nullable=False, index=True),
    sa.Column("created_s", sa.Float, nullable=False, index=True),
    sa.Column("expires_s", sa.Float),
    # The rest is read and written as one piece.
    sa.Column("body", sa.Text, nullable=False),
)


# A call's name, and the job that answered it; several calls may share a job.
_REQUESTS = sa.Table(
    "requests",
    _METADATA,
    sa.Column("request_id", sa.String(128), primary_key=True),
    sa.Column("job_id", sa.String(32), nullable=False, index=True),
)


class JobStore:
    """The tables of jobs and of the calls that they answered.

    Args:
        url: a SQLAlchemy URL, such as sqlite:////var/lib/graftscope/jobs.db.

    Raises:
        InvalidInput: there is no database at the URL, or no driver for it.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_database(url, _METADATA)

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    def add(self, job: Job) -> None:
        """Adds a new job."""
        with self._engine.begin() as connection:
            connection.execute(_JOBS.insert().values(_to_row(job)))

    def name_request(self, request_id: str, job_id: str) -> None:
        """Remembers which job answered a call; the latest one counts."""
        with self._engine.begin() as connection:
            connection.execute(_REQUESTS.delete().where(_REQUESTS.c.request_id == request_id))
            connection.execute(_REQUESTS.insert().values(request_id=request_id, job_id=job_id))

    def update(self, job: Job) -> None:
        """Replaces a job's row."""
        with self._engine.begin() as connection:
            connection.execute(_JOBS.update().where(_JOBS.c.id == job.id).values(_to_row(job)))

    def delete(self, job_id: str) -> None:
        """Removes a job's row."""
        with self._engine.begin() as connection:
            connection.execute(_REQUESTS.delete().where(_REQUESTS.c.job_id == job_id))
            connection.execute(_JOBS.delete().where(_JOBS.c.id == job_id))

    def get(self, job_id: str) -> Job | None:
        """The job of this id, or None."""
        return _first(self._select(_JOBS.c.id == job_id))

    def by_request(self, request_id: str) -> Job | None:
        """The job that answered the call of this name, or None."""
        answered = sa.select(_REQUESTS.c.job_id).where(_REQUESTS.c.request_id == request_id)
        return _first(self._select(_JOBS.c.id.in_(answered)))

    def by_identity(self, identity: str, states: Iterable[JobState]) -> list[Job]:
        """Jobs of this identity in any of these states, the newest first."""
        return self._select(_JOBS.c.identity == identity, _JOBS.c.state.in_(list(states)))

    def by_state(self, states: Iterable[JobState]) -> list[Job]:
        """Jobs in any of these states, the newest first."""
        return self._select(_JOBS.c.state.in_(list(states)))

    def page(self, limit: int | None, offset: int) -> list[Job]:
        """Jobs, the newest first."""
        return self._select(limit=limit, offset=offset)

    def expired(self, now_s: float) -> list[Job]:
        """Jobs whose results may be forgotten."""
        return self._select(_JOBS.c.expires_s < now_s)

    def _select(
        self, *where: sa.ColumnElement[bool], limit: int | None = None, offset: int = 0
    ) -> list[Job]:
        newest = (_JOBS.c.created_s.desc(), _JOBS.c.id)
        query = sa.select(_JOBS.c.body).where(*where).order_by(*newest)
        with self._engine.connect() as connection:
            rows = connection.execute(query.limit(limit).offset(offset))
            return [_from_body(row.body) for row in rows]


def end(job: Job, outcome: Outcome, keep_s: float) -> Job:
    """The job in its last state, with its times filled in."""
    now = time.time()
    return replace(job, **vars(outcome), ended_s=now, expires_s=now + keep_s)


def _first(jobs: Sequence[Job]) -> Job | None:
    return jobs[0] if jobs else None


def _to_row(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "identity": job.identity,
        "state": int(job.state),
        "created_s": job.created_s,
        "expires_s": job.expires_s,
        "body": json.dumps(asdict(job)),
    }


def _from_body(body: str) -> Job:
    # What only another version keeps is left out.
    return from_plain(Job, {x: y for x, y in json.loads(body).items() if x in _FIELDS})
