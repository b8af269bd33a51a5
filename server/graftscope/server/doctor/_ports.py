"""Where a server listens: free, or held by a server that answers, or by somebody else."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil

from graftscope.server._listening import UNIX, answers_on, host_and_port
from graftscope.server._state import is_shared
from graftscope.server.doctor._answering import answer_at
from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import Finding, ok, problem
from graftscope.server.doctor._state import may_be_held
from graftscope.server.errors import InvalidInput
from graftscope.server.settings import database_url

_ANOTHER = "stop that program, or choose another with"


def ports(case: Case) -> Iterator[Finding]:
    """That every address is free, or the server answers that is to listen there."""
    settings = case.settings
    running = None
    wanted = {
        "--listen": settings.listen,
        "--health": settings.health,
        "--metrics": settings.metrics,
    }
    for option, address in wanted.items():
        if address is None:
            continue
        is_socket = address.startswith(UNIX)
        look, form = (_socket, "unix:PATH") if is_socket else (_port, "HOST:PORT")
        finding = look(address, f"{option} {form}")
        if finding.advice.startswith(_ANOTHER) and (running := running or answer_at(settings)):
            finding = _of_a_server(case, address, running, finding.advice)
        yield finding


def _of_a_server(case: Case, address: str, running: str, advice: str) -> Finding:
    """Tells a server with these settings from one that would be in its way."""
    folder = str(case.settings.state)
    if not may_be_held(case):
        return problem(
            f"{address} is in use by another server than this one, whose state folder {folder!r} no"
            f" server holds: {running}",
            advice,
        )
    if is_shared(database_url(case.settings)):
        # Servers of one database hold nothing by which they could be told apart.
        return ok(f"{address} is in use by {running}, if that is one of this database")
    return ok(f"{address} is in use by {running}")


def _port(address: str, option: str) -> Finding:
    try:
        host, port = host_and_port(address)
    except InvalidInput as error:
        return problem(str(error), option)
    if not port:
        return ok("any free port will be taken")
    try:
        _bind(host.strip("[]"), port)
    except socket.gaierror as error:
        return problem(f"the host of {address!r} is unknown: {error.strerror}", option)
    except OSError as error:
        return _refused(error, address, port, option)
    return ok(f"{address} is free")


def _bind(host: str, port: int) -> None:
    """Take a port for a moment.

    Raises:
        OSError: it is in use at one of the host's addresses, or cannot be had at any.
    """
    had, refused = False, OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    for family, kind, protocol, _, where in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with closing(socket.socket(family, kind, protocol)) as probe:
            if os.name == "posix":
                # What a server that has just ended left behind is in nobody's way.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(where)
                had = True
            except OSError as error:
                # A host may have an address of a kind that this machine does not speak.
                if error.errno == errno.EADDRINUSE:
                    raise
                refused = error
    if not had:
        raise refused


def _refused(error: OSError, address: str, port: int, option: str) -> Finding:
    match error.errno:
        case errno.EADDRINUSE:
            return problem(f"{address} is in use by {_holder(port)}", f"{_ANOTHER} {option}")
        case errno.EACCES:
            return problem(
                f"this user may not listen on {address}",
                f"choose a port above 1023 with {option}, or grant the capability "
                "CAP_NET_BIND_SERVICE",
            )
        case _:
            return problem(
                f"cannot listen on {address}: {error.strerror}",
                f"name an address of this machine, or 0.0.0.0 for all, with {option}",
            )


def _holder(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    try:
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid:
                return f"process {each.pid} ({psutil.Process(each.pid).name()})"
    except (psutil.Error, OSError):
        pass
    return "another program"


def _socket(address: str, option: str) -> Finding:
    path = Path(address.removeprefix(UNIX))
    if answers_on(path):
        return problem(f"{address} is in use", f"{_ANOTHER} {option}")
    if not path.parent.is_dir():
        return problem(
            f"{address} has no folder {str(path.parent)!r}", f"make that folder, or {option}"
        )
    if path.exists() and not path.is_socket():
        return problem(f"{str(path)!r} exists, and is not a socket", f"remove it, or {option}")
    return ok(f"{address} is free")
