"""The tables of jobs and calls, and how those of earlier versions become them.

It must not know what the jobs compute.
"""

import sqlalchemy as sa

from graftscope.server.errors import StoreTooNew
from graftscope.server.jobs._job import UNENDED, JobState

SCHEMA = 2
"""Version 0.1.0 had the first."""

_METADATA = sa.MetaData()

JOBS = sa.Table(
    "jobs",
    _METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("identity", sa.String(64), nullable=False, index=True),
    sa.Column("state", sa.Integer, nullable=False, index=True),
    sa.Column("created_s", sa.Float, nullable=False, index=True),
    sa.Column("expires_s", sa.Float),
    # What was asked, and what it came to: read and written as one piece, with its sha256.
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("checksum", sa.String(64)),
    sa.Column("owner", sa.String(128), nullable=False, server_default=""),
    sa.Column("shared", sa.Integer, nullable=False, server_default="0"),
    # The identity for as long as the job is unended: no two of an owner may be.
    sa.Column("claim", sa.String(64)),
    sa.Column("fence", sa.Integer, nullable=False, server_default="0"),
    sa.Column("beat", sa.Integer, nullable=False, server_default="0"),
    sa.Column("server", sa.String(64), nullable=False, server_default=""),
    # Version 0.1.0 counted none.
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("crashes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("cancel_asked", sa.Integer, nullable=False, server_default="0"),
    sa.Column("wanted", sa.Integer, nullable=False, server_default="1"),
    # How far it is, for those who watch it from another server.
    sa.Column("shards_done", sa.Integer, nullable=False, server_default="0"),
    sa.Column("eta_s", sa.Float),
    sa.Column("hybrids_per_s", sa.Float, nullable=False, server_default="0"),
)
_CLAIMS = sa.Index("jobs_claims", JOBS.c.owner, JOBS.c.claim, unique=True)

CALLS = sa.Table(
    "calls",
    _METADATA,
    sa.Column("owner", sa.String(128), primary_key=True),
    sa.Column("request_id", sa.String(128), primary_key=True),
    sa.Column("job_id", sa.String(32), nullable=False, index=True),
)

# One row, of the database itself.
DATABASE = sa.Table(
    "graftscope",
    _METADATA,
    sa.Column("schema", sa.Integer, nullable=False),
    # Where its servers keep arrays and checkpoints; none yet where it is empty.
    sa.Column("place", sa.String(64), nullable=False, server_default=""),
)

# Of version 0.1.0, which asked nobody who they are.
_REQUESTS = sa.Table(
    "requests", sa.MetaData(), sa.Column("request_id", sa.Text), sa.Column("job_id", sa.Text)
)


def bring_up_to_date(connection: sa.Connection) -> None:
    """Makes the tables, or of those of an earlier version what they are now.

    Raises:
        StoreTooNew: they are of a later version.
    """
    if connection.dialect.name == "postgresql":
        # Two servers that start at once: one makes the tables, the other finds them.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7215823)"))
    found = schema_of(connection)
    if found == SCHEMA:
        return
    if found > SCHEMA:
        raise StoreTooNew(
            f"jobs_url names jobs of a newer version of Graftscope (their schema is {found}, this "
            f"version knows up to {SCHEMA}); install that version, or name another database"
        )
    if found:
        _add_columns(connection)
    _METADATA.create_all(connection)
    if found:
        _claim(connection)
        _take_over_requests(connection)
    # Last: a process that is killed before it leaves the earlier version's tables.
    connection.execute(DATABASE.delete())
    connection.execute(DATABASE.insert().values(schema=SCHEMA))


def schema_of(connection: sa.Connection) -> int:
    """Of which version the tables are; 0 where there are none. It changes nothing."""
    tables = sa.inspect(connection).get_table_names()
    if DATABASE.name in tables:
        return connection.execute(sa.select(DATABASE.c.schema)).scalar_one_or_none() or 1
    return 1 if JOBS.name in tables else 0


def _add_columns(connection: sa.Connection) -> None:
    there = {each["name"] for each in sa.inspect(connection).get_columns(JOBS.name)}
    for column in JOBS.columns:
        if column.name not in there:
            made = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
            connection.execute(sa.text(f"ALTER TABLE {JOBS.name} ADD COLUMN {made}"))


def _claim(connection: sa.Connection) -> None:
    """The newest unended job of an identity goes on; others of it, which a full disk left, end."""
    unended = JOBS.c.state.in_(UNENDED)
    query = sa.select(JOBS.c.id, JOBS.c.identity).where(unended).order_by(JOBS.c.created_s.desc())
    claimed: set[str] = set()
    for row in connection.execute(query).all():
        again = row.identity in claimed
        changed = {"state": JobState.CANCELLED} if again else {"claim": row.identity}
        connection.execute(JOBS.update().where(JOBS.c.id == row.id).values(changed))
        claimed.add(row.identity)
    _CLAIMS.create(connection, checkfirst=True)


def _take_over_requests(connection: sa.Connection) -> None:
    if not sa.inspect(connection).has_table(_REQUESTS.name):
        return
    named = sa.select(sa.literal(""), _REQUESTS.c.request_id, _REQUESTS.c.job_id)
    connection.execute(CALLS.insert().from_select(["owner", "request_id", "job_id"], named))
    _REQUESTS.drop(connection)
