"""The server's database: SQLite by default, any other by its SQLAlchemy URL.

One engine serves whatever keeps tables: jobs, tokens. It must not know which tables there are.
"""

from typing import Any

import sqlalchemy as sa

from graftscope.server.errors import InvalidInput


def open_database(url: str, tables: sa.MetaData) -> sa.Engine:
    """Connects to a database, and makes the tables that are missing.

    Args:
        url: a SQLAlchemy URL, such as sqlite:////var/lib/graftscope/jobs.db.
        tables: those that are needed.

    Raises:
        InvalidInput: there is no database at the URL, or no driver for it.
    """
    try:
        engine = sa.create_engine(url)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _configure_sqlite)
        tables.create_all(engine)
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        # The URL may hold a password, and SQLAlchemy's second line is a link.
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"jobs_url cannot be used: {reason}", field="jobs_url") from error
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    """Readers go on while one writes; a commit survives a crash of the process."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()
