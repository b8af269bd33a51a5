"""Where the gateway listens: on this machine alone, unless visitors sign in through TLS."""

import ipaddress
import re
import socket

from graftscope.client.errors import InputError, UsageError

DEFAULT_PORT = 8642
"""Where nothing else is said and nobody listens there; a fixed port lets bookmarks live on."""

_LOOPBACK = "127.0.0.1"
_LAST_PORT = 65_535
_BACKLOG = 64


def listening(address: str | None, *, beyond: bool = False) -> socket.socket:
    """Listen on an address of this machine.

    Args:
        address: HOST:PORT, or a port alone, where port 0 takes any free one; None for
            `DEFAULT_PORT`, or any free one where that is taken.
        beyond: Whether other machines may reach it.

    Returns:
        The socket, which listens.

    Raises:
        InputError: If the address is malformed, or taken.
        UsageError: If other machines would reach it.
    """
    if address is None:
        try:
            return _bound(_LOOPBACK, DEFAULT_PORT)
        except OSError:
            return _bound(_LOOPBACK, 0)
    host, port = _parsed(address)
    if not (beyond or _is_loopback(host)):
        there = port or DEFAULT_PORT
        raise UsageError(
            f"other machines reach {host}, so the explorer needs --tls-cert FILE and --tls-key "
            "FILE there, and a --server that asks for tokens, with which visitors sign in. Or "
            f"leave --listen out, and forward the port: ssh -L {there}:127.0.0.1:{there} "
            "THIS-MACHINE"
        )
    try:
        return _bound(host, port)
    except OSError as error:
        raise InputError(
            f"cannot listen on {address}: {error.strerror or error}; choose another port with "
            f"--listen {host}:PORT (0 takes any free one)",
            field="listen",
        ) from error


def _parsed(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or _LOOPBACK
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > _LAST_PORT:
        raise InputError(
            f"address {address!r} is malformed; 127.0.0.1:PORT with a port from 0 to {_LAST_PORT} "
            "is needed, or a port alone",
            field="listen",
        )
    if host == "localhost":
        host = _LOOPBACK
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port of an explorer that has just ended is free at once.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound
