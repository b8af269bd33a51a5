"""Who can call: settings that go together and protect the server, and tokens."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

from graftscope.server._protection import authentication, danger, make_token, place_option
from graftscope.server.access import Authentication, Token, kept_tokens
from graftscope.server.database import Database
from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import Finding, NothingToCheck, ok, problem, warning
from graftscope.server.errors import ServerError
from graftscope.server.settings import Settings, database_url

_DAY_S = 86_400.0
_SOON_S = 14 * _DAY_S


def settings(case: Case) -> Iterator[Finding]:
    """Variables that set nothing, and settings that do not go together or protect nothing."""
    for name, meant in case.unknown.items():
        yield warning(
            f"environment variable {name} is unknown, and sets nothing",
            f"set {meant} instead, or unset it" if meant else "correct its name, or unset it",
        )
    if case.refused:
        yield problem(
            case.refused, "correct it, or leave it out; docs/operations.md lists all settings"
        )
        return
    chosen = case.settings
    try:
        asks = authentication(chosen)
    except ServerError as error:
        found, _, advice = str(error).partition(": ")
        yield problem(found, advice)
        return
    if why := danger(chosen, asks):
        found, _, advice = why.partition(": ")
        yield warning(f"{found}, which --insecure allows", advice)
        return
    tls = "with TLS" if chosen.tls_cert else "without TLS"
    yield ok(f"listens at {chosen.listen} {tls}; authentication of callers: {asks.value}")


def tokens(case: Case) -> Iterator[Finding]:
    """That somebody can call, and goes on being able to."""
    chosen = case.settings
    if _asks(chosen) is not Authentication.TOKEN:
        raise NothingToCheck("callers need no token")
    now_s = case.machine.now_s()
    active = [each for each in _kept(chosen) if each.state(now_s) == "active"]
    if not active:
        yield problem("callers need a token, and none is active", _to_make_one(chosen))
        return
    ending = [x for x in active if x.expires_s is not None and x.expires_s < now_s + _SOON_S]
    if not ending:
        yield ok(f"active: {_listed([each.name for each in active])}")
        return
    yield warning(
        "expire soon: " + _listed([f"{each.name} ({_date(each.expires_s)})" for each in ending]),
        f"graftscope token revoke NAME {place_option(chosen)}, then {make_token(chosen)}",
    )


def _asks(chosen: Settings) -> Authentication:
    try:
        return authentication(chosen)
    except ServerError:
        raise NothingToCheck("the settings contradict each other") from None


def _kept(chosen: Settings) -> list[Token]:
    try:
        with closing(Database(database_url(chosen))) as database:
            if database.file is not None and not database.file.exists():
                return []
            return kept_tokens(database)
    except ServerError:
        raise NothingToCheck("the database cannot be read") from None


def _to_make_one(chosen: Settings) -> str:
    made = make_token(chosen)
    if chosen.file or chosen.jobs_url or chosen.state.is_dir():
        return made
    return f"start the server, which makes its state folder, then {made}"


def _listed(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _date(seconds: float | None) -> str:
    return f"{datetime.fromtimestamp(seconds or 0.0, UTC):%Y-%m-%d}"
