"""Verbs about tokens, run where a server's state is: create, list, revoke."""

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from graftscope.client.calls import check_environment, import_room, translated
from graftscope.client.cli._output import note, say, say_json, table
from graftscope.client.cli._request_options import completing
from graftscope.client.cli._shared_options import ROLES, ConfigOption, JsonOption
from graftscope.client.errors import InputError, NotFoundError, OutputError
from graftscope.client.words import when

_UNITS_S = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
_FOR_ITS_OWNER_ALONE = 0o600


@dataclass(frozen=True)
class StateOptions:
    """Where a server keeps its tokens."""

    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="DIR",
            help="The server's state folder. Default: $GRAFTSCOPE_STATE, or the user's own.",
        ),
    ] = None
    jobs_url: Annotated[
        str | None,
        typer.Option(
            "--jobs-url",
            metavar="URL",
            help="The server's database, if it is not in the state folder. A URL with a password "
            "belongs in $GRAFTSCOPE_JOBS_URL, because every user of this machine can see the "
            "arguments of commands.",
        ),
    ] = None
    config: ConfigOption = None


NameOption = Annotated[
    str,
    typer.Option(
        "--name",
        metavar="NAME",
        help="Whose token it is: jobs and arrays that are made with it are theirs.",
    ),
]
RoleOption = Annotated[
    str,
    typer.Option(
        "--role",
        metavar="ROLE",
        help="reader: looks at models, makes samples and hybrids; analyst: runs jobs too; admin: "
        "sees everybody's.",
        autocompletion=completing(ROLES),
    ),
]
ExpiresOption = Annotated[
    str | None,
    typer.Option(
        "--expires",
        metavar="TIME",
        help="How long it is valid: 30d, 12h or 90m. Default: until it is revoked.",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write the token to a new file that only you can read, instead of printing it.",
    ),
]
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="As `graftscope token list` prints it.")
]


def create(
    name: NameOption,
    role: RoleOption,
    where: StateOptions,
    expires: ExpiresOption = None,
    out: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Make a token, and print it, only this once.

    Only its hash is kept. A server with that state folder accepts it at once. Servers ask for
    tokens if they were started with --auth token, or if other machines can reach them (`graftscope
    serve --help`). Its owner calls with `--token-file FILE`, or with $GRAFTSCOPE_TOKEN.
    """
    if role not in ROLES:
        raise InputError(f"--role {role!r} is unknown; there are: {', '.join(ROLES)}")
    lasts_s = None if expires is None else _seconds(expires)
    if out is not None and out.exists():
        raise OutputError(f"cannot write {out}: it is there already")
    with _tokens(where, makes=True) as (room, tokens, place):
        text, token = tokens.create(name, room.Role.of(role), lasts_s)
    if out is not None:
        _write(out, text)
    if json:
        say_json({**_document(token), "token": None if out else text, "out": out})
    elif out is None:
        say(text)
    told = f"token of {name!r} with role {role}, {_until(token)}, in {place}"
    note(told + (f" -> {out}" if out else ""))


def list_tokens(where: StateOptions, json: JsonOption = False) -> None:
    """List the tokens of a server: whose they are and what they allow, never their text."""
    with _tokens(where) as (_, tokens, _):
        found = tokens.all()
    documents = [_document(each) for each in found]
    if json:
        say_json({"tokens": documents})
        return
    say(
        table(
            ("name", "role", "state", "created", "expires", "revoked"),
            [
                (
                    *(each[key] for key in ("name", "role", "state")),
                    *(when(_time(at)) for at in (kept.created_s, kept.expires_s, kept.revoked_s)),
                )
                for each, kept in zip(documents, found, strict=True)
            ],
        )
    )


def revoke(name: NameArgument, where: StateOptions, json: JsonOption = False) -> None:
    """Revoke a token; a running server refuses it within about a second.

    What was made with it stays, and belongs to the next token of that name.
    """
    with _tokens(where) as (_, tokens, _):
        revoked = tokens.revoke(name)
    if json:
        say_json({"revoked": [_document(each)["name"] for each in revoked]})
    else:
        say(f"{name} is revoked")


@contextmanager
def _tokens(where: StateOptions, *, makes: bool = False) -> Iterator[tuple[Any, Any, str]]:
    """The server's room of access, its table of tokens, and where that is.

    Args:
        where: What was said of it.
        makes: Whether the default state folder is made where it is not there, as a server does.
    """
    check_environment()
    settings = import_room("graftscope.server.settings", "server")
    room = import_room("graftscope.server.access", "server")
    said = {"state": where.state, "jobs_url": where.jobs_url}
    given = {name: value for name, value in said.items() if value is not None}
    with translated("graftscope."):
        chosen = settings.configure(given, where.config).settings
        if chosen.jobs_url is None:
            # One that was named and is not there is misspelt, or no server has been there yet.
            _check_folder(chosen.state, makes and where.state is None)
        with closing(room.TokenStore(settings.database_url(chosen))) as tokens:
            # A database's URL may hold a password.
            place = "the database" if chosen.jobs_url else f"state folder {str(chosen.state)!r}"
            yield room, tokens, place


def _check_folder(state: Path, makes: bool) -> None:
    if not makes and not state.is_dir():
        raise NotFoundError(
            f"state folder {str(state)!r} is not there: name that of the server with --state,"
            " which makes it when it starts"
        )
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make state folder {str(state)!r}: {error.strerror}") from error


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([mhd])", text.strip())
    if found is None or float(found[1]) == 0:
        raise InputError(
            f"--expires {text!r} is not allowed: a number above 0 with m (minutes), h (hours) or d"
            " (days) is needed, such as 30d"
        )
    return float(found[1]) * _UNITS_S[found[2]]


def _write(path: Path, text: str) -> None:
    try:
        # Never readable by others, not even for a moment.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FOR_ITS_OWNER_ALONE)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")


def _document(token: Any) -> dict[str, object]:
    return {
        "name": token.name,
        "role": token.role.word,
        "state": token.state(datetime.now(UTC).timestamp()),
        "created": _time(token.created_s),
        "expires": _time(token.expires_s),
        "revoked": _time(token.revoked_s),
    }


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _until(token: Any) -> str:
    if not token.expires_s:
        return "good until revoked"
    expires = datetime.fromtimestamp(token.expires_s).astimezone()
    return f"good until {expires:%Y-%m-%d %H:%M:%S %Z}"
