"""Where a server listens, a port of this machine's network or a unix socket."""

import ipaddress
import re
import socket
from contextlib import closing
from pathlib import Path

import grpc
import grpc.aio

from graftscope.server.errors import AddressInUse, InvalidInput

_LOOPBACK = "127.0.0.1"
_LAST_PORT = 65_535
UNIX = "unix:"
_LONGEST_PATH = 107
"""Bytes that the system has for a socket's path, on Linux."""


def listen(server: grpc.aio.Server, address: str, tls: grpc.ServerCredentials | None = None) -> str:
    """Lets a server listen.

    Args:
        server: not yet started.
        address: HOST:PORT, where port 0 takes any free one; a port alone, which is loopback's;
            or unix:PATH.
        tls: what is shown and asked for in TLS; None for no TLS.

    Returns:
        HOST:PORT or unix:PATH, by which clients find it.

    Raises:
        InvalidInput: the address is malformed, or its path cannot be a socket's.
        AddressInUse: somebody listens there already, or the host is not this machine's.
    """
    if address.startswith(UNIX):
        return _listen_on_socket(server, Path(address.removeprefix(UNIX).removeprefix("//")), tls)
    host, port = host_and_port(address)
    try:
        bound = _add(server, f"{host}:{port}", tls)
    except RuntimeError as error:
        raise AddressInUse(
            f"cannot listen on {address!r}: the port is in use or the host is not this machine's; "
            "choose another with --listen HOST:PORT (port 0 takes any free one)"
        ) from error
    return f"{host}:{bound}"


def host_and_port(
    address: str, field: str = "listen", otherwise: str = ", or unix:PATH"
) -> tuple[str, int]:
    """Takes an address apart that is no socket's; its host is this machine where none is named.

    Args:
        address: HOST:PORT, or a port alone.
        field: the setting that it is of.
        otherwise: what else is allowed there, for the message.

    Raises:
        InvalidInput: it is malformed.
    """
    host, _, port = address.rpartition(":")
    # gRPC takes larger ports modulo 65536.
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > _LAST_PORT:
        raise InvalidInput(
            f"address {address!r} is malformed; HOST:PORT with a port from 0 to {_LAST_PORT} is "
            f"needed, or a port alone{otherwise}",
            field=field,
        )
    return host or _LOOPBACK, int(port)


def is_local(address: str) -> bool:
    """Whether no other machine reaches what listens at an address."""
    if address.startswith(UNIX):
        return True
    host = address.rpartition(":")[0].strip("[]").lower() or _LOOPBACK
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _add(server: grpc.aio.Server, address: str, tls: grpc.ServerCredentials | None) -> int:
    if tls is None:
        return server.add_insecure_port(address)
    return server.add_secure_port(address, tls)


def _listen_on_socket(
    server: grpc.aio.Server, path: Path, tls: grpc.ServerCredentials | None
) -> str:
    if not path.name or len(bytes(path)) > _LONGEST_PATH:
        raise InvalidInput(
            f"address {UNIX + str(path)!r} cannot be a socket: unix:PATH needs a path of 1 to "
            f"{_LONGEST_PATH} bytes",
            field="listen",
        )
    # gRPC would take a socket away from whoever listens there.
    if answers_on(path):
        raise AddressInUse(
            f"cannot listen on {UNIX}{path}: a server listens there already; stop it, or choose "
            "another path with --listen unix:PATH"
        )
    try:
        _add(server, f"{UNIX}{path}", tls)
    except RuntimeError as error:
        raise InvalidInput(
            f"cannot listen on {UNIX}{path}: its folder is missing or cannot be written to, or a "
            "file of that name is there that is no socket",
            field="listen",
        ) from error
    return f"{UNIX}{path}"


def answers_on(path: Path) -> bool:
    """Whether somebody listens on the socket of this path."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
