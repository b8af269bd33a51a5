"""A server elsewhere, examined as its clients see it: whether it answers, and what it lets one do.

It must not know how findings are told.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from graftscope.client.calls import TLS, Access, SyncDriver, Way, models, operations, read_token
from graftscope.client.cli._shared_options import ROLES, SERVER
from graftscope.client.errors import AccessError, GraftscopeError, UnsupportedError
from graftscope.client.version import client_version, differs

_LIMIT_S = 15.0
_PATIENCE_S = 5.0
_ROUND_TRIPS = 3
_SOON_DAYS = 30
_SLOW_S = 0.25
"""A round trip; every image that a slider shows takes one."""

_UNREACHED = "see that --server is right, and can be reached from here: a proxy, a firewall"

_NO_JOB = "0" * 32
_NO_MODEL = "-"
"""Neither is the name of any, so nothing happens where it is allowed."""


@dataclass(frozen=True)
class AskedServer:
    """Which server is asked, and what it is shown."""

    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="HOST:PORT",
            help="Examine this server instead, as its clients see it: HOST:PORT, a port alone for "
            "this machine, unix:PATH, or https://HOST:PORT.",
            rich_help_panel=SERVER,
        ),
    ] = None
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="The file with your token for it. Default: $GRAFTSCOPE_TOKEN.",
            rich_help_panel=SERVER,
        ),
    ] = None
    ca: Annotated[
        Path | None,
        typer.Option(
            "--ca",
            metavar="FILE",
            help="The certificate of the authority that signed its own. Default: $GRAFTSCOPE_CA.",
            rich_help_panel=SERVER,
        ),
    ] = None
    cert: Annotated[
        Path | None,
        typer.Option(
            "--cert",
            metavar="FILE",
            help="Your own certificate in PEM, where it asks for one.",
            rich_help_panel=SERVER,
        ),
    ] = None
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help="The key of your certificate.", rich_help_panel=SERVER
        ),
    ] = None


def examined_server(asked: AskedServer, room: Any) -> Any:
    """Make the check of a server elsewhere.

    Args:
        asked: Which one.
        room: `graftscope.server.doctor`.
    """

    def look(case: object) -> Iterator[Any]:
        try:
            way = _way(asked)
            with closing(SyncDriver(way, _PATIENCE_S)) as driver:
                yield from _seen(driver, way, room)
        except GraftscopeError as error:
            yield room.problem(*_told(error))

    told = f"a server at {asked.server}"
    return room.Check("server", told, lambda: look, _LIMIT_S, alone=True, late=_UNREACHED)


def _way(asked: AskedServer) -> Way:
    tls = TLS(asked.ca, asked.cert, asked.key)
    token = None if asked.token_file is None else read_token(asked.token_file)
    return Access(token, None if tls == TLS() else tls).to(asked.server or "")


def _seen(driver: SyncDriver, way: Way, room: Any) -> Iterator[Any]:
    served = driver.run(models.models())
    took_s = min(_seconds(lambda: driver.run(models.models())) for _ in range(_ROUND_TRIPS))
    how = "through TLS" if way.pem is not None else "without TLS"
    told = f"{way.named} answers {how} in {1e3 * took_s:.1f} ms"
    if took_s > _SLOW_S:
        yield room.warning(told, "use a server that is nearer, or look at the way to it")
    else:
        yield room.ok(told)
    yield from _certificate(way, room)
    theirs, mine = driver.server_version, client_version()
    if differs(mine, theirs):
        yield room.warning(
            f"it is graftscope {theirs}, and this client is {mine}",
            "upgrade the older of the two: calls that one of them does not know fail",
        )
    else:
        yield room.ok(f"it is graftscope {theirs or 'of an unknown version'}")
    yield room.ok(f"you may do what the role {_role(driver)} may")
    if served:
        yield room.ok(f"it serves {', '.join(each.name for each in served)}")
    else:
        yield room.problem("it serves no model", "add one: graftscope models --add BUNDLE")


def _certificate(way: Way, room: Any) -> Iterator[Any]:
    """Tell what the server's certificate says, as far as it is shown without a proxy."""
    shown = _shown(way)
    if not shown:
        return
    names = ", ".join(name for _, name in shown.get("subjectAltName", ()))
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC)
    told = f"its certificate is for {names}, until {until:%Y-%m-%d}"
    if (days := (until - datetime.now(UTC)).days) < _SOON_DAYS:
        yield room.warning(told, f"have whoever runs the server renew it within {days} days")
    else:
        yield room.ok(told)


def _shown(way: Way) -> dict[str, Any]:
    """Read the certificate that is shown at an address; empty where none is seen."""
    host, _, port = way.address.rpartition(":")
    if way.pem is None or not port.isdigit():
        return {}
    authority = None if way.pem.ca is None else way.pem.ca.decode(errors="replace")
    with suppress(OSError, ValueError):
        context = ssl.create_default_context(cadata=authority)
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname=host.strip("[]")) as wrapped,
        ):
            return dict(wrapped.getpeercert() or {})
    return {}


def _seconds(call: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s


def _role(driver: SyncDriver) -> str:
    """The highest role whose methods it lets this client call, on what is not there."""
    reader, analyst, admin = ROLES
    if _is_allowed(lambda: driver.run(models.unregister(_NO_MODEL))):
        return admin
    return analyst if _is_allowed(lambda: driver.run(operations.cancel(_NO_JOB))) else reader


def _is_allowed(call: Callable[[], object]) -> bool:
    try:
        call()
    except AccessError:
        return False
    except GraftscopeError:
        pass  # It looked for what is not there.
    return True


def _told(error: GraftscopeError) -> tuple[str, str]:
    """What went wrong, and what to do."""
    match error:
        case AccessError():
            advice = "--token-file FILE, with a token that whoever runs the server has made for you"
        case UnsupportedError():
            advice = "upgrade the older of the two, or correct --server"
        case _:
            advice = "see that a server runs there, and that --server and --ca are right"
    return str(error).replace("`tls`", "--ca").replace("`timeout_s`", "--timeout"), advice
