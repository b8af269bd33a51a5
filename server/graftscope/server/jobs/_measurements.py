"""The table of what was measured of plans: the second job of a layer, or another server of the
database, finds what the first one measured. It must not know what is measured.
"""

import math
import time

import sqlalchemy as sa

from graftscope.server.database import Database
from graftscope.server.errors import ServerError
from graftscope.server.logs import get_logger

MOST_MEASUREMENTS = 10_000
"""So many are kept, the youngest; of some 150 bytes each."""

COUNTS_S = 30 * 86_400.0
"""For so long a measurement counts: the machine may have been busy with something else."""

_METADATA = sa.MetaData()
_TABLE = sa.Table(
    "measurements",
    _METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    # As text: what is damaged is found when it is read.
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("measured_s", sa.Float, nullable=False, index=True),
)

_log = get_logger("jobs")


class MeasurementStore:
    """Measurements in the jobs' database; while that cannot be used, each job measures for itself.

    Args:
        url: a SQLAlchemy URL, that of the jobs.
        most: how many are kept.
    """

    def __init__(self, url: str, most: int = MOST_MEASUREMENTS) -> None:
        self._database = Database(url)
        self._database.make(_METADATA)
        self._most = most

    def close(self) -> None:
        """Closes the connections."""
        self._database.close()

    def forget(self) -> int:
        """Forgets all, of all machines that share the database, and tells how many there were.

        Raises:
            StoreUnavailable: the database cannot be used.
        """
        with self._database.writing() as connection:
            return connection.execute(_TABLE.delete()).rowcount

    def find(self, key: str) -> float | None:
        """A measurement; None where there is none that can be read and is young enough."""
        try:
            with self._database.reading() as connection:
                return _found(connection, key)
        except ServerError as error:
            _log.warning("measurement not looked up", error=str(error))
            return None

    def add(self, key: str, value: float) -> float:
        """Keeps a measurement, unless another process was faster: then that one's counts."""
        try:
            return self._add(key, value)
        except (ServerError, sa.exc.IntegrityError) as error:
            _log.warning("measurement not kept", error=str(error))
            return value

    def _add(self, key: str, value: float) -> float:
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":
                # One server's at a time, as on SQLite: who comes second finds the first one's.
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7215824)"))
            found = _found(connection, key)
            if found is not None:
                return found
            connection.execute(_TABLE.delete().where(_TABLE.c.key == key))
            row = {"key": key, "value": repr(value), "measured_s": time.time()}
            connection.execute(_TABLE.insert().values(**row))
            oldest = sa.select(_TABLE.c.key).order_by(_TABLE.c.measured_s.desc()).offset(self._most)
            connection.execute(
                _TABLE.delete().where(_TABLE.c.key.in_(list(connection.scalars(oldest))))
            )
        return value


def _found(connection: sa.Connection, key: str) -> float | None:
    one = sa.select(_TABLE.c.value).where(
        _TABLE.c.key == key, _TABLE.c.measured_s > time.time() - COUNTS_S
    )
    text = connection.execute(one).scalar_one_or_none()
    return None if text is None else _number(text)


def _number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
