"""Jobs in a database: SQLite by default, PostgreSQL or any other by its SQLAlchemy URL.

One row a job. Who works on a job holds its row: `fence` counts who did so before, and what is
written under an earlier fence is refused, so that a server that was frozen while another took its
job up changes nothing. A holder raises `beat`; others see that it lives by that alone, by their own
monotonic clocks, so that no clock that is set can end or lengthen a hold.

Writes are short and come from worker threads, never from the event loop. It must not know what the
jobs compute.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import sqlalchemy as sa

from graftscope.server.database import Database
from graftscope.server.errors import LeaseLost
from graftscope.server.jobs._job import UNENDED, Job, JobState
from graftscope.server.jobs._json import from_plain
from graftscope.server.jobs._schema import CALLS, DATABASE, JOBS, bring_up_to_date
from graftscope.server.logs import get_logger

# What stands in columns of its own, since others than its holder change it, or ask for it.
_COLUMNS = (
    *("state", "owner", "shared", "attempts", "crashes"),
    *("fence", "server", "cancel_asked", "wanted"),
)
_TEXTS = ("owner", "server")
_FLAGS = ("shared", "cancel_asked", "wanted")
_IN_BODY = frozenset(each.name for each in fields(Job)) - set(_COLUMNS)

# A sha256, or the name of a checkpoint. Strings are looked at alone, of which rows have few.
_FILE = re.compile(r'"([0-9a-f]{64}|[0-9A-Za-z-]{1,200}\.npz)')

_BY_TIME = (JOBS.c.created_s.desc(),)
"""Alone it is the order of an index, in which a search may end early."""

_log = get_logger("store")


@dataclass(frozen=True)
class Progress:
    """How far a job is, for those who watch it from another server.

    Attributes:
        shards_done: how many are done.
        eta_s: seconds to go, or None where unknown.
        hybrids_per_s: 0 where unknown.
    """

    shards_done: int = 0
    eta_s: float | None = None
    hybrids_per_s: float = 0.0


@dataclass(frozen=True)
class Hold:
    """Who works on an unended job, and how far it is.

    Attributes:
        job_id: the job.
        state: queued or running.
        server: who holds it; '' for nobody.
        fence: how many held it before.
        beat: what its holder raises for as long as it lives.
        cancel_asked: whether the job was asked to stop.
        progress: how far it is.
    """

    job_id: str
    state: JobState
    server: str
    fence: int
    beat: int
    cancel_asked: bool
    progress: Progress


class JobStore:
    """The tables of jobs and of the calls that they answered.

    A row that this version cannot read is set aside: told in the log, kept as it is, and never
    among what the methods give.

    Args:
        url: a SQLAlchemy URL, such as sqlite:////var/lib/graftscope/jobs.db.
        check: raises LookupError, TypeError, ValueError or AssertionError for a job that this
            version cannot work on.

    Raises:
        InvalidInput: there is no database at the URL, or no driver for it.
        StoreTooNew: its tables are of a later version.
        StoreDamaged: its file is damaged.

    All methods raise StoreUnavailable while the database cannot be used.
    """

    def __init__(self, url: str, check: Callable[[Job], object] = lambda job: None) -> None:
        self._database = Database(url)
        self._check = check
        self._set_aside: set[str] = set()
        with self._database.opening() as connection:
            bring_up_to_date(connection)

    @property
    def is_shared(self) -> bool:
        """Whether several servers may use it at once."""
        return self._database.is_shared

    def close(self) -> None:
        """Closes the connections."""
        self._database.close()

    def place(self, offered: str) -> str:
        """Where its jobs' arrays lie: what was offered first."""
        none_yet = DATABASE.c.place == ""
        with self._database.writing() as connection:
            connection.execute(DATABASE.update().where(none_yet).values(place=offered))
            return str(connection.execute(sa.select(DATABASE.c.place)).scalar_one())

    def add(self, job: Job, request_id: str | None = None) -> bool:
        """Adds a new job, and the name of the call that it answers, if that has one.

        Returns:
            False, and nothing is added, if another job of this owner computes the same, or the
            name was used for something else: somebody was faster.
        """
        try:
            with self._database.writing() as connection:
                self._make_room(connection, job)
                connection.execute(JOBS.insert().values(_to_row(job, new=True)))
                return request_id is None or _name(connection, request_id, job)
        except (_AnotherCall, sa.exc.IntegrityError):
            return False

    def name_request(self, request_id: str, job: Job) -> bool:
        """Remembers which job answered a call; False if the name was used for something else."""
        try:
            with self._database.writing() as connection:
                return _name(connection, request_id, job)
        except (_AnotherCall, sa.exc.IntegrityError):
            return False

    def update(self, job: Job) -> None:
        """Replaces what its holder may change of a job's row.

        Raises:
            LeaseLost: another took the job up, or it was deleted.
        """
        with self._database.writing() as connection:
            mine = (JOBS.c.id == job.id, JOBS.c.fence == job.fence)
            hit = connection.execute(JOBS.update().where(*mine).values(_to_row(job)))
            if not hit.rowcount:
                raise LeaseLost(f"operations/{job.id} is held by another server")

    def take(self, job: Job | Hold, server: str, *, runs: bool = True) -> Job | None:
        """Takes a job up as it was seen, so that earlier holders can write no more.

        Args:
            job: as it was seen.
            server: who takes it.
            runs: whether it is to be worked on, and not only ended.

        Returns:
            The job, or None where it has changed hands, or ended, since it was seen.
        """
        job_id = job.job_id if isinstance(job, Hold) else job.id
        seen = sa.and_(JOBS.c.id == job_id, JOBS.c.fence == job.fence, JOBS.c.state.in_(UNENDED))
        if isinstance(job, Hold):
            seen &= JOBS.c.beat == job.beat
        fell = (JOBS.c.state == JobState.RUNNING) & (JOBS.c.server != "")
        taken = {
            "fence": JOBS.c.fence + 1,
            "beat": 0,
            "server": server,
            "attempts": JOBS.c.attempts + int(runs),
            "crashes": JOBS.c.crashes + sa.case((fell, 1), else_=0),
            "state": JobState.QUEUED,
        }
        with self._database.writing() as connection:
            hit = connection.execute(JOBS.update().where(seen).values(taken))
            rows = connection.execute(sa.select(JOBS).where(JOBS.c.id == job_id)).all()
        return _first(self._readable(rows)) if hit.rowcount else None

    def beat(self, held: Mapping[str, tuple[int, Progress]], server: str) -> dict[str, bool]:
        """Says that a server lives, and how far its jobs are.

        Args:
            held: by job the fence under which it is held, and how far it is.
            server: who holds them.

        Returns:
            The jobs that it holds still, each with whether it was asked to stop.
        """
        one = sa.and_(JOBS.c.id == sa.bindparam("job"), JOBS.c.fence == sa.bindparam("under"))
        raised = (
            JOBS.update()
            .where(one)
            .values(
                beat=JOBS.c.beat + 1,
                shards_done=sa.bindparam("shards"),
                eta_s=sa.bindparam("eta"),
                hybrids_per_s=sa.bindparam("rate"),
            )
        )
        told = [
            {
                **{"job": job_id, "under": fence},
                **{"shards": to.shards_done, "eta": to.eta_s, "rate": to.hybrids_per_s},
            }
            for job_id, (fence, to) in held.items()
        ]
        with self._database.writing() as connection:
            if told:
                connection.execute(raised, told)
            return _held(connection, held, server)

    def still_held(self, held: Mapping[str, tuple[int, Progress]], server: str) -> dict[str, bool]:
        """As `beat`, which it is not."""
        with self._database.reading() as connection:
            return _held(connection, held, server)

    def unended(self) -> list[Hold]:
        """Who works on which job, the oldest first."""
        query = sa.select(
            *(JOBS.c.id, JOBS.c.state, JOBS.c.server, JOBS.c.fence, JOBS.c.beat),
            *(JOBS.c.cancel_asked, JOBS.c.shards_done, JOBS.c.eta_s, JOBS.c.hybrids_per_s),
        ).where(JOBS.c.state.in_(UNENDED), JOBS.c.id.not_in(self._set_aside))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(JOBS.c.created_s, JOBS.c.id)).all()
        return [
            Hold(
                *(row.id, JobState(row.state), row.server, row.fence, row.beat),
                bool(row.cancel_asked),
                Progress(row.shards_done, row.eta_s, row.hybrids_per_s),
            )
            for row in rows
        ]

    def ask_cancel(self, job_id: str) -> None:
        """Asks a job's holder to stop it, whichever server that is."""
        wanted = (JOBS.c.id == job_id, JOBS.c.state.in_(UNENDED))
        with self._database.writing() as connection:
            connection.execute(JOBS.update().where(*wanted).values(cancel_asked=1))

    def want(self, job_id: str) -> None:
        """Says that somebody asks for a job for its own sake."""
        with self._database.writing() as connection:
            connection.execute(JOBS.update().where(JOBS.c.id == job_id).values(wanted=1))

    def share(self, job_id: str, shared: bool) -> None:
        """Lets others see a job, or its owner alone."""
        with self._database.writing() as connection:
            wanted = JOBS.c.id == job_id
            connection.execute(JOBS.update().where(wanted).values(shared=int(shared)))

    def delete(self, job_id: str) -> None:
        """Removes a job's row."""
        with self._database.writing() as connection:
            connection.execute(CALLS.delete().where(CALLS.c.job_id == job_id))
            connection.execute(JOBS.delete().where(JOBS.c.id == job_id))

    def get(self, job_id: str) -> Job | None:
        """The job of this id, or None."""
        return _first(self._select(JOBS.c.id == job_id))

    def by_request(self, request_id: str, owner: str = "") -> Job | None:
        """The job that answered the owner's call of this name, or None."""
        named = (CALLS.c.owner == owner, CALLS.c.request_id == request_id)
        return _first(self._select(JOBS.c.id.in_(sa.select(CALLS.c.job_id).where(*named))))

    def by_identity(self, identity: str, states: Iterable[JobState], owner: str = "") -> list[Job]:
        """The owner's jobs of this identity in any of these states, the newest first."""
        wanted = (JOBS.c.identity == identity, JOBS.c.owner == owner)
        return self._select(*wanted, JOBS.c.state.in_(list(states)))

    def waiting(self) -> list[tuple[str, float | None]]:
        """Of each job that runs or waits, its owner, and in how many seconds it will have ended."""
        query = sa.select(JOBS.c.owner, JOBS.c.eta_s).where(
            JOBS.c.state.in_(UNENDED), JOBS.c.id.not_in(self._set_aside)
        )
        with self._database.reading() as connection:
            return [(owner, eta_s) for owner, eta_s in connection.execute(query)]

    def counts(self) -> dict[JobState, int]:
        """How many jobs there are of each state, those that are set aside among them."""
        query = sa.select(JOBS.c.state, sa.func.count()).group_by(JOBS.c.state)
        with self._database.reading() as connection:
            return {JobState(state): number for state, number in connection.execute(query)}

    def by_state(self, states: Iterable[JobState]) -> list[Job]:
        """Jobs in any of these states, the newest first."""
        return self._select(JOBS.c.state.in_(list(states)))

    def page(self, limit: int | None, offset: int, seen_by: str | None = None) -> list[Job]:
        """Jobs, the newest first.

        Args:
            limit: at most so many; None for all.
            offset: after so many.
            seen_by: only this owner's, and those that others share; None for everybody's.
        """
        seen = () if seen_by is None else (_seen_by(seen_by),)
        return self._select(*seen, limit=limit, offset=offset)

    def naming(self, sha256: str, seen_by: str) -> Iterator[Job]:
        """Jobs that this owner sees and in which this text stands somewhere, the newest first."""
        stands = JOBS.c.body.contains(sha256, autoescape=True)
        offset, limit = 0, 1
        while True:
            # The search ends at the last that is wanted, which mostly is the first.
            seen = (_seen_by(seen_by), stands)
            found = self._select(*seen, limit=limit, offset=offset, order=_BY_TIME)
            yield from found
            if len(found) < limit:
                return
            offset, limit = offset + limit, 4 * limit

    def expired(self, now_s: float) -> list[Job]:
        """Jobs whose results may be forgotten."""
        return self._select(JOBS.c.expires_s < now_s)

    def named_files(self) -> dict[str, frozenset[str]]:
        """By job, and also for those that are set aside: every file that its row may name."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(JOBS.c.id, JOBS.c.body))
            return {row.id: frozenset(_FILE.findall(row.body)) for row in rows}

    def _select(
        self,
        *where: sa.ColumnElement[bool],
        limit: int | None = None,
        offset: int = 0,
        order: Sequence[sa.ColumnElement[object]] = (*_BY_TIME, JOBS.c.id),
    ) -> list[Job]:
        while True:
            query = sa.select(JOBS).where(*where, JOBS.c.id.not_in(self._set_aside))
            with self._database.reading() as connection:
                page = query.order_by(*order).limit(limit).offset(offset)
                rows = connection.execute(page).all()
            jobs = self._readable(rows)
            if len(jobs) == len(rows):
                return jobs

    def _readable(self, rows: Sequence[sa.Row[*tuple[object, ...]]]) -> list[Job]:
        """The rows' jobs; those that cannot be read are set aside."""
        jobs = []
        for row in rows:
            try:
                job = _from_row(row)
                self._check(job)
            except (AssertionError, LookupError, TypeError, ValueError) as error:
                self._set_aside.add(row.id)
                _log.warning("job set aside: it cannot be read", job=row.id, error=str(error))
            else:
                jobs.append(job)
        return jobs

    def _make_room(self, connection: sa.Connection, job: Job) -> None:
        """A job that is set aside does not keep others from computing the same."""
        claimed = (JOBS.c.owner == job.owner, JOBS.c.claim == job.identity)
        aside = JOBS.c.id.in_(self._set_aside)
        connection.execute(JOBS.update().where(*claimed, aside).values(claim=None))


class _AnotherCall(Exception):
    """A request id was used for something else."""


def _name(connection: sa.Connection, request_id: str, job: Job) -> bool:
    named = (CALLS.c.owner == job.owner, CALLS.c.request_id == request_id)
    earlier = sa.select(JOBS.c.identity).join(CALLS, CALLS.c.job_id == JOBS.c.id).where(*named)
    if connection.execute(earlier).scalar_one_or_none() not in (None, job.identity):
        raise _AnotherCall
    connection.execute(CALLS.delete().where(*named))
    called = CALLS.insert().values(owner=job.owner, request_id=request_id, job_id=job.id)
    connection.execute(called)
    return True


def _held(
    connection: sa.Connection, held: Mapping[str, tuple[int, Progress]], server: str
) -> dict[str, bool]:
    mine = (JOBS.c.state.in_(UNENDED), JOBS.c.server == server)
    query = sa.select(JOBS.c.id, JOBS.c.fence, JOBS.c.cancel_asked).where(*mine)
    return {
        row.id: bool(row.cancel_asked)
        for row in connection.execute(query)
        if row.id in held and row.fence == held[row.id][0]
    }


def _seen_by(owner: str) -> sa.ColumnElement[bool]:
    return (JOBS.c.owner == owner) | (JOBS.c.shared != 0)


def _first(jobs: Sequence[Job]) -> Job | None:
    return jobs[0] if jobs else None


def _to_row(job: Job, *, new: bool = False) -> dict[str, object]:
    body = json.dumps({name: each for name, each in asdict(job).items() if name in _IN_BODY})
    row: dict[str, object] = {
        "state": int(job.state),
        "expires_s": job.expires_s,
        "body": body,
        "checksum": _checksum(body),
        "claim": None if job.state.ended else job.identity,
        "server": job.server,
        "crashes": job.crashes,
        "shards_done": job.shards_done,
        "eta_s": None,
        "hybrids_per_s": 0.0,
    }
    if new:
        names = ("id", "identity", "created_s", "owner", "attempts", "fence")
        row |= {name: getattr(job, name) for name in names}
        row |= {name: int(getattr(job, name)) for name in _FLAGS}
    return row


def _from_row(row: sa.Row[*tuple[object, ...]]) -> Job:
    if row.checksum is not None and row.checksum != _checksum(row.body):
        raise ValueError("its bytes do not match their checksum")
    # What only another version keeps is left out.
    body = {name: each for name, each in json.loads(row.body).items() if name in _IN_BODY}
    # A beat may have told of more than what was kept since.
    body["shards_done"] = max(body["shards_done"], row.shards_done)
    columns = {name: getattr(row, name) for name in _COLUMNS}
    for name, value in columns.items():
        # SQLite keeps anything in any column.
        if not isinstance(value, str if name in _TEXTS else int):
            raise TypeError(f"its column {name} holds {type(value).__name__}")
    return from_plain(Job, body | columns | {name: bool(columns[name]) for name in _FLAGS})


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
