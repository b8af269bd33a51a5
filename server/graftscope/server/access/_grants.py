"""Who may read which array by its sha256: whoever sent the same bytes, or was answered with them.

A sha256 alone opens nothing, so that guessing one tells nobody whether there is such an array. It
must not know where arrays are kept, nor that results of jobs are theirs who may see the job.
"""

import asyncio
import threading
import time
from collections.abc import Collection, Iterable

import sqlalchemy as sa

from graftscope.server.database import Database

_DAY_S = 86_400.0
_MOST_KNOWN = 10_000
"""So many grants are remembered, and need no look into the table."""

_METADATA = sa.MetaData()
_GRANTS = sa.Table(
    "grants",
    _METADATA,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("owner", sa.String(128), primary_key=True),
    sa.Column("granted_s", sa.Float, nullable=False, index=True),
)

_Grant = tuple[str, str]


class GrantStore:
    """The table of grants.

    Args:
        url: a SQLAlchemy URL, that of the jobs.

    All methods raise StoreUnavailable while the database cannot be used.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._database.make(_METADATA)

    def close(self) -> None:
        """Closes the connections."""
        self._database.close()

    def add(self, grants: Collection[_Grant]) -> None:
        """Adds grants, sha256 and owner, or renews those that are there."""
        now_s = time.time()
        rows = [{"sha256": x, "owner": y, "granted_s": now_s} for x, y in sorted(set(grants))]
        with self._database.writing() as connection:
            for row in rows:
                one = (_GRANTS.c.sha256 == row["sha256"], _GRANTS.c.owner == row["owner"])
                renewed = connection.execute(_GRANTS.update().where(*one).values(granted_s=now_s))
                if not renewed.rowcount:
                    connection.execute(_GRANTS.insert().values(**row))

    def has(self, sha256: str, owner: str) -> bool:
        """Whether there is this grant."""
        one = (_GRANTS.c.sha256 == sha256, _GRANTS.c.owner == owner)
        with self._database.reading() as connection:
            return connection.execute(sa.select(_GRANTS.c.sha256).where(*one)).first() is not None

    def forget(self, older_than_s: float) -> None:
        """Forgets grants of arrays that nobody has sent, or was answered with, for so long."""
        oldest_s = time.time() - older_than_s
        with self._database.writing() as connection:
            connection.execute(_GRANTS.delete().where(_GRANTS.c.granted_s < oldest_s))


class Grants:
    """Adds grants, in the event loop, and tells them, in any.

    Args:
        store: their table.
        keep_s: for how long arrays that no job needs are kept.
    """

    def __init__(self, store: GrantStore, keep_s: float) -> None:
        self._store, self._keep_s = store, keep_s
        self._known: dict[_Grant, float] = {}
        # Large requests are checked in threads.
        self._remembering = threading.Lock()
        self._waiting: set[_Grant] = set()
        self._in_flight: set[_Grant] = set()
        self._adding: asyncio.Task[None] | None = None
        self._forgot_s = time.monotonic() - _DAY_S

    async def add(self, owner: str, sha256s: Iterable[str]) -> None:
        """Adds grants; those of calls at the same time in one transaction."""
        now_s = time.monotonic()
        mine = {
            (sha256, owner)
            for sha256 in sha256s
            if now_s - self._known.get((sha256, owner), -_DAY_S) >= _DAY_S
        }
        self._waiting |= mine
        while mine & (self._waiting | self._in_flight):
            if self._adding is None:
                self._adding = asyncio.create_task(self._add_waiting())
            await asyncio.shield(self._adding)

    async def has(self, owner: str, sha256: str) -> bool:
        """Whether this owner may read this array."""
        if (sha256, owner) in self._known:
            return True
        found = await asyncio.to_thread(self._store.has, sha256, owner)
        if found:
            self._remember([(sha256, owner)])
        return found

    async def _add_waiting(self) -> None:
        self._in_flight, self._waiting = self._waiting, set()
        try:
            await asyncio.to_thread(self._write, self._in_flight)
            self._remember(self._in_flight)
        finally:
            self._adding, self._in_flight = None, set()

    def _write(self, grants: Collection[_Grant]) -> None:
        self._store.add(grants)
        now_s = time.monotonic()
        if now_s - self._forgot_s >= _DAY_S:
            self._forgot_s = now_s
            self._store.forget(2 * self._keep_s)

    def _remember(self, grants: Iterable[_Grant]) -> None:
        with self._remembering:
            self._known.update(dict.fromkeys(grants, time.monotonic()))
            while len(self._known) > _MOST_KNOWN:
                del self._known[next(iter(self._known))]
