"""Bearer tokens, in a table beside the jobs: their hashes alone, so that no backup lets anybody in.

Every server of one database knows the same ones. It must not know how they reach a server.
"""

import hashlib
import re
import secrets
import time
from dataclasses import dataclass

import sqlalchemy as sa

from graftscope.server.access._principal import Role
from graftscope.server.database import Database
from graftscope.server.errors import Conflict, InvalidInput, NotFound
from graftscope.server.logs import get_logger

_log = get_logger("access")

PREFIX = "gs_"
"""What every token begins with, so that it is known for one wherever it is found."""

_SECRET_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/-]{0,99}")

_METADATA = sa.MetaData()
_TOKENS = sa.Table(
    "tokens",
    _METADATA,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False, index=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("created_s", sa.Float, nullable=False),
    sa.Column("expires_s", sa.Float),
    sa.Column("revoked_s", sa.Float),
)


@dataclass(frozen=True)
class Token:
    """What is kept of a token.

    Attributes:
        sha256: of its text; lowercase hexadecimal.
        name: whose it is: the owner of the jobs and arrays that are made with it.
        role: what it allows.
        created_s: seconds since 1970.
        expires_s: from when on it is refused; None for never.
        revoked_s: when it was revoked; None where it was not.
    """

    sha256: str
    name: str
    role: Role
    created_s: float
    expires_s: float | None = None
    revoked_s: float | None = None

    def state(self, now_s: float) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_s is not None:
            return "revoked"
        return "expired" if self.expires_s is not None and self.expires_s <= now_s else "active"


class TokenStore:
    """The table of tokens.

    Args:
        url: a SQLAlchemy URL, that of the jobs.

    Raises:
        InvalidInput: there is no database at the URL, or no driver for it.
        StoreDamaged: its file is damaged.

    All methods raise StoreUnavailable while the database cannot be used.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._database.make(_METADATA)

    def close(self) -> None:
        """Closes the connections."""
        self._database.close()

    def create(self, name: str, role: Role, lasts_s: float | None = None) -> tuple[str, Token]:
        """Makes a token.

        Args:
            name: whose it is; no other active token may have it.
            role: what it allows.
            lasts_s: for how many seconds it is good; None for until it is revoked.

        Returns:
            The token's text, which is kept nowhere, and what is kept of it.

        Raises:
            InvalidInput: the name is not allowed, or the time is not above 0.
            Conflict: there is an active token of this name.
        """
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"name {name!r} is not allowed: 1 to 100 letters, digits and . _ @ : / - are, the"
                " first of them a letter or a digit",
                field="name",
            )
        if lasts_s is not None and not lasts_s > 0:
            raise InvalidInput(f"expires {lasts_s:g} is not allowed: a time above 0 is needed")
        text, now_s = PREFIX + secrets.token_urlsafe(_SECRET_BYTES), time.time()
        expires_s = None if lasts_s is None else now_s + lasts_s
        token = Token(digest(text), name, role, now_s, expires_s)
        with self._database.writing() as connection:
            if any(each.state(now_s) == "active" for each in _named(connection, name)):
                raise Conflict(
                    f"there is an active token named {name!r}: choose another name, or revoke it"
                    f" first (graftscope token revoke {name})",
                    field="name",
                )
            connection.execute(_TOKENS.insert().values(**_row(token)))
        return text, token

    def revoke(self, name: str) -> list[Token]:
        """Revokes every token of a name; they are refused from now on.

        Raises:
            NotFound: there is no active token of this name.
        """
        now_s = time.time()
        with self._database.writing() as connection:
            active = [x for x in _named(connection, name) if x.state(now_s) == "active"]
            if not active:
                others = sorted({x.name for x in _all(connection) if x.state(now_s) == "active"})
                raise NotFound(
                    f"there is no active token named {name!r}; there "
                    + (f"are: {', '.join(others)}" if others else "is none at all"),
                    field="name",
                )
            mine = _TOKENS.c.sha256.in_([x.sha256 for x in active])
            connection.execute(_TOKENS.update().where(mine).values(revoked_s=now_s))
        return active

    def all(self) -> list[Token]:
        """Every token, the newest first."""
        with self._database.reading() as connection:
            return _all(connection)


def kept_tokens(database: Database) -> list[Token]:
    """Every token of a database, in which nothing is changed; none where it has no such table."""
    with database.reading() as connection:
        return _all(connection) if sa.inspect(connection).has_table(_TOKENS.name) else []


def digest(text: str) -> str:
    """What is kept of a token's text: it has 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _named(connection: sa.Connection, name: str) -> list[Token]:
    return _select(connection, _TOKENS.c.name == name)


def _all(connection: sa.Connection) -> list[Token]:
    return _select(connection)


def _select(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Token]:
    rows = connection.execute(
        sa.select(_TOKENS).where(*where).order_by(_TOKENS.c.created_s.desc(), _TOKENS.c.name)
    )
    return [token for row in rows if (token := _readable(row)) is not None]


def _readable(row: sa.Row[*tuple[object, ...]]) -> Token | None:
    """The row's token; nobody gets in by one that cannot be read."""
    try:
        return Token(**{**row._mapping, "role": Role.of(row.role)})
    except (AttributeError, LookupError) as error:
        _log.warning("token set aside: it cannot be read", name=str(row.name), error=str(error))
        return None


def _row(token: Token) -> dict[str, object]:
    return {**vars(token), "role": token.role.word}
