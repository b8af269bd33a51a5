"""Where a server is, in gRPC's words, and whether the way there leads through a proxy.

gRPC sends every call through the proxy that the environment names, also one to this machine, where
no proxy can follow. So which way a channel takes is decided here.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from graftscope.client.errors import InputError

LOOPBACK: Final = "127.0.0.1"
"""The host of an address that is a port alone."""

_LOCAL_SCHEMES: Final = ("unix", "unix-abstract", "vsock")
_SOCKET_SCHEMES: Final = ("unix", "unix-abstract")
_SECURE_SCHEMES: Final = ("https", "grpcs")
_NETWORK_SCHEMES: Final = ("dns", "ipv4", "ipv6")
_PROXIES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
"""Environment variables that name a proxy; gRPC takes the first that is set."""
_EXCEPTIONS: Final = ("no_grpc_proxy", "no_proxy", "NO_PROXY")
"""Environment variables with the hosts that no proxy is for."""


def resolve(address: str) -> tuple[str, bool]:
    """Read an address of a server.

    Args:
        address: ``HOST:PORT``; a port alone, which is one of this machine; ``unix:PATH``, or
            another of gRPC's names; ``https://HOST:PORT`` or ``grpcs://HOST:PORT`` for TLS.

    Returns:
        The address, with its host and without its scheme, and whether that asks for TLS.

    Raises:
        InputError: If it is another kind of URL, or has no port.
    """
    if not isinstance(address, str):
        raise InputError(f"server {address!r} is not text such as 'localhost:50051'")
    scheme, _, rest = address.strip().partition("://")
    if rest and scheme in _SECURE_SCHEMES:
        return _checked(rest.removesuffix("/"), address), True
    if rest and scheme == "http":
        raise InputError(
            f"server {address!r} is a web address without TLS; HOST:PORT or https://HOST:PORT is"
            " needed"
        )
    return address if _scheme(address) else _checked(address.strip(), address), False


def _checked(place: str, address: str) -> str:
    host, _, port = place.rpartition(":")
    if not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536) or "/" in host:
        raise InputError(
            f"server {address!r} is not HOST:PORT with a port from 1 to 65535, such as"
            " localhost:50051, nor a port alone, nor unix:PATH, nor https://HOST:PORT"
        )
    return f"{host or LOOPBACK}:{port}"


def is_socket(address: str) -> bool:
    """Whether an address is of a unix socket, whose bytes stay inside this machine's kernel."""
    return _scheme(address) in _SOCKET_SCHEMES


def may_be_several(address: str) -> bool:
    """Whether an address stands for replicas, over which calls are spread: ``dns:///NAME:PORT``, or
    ``ipv4:`` and ``ipv6:`` with several addresses. HOST:PORT is one server, however many addresses
    its name has: ``localhost`` has two.
    """
    return _scheme(address) in _NETWORK_SCHEMES


@dataclass(frozen=True)
class Proxy:
    """What stands between a client and its server.

    Attributes:
        address: HOST:PORT of the proxy, without name or password.
        variable: The environment variable that names it.
    """

    address: str
    variable: str

    def __str__(self) -> str:
        """Tell it, and how to go around it, as messages end."""
        return (
            f"through the proxy {self.address} of {self.variable}; hosts in no_proxy are"
            " reached without it"
        )


def proxy_to(address: str, environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """Find the proxy through which the calls to an address go.

    Args:
        address: Of a server, as `resolve` returns it.
        environment: Variables by name.

    Returns:
        The proxy; None where there is none, where `no_proxy` names the host, and for everything on
        this machine.
    """
    variable = next((name for name in _PROXIES if environment.get(name)), None)
    if variable is None or _scheme(address) in _LOCAL_SCHEMES:
        return None
    host = _host(address)
    excepted = next((environment[name] for name in _EXCEPTIONS if environment.get(name)), "")
    if _is_loopback(host) or any(_names(entry, host) for entry in excepted.split(",")):
        return None
    parts = urlsplit(environment[variable])
    named = f"{parts.hostname}:{parts.port}" if parts.hostname and parts.port else parts.hostname
    return Proxy(named or environment[variable], variable)


def _scheme(address: str) -> str:
    """Return gRPC's name of how an address is to be resolved; empty for HOST:PORT."""
    scheme = address.partition(":")[0]
    return scheme if scheme in (*_LOCAL_SCHEMES, *_NETWORK_SCHEMES) else ""


def _host(address: str) -> str:
    rest = address.removeprefix(f"{_scheme(address)}:").rpartition("/")[2]
    host = rest.rpartition(":")[0] if re.search(":[0-9]+$", rest) else rest
    return host.strip("[]").lower()


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _names(entry: str, host: str) -> bool:
    """Whether an entry of `no_proxy` is for a host: its name or end, a network, or ``*``."""
    entry = entry.strip().lower()
    if "/" in entry:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    return bool(entry) and host.endswith(entry.removeprefix("*"))
