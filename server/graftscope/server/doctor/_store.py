"""The database of jobs and tokens, which is looked at and not brought up to date."""

import time
from collections.abc import Iterator
from contextlib import closing

import sqlalchemy as sa

from graftscope.server.database import Database
from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import Finding, ok, problem, warning
from graftscope.server.doctor._installing import install
from graftscope.server.errors import InvalidInput, StoreDamaged, StoreUnavailable
from graftscope.server.jobs import SCHEMA, schema_of
from graftscope.server.settings import database_url

_SLOW_S = 0.1
"""A round trip to the database; every job makes several a second."""
_CLOCKS_S = 30.0
_ROUND_TRIPS = 3


def store(case: Case) -> Iterator[Finding]:
    """The database of jobs and tokens: whole, writable, and of a version that is known."""
    try:
        database = Database(database_url(case.settings))
    except InvalidInput as error:
        lacks = "No module named" in str(error)
        yield problem(
            str(error), install("postgresql") if lacks else "correct jobs_url (GRAFTSCOPE_JOBS_URL)"
        )
        return
    with closing(database):
        if database.file is not None and not database.file.exists():
            yield ok("there is no database yet: the server makes it when it starts")
            return
        try:
            # It begins as a write does, and writes nothing.
            with database.opening() as connection:
                yield from _tables(connection)
                if database.file is None:
                    yield from _reached(connection, case)
                else:
                    yield ok(f"{str(database.file)!r} is intact, and can be written to")
        except StoreDamaged as error:
            found, _, advice = str(error).partition(": ")
            yield problem(found, advice)
        except (InvalidInput, StoreUnavailable) as error:
            yield problem(str(error).replace("jobs_url", "the database"), _to_reach(database))


def _tables(connection: sa.Connection) -> Iterator[Finding]:
    found = schema_of(connection)
    if found > SCHEMA:
        yield problem(
            f"a newer version of Graftscope wrote its jobs: their schema is {found}, and this"
            f" version knows schemas up to {SCHEMA}",
            "install that version here, or name another database",
        )
    elif 0 < found < SCHEMA:
        yield warning(
            f"its schema is {found}; the next start makes it {SCHEMA}, which earlier versions"
            " cannot read",
            "make a backup before the first start of this version",
        )


def _reached(connection: sa.Connection, case: Case) -> Iterator[Finding]:
    """What only a database on a server can be: far away, a copy, or of another time."""
    began_s = time.perf_counter()
    for _ in range(_ROUND_TRIPS):
        connection.execute(sa.text("SELECT 1"))
    took_s = (time.perf_counter() - began_s) / _ROUND_TRIPS
    dialect = connection.dialect
    version = ".".join(map(str, dialect.server_version_info or ()))
    told = f"{dialect.name} {version} answers in {1e3 * took_s:.1f} ms"
    is_postgresql = dialect.name == "postgresql"
    if is_postgresql and _is_read_only(connection):
        yield problem(f"{told}, and takes no writes", "let jobs_url name the primary")
    elif is_postgresql and abs(off_s := case.machine.now_s() - _clock_s(connection)) > _CLOCKS_S:
        yield warning(
            f"the clock here is {abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} the"
            " clock of the database: tokens and results expire at the wrong time",
            "set the clocks (timedatectl, chronyc tracking)",
        )
    elif took_s > _SLOW_S:
        yield warning(f"{told}, which slows jobs down", "run servers near their database")
    else:
        yield ok(told)


def _clock_s(connection: sa.Connection) -> float:
    asked = sa.text("SELECT extract(epoch FROM clock_timestamp())")
    return float(connection.execute(asked).scalar_one())


def _is_read_only(connection: sa.Connection) -> bool:
    return str(connection.execute(sa.text("SHOW transaction_read_only")).scalar_one()) == "on"


def _to_reach(database: Database) -> str:
    if database.file is not None:
        return f"find out who uses {str(database.file)!r}, and let the server's user write to it"
    return (
        "start the database, let this machine reach it, or correct jobs_url (GRAFTSCOPE_JOBS_URL)"
    )
