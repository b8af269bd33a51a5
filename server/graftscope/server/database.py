"""The server's database: SQLite by default, any other by its SQLAlchemy URL.

It serves whatever keeps tables: jobs, tokens. Writes on SQLite begin with the write lock, so that
none fails halfway because another went first. It must not know which tables there are.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from graftscope.server.errors import InvalidInput, StoreDamaged, StoreUnavailable
from graftscope.server.logs import get_logger

WAIT_S = 3.0
"""For how long a call waits for another's write."""
_RETRY_S = 1.0

_log = get_logger("store")

# What SQLite says of a file that is no database, or no longer a whole one.
_DAMAGED = ("malformed", "not a database", "disk image", "corrupt")

# What SQLite and PostgreSQL say of tables that are not this version's.
_FOREIGN = re.compile(
    "no such (table|column)|has no column|(relation|column) .* does not exist", re.IGNORECASE
)


class Database:
    """A pool of connections.

    Args:
        url: a SQLAlchemy URL.
        wait_s: for how long a call waits for another's write.

    Attributes:
        file: the SQLite file; None for any other database.
    """

    def __init__(self, url: str, wait_s: float = WAIT_S) -> None:
        try:
            parsed = sa.make_url(url)
            self.file = sqlite_file(parsed)
            self._engine = sa.create_engine(parsed, **_options(parsed, wait_s))
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            raise _unusable(error) from error
        except ValueError as error:
            # Not what is there, which is a password where the @ after it is missing.
            raise InvalidInput(
                "jobs_url cannot be used: its port is no number", field="jobs_url"
            ) from error
        self._writing = self._engine.execution_options(writes=True)
        self._inode = 0
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", partial(_configure_sqlite, wait_s))
            sa.event.listen(self._engine, "begin", _begin_sqlite)

    @property
    def is_shared(self) -> bool:
        """Whether several servers may use it at once."""
        return self._engine.dialect.name != "sqlite"

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    @contextmanager
    def opening(self) -> Iterator[sa.Connection]:
        """A transaction in which tables are made.

        Raises:
            InvalidInput: there is no database at the URL, or it cannot be written to.
            StoreUnavailable: who keeps the database does not let this server in, perhaps for now.
            StoreDamaged: the file is damaged.
        """
        self._make_private()
        try:
            with self._writing.begin() as connection:
                self._check_whole(connection)
                yield connection
        except sa.exc.SQLAlchemyError as error:
            self.close()
            raise _damage(error, self.file) or self._unopened(error) from error
        except Exception:
            self.close()
            raise
        self._inode = self._present_inode()

    def make(self, tables: sa.MetaData) -> None:
        """Makes the tables that are missing. Raises as `opening`."""
        with self.opening() as connection:
            if connection.dialect.name == "postgresql":
                # Two servers that start at once: one makes the tables, the other finds them.
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7215823)"))
            tables.create_all(connection)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that writes nothing. Raises as `writing`."""
        with self._errors():
            self._follow_file()
            with self._engine.begin() as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction, which is kept as a whole or not at all.

        Raises:
            StoreUnavailable: the database is held, full, read-only or gone for now.
            StoreDamaged: the file is damaged.
            sqlalchemy.exc.IntegrityError: what was added is there already.
        """
        with self._errors():
            self._follow_file()
            with self._writing.begin() as connection:
                yield connection

    def _unopened(self, error: sa.exc.SQLAlchemyError) -> InvalidInput | StoreUnavailable:
        """A server of databases that is away may come back; a file that is not there will not."""
        if self.file is None and isinstance(error, sa.exc.OperationalError):
            unusable = _unusable(error)
            return StoreUnavailable(str(unusable), field=unusable.field)
        return _unusable(error)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except sa.exc.SQLAlchemyError as error:
            reason = _first_line(error)
            _log.warning("the database cannot be used", error=reason)
            raise (_damage(error, self.file) or _unavailable()) from error

    def _follow_file(self) -> None:
        """SQLite would go on in a file that was removed, and lose all that it is told."""
        if self.file is None or (inode := self._present_inode()) == self._inode:
            return
        self._engine.dispose()
        if not inode:
            raise _unavailable()
        self._inode = inode

    def _make_private(self) -> None:
        """SQLite gives a new file to whoever the umask lets in, and its log the file's own mode."""
        # What cannot be made here cannot be opened either, which is told there.
        with suppress(OSError):
            if self.file is not None and not self.file.exists():
                self.file.touch(mode=0o600)

    def _present_inode(self) -> int:
        try:
            return self.file.stat().st_ino if self.file is not None else 0
        except OSError:
            return 0

    def _check_whole(self, connection: sa.Connection) -> None:
        if self.file is None:
            return
        said = connection.execute(sa.text("PRAGMA quick_check(1)")).scalar_one()
        if said != "ok":
            raise _damaged(self.file)


def sqlite_file(url: sa.URL) -> Path | None:
    """The file of a SQLite database; None for one in memory or of another kind."""
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if is_file else None


def _options(url: sa.URL, wait_s: float) -> dict[str, Any]:
    if url.get_backend_name() != "postgresql":
        return {}
    # A server that freezes in the middle of a transaction must not hold its rows for ever.
    limits = {
        "statement_timeout": 10_000,
        "lock_timeout": round(1000 * wait_s),
        "idle_in_transaction_session_timeout": 5000,
    }
    options = " ".join(f"-c {name}={value}" for name, value in limits.items())
    return {
        "pool_pre_ping": True,
        "connect_args": {"connect_timeout": round(WAIT_S), "options": options},
    }


def _configure_sqlite(wait_s: float, connection: Any, _record: object) -> None:
    """Readers go on while one writes; a commit survives a failure of the power."""
    # The transaction's beginning is ours to say.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={round(1000 * wait_s)}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable(
        "the server's database cannot be used for now; ask again", retry_after_s=_RETRY_S
    )


def _damage(error: Exception, file: Path | None) -> StoreDamaged | None:
    said = _first_line(error)
    if any(word in said for word in _DAMAGED):
        return _damaged(file)
    return _foreign(file) if _FOREIGN.search(said) else None


def _foreign(file: Path | None) -> StoreDamaged:
    """Asking again does not help where something else has changed the tables."""
    name = "" if file is None else f" {file.name!r}"
    return StoreDamaged(
        f"the server's database{name} lacks tables of this version of Graftscope, since something "
        "else has changed it; move it away, or put a copy in its place, and start the server again"
    )


def _damaged(file: Path | None) -> StoreDamaged:
    name = "" if file is None else f" {file.name!r}"
    return StoreDamaged(
        f"the server's database{name} is damaged: move it away, or put a copy in its place, and "
        "start the server again"
    )


def _unusable(error: Exception) -> InvalidInput:
    return InvalidInput(f"jobs_url cannot be used: {_first_line(error)}", field="jobs_url")


def _first_line(error: Exception) -> str:
    """What the database says; never the statement, whose parameters stand in later lines."""
    # The URL may hold a password, and SQLAlchemy's second line is a link.
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
