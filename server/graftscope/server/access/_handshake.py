"""A handshake of TLS in this process, in which a certificate shows what it is good for.

The client's side trusts the certificate itself, whatever its date, so that everything else about it
comes to light: whether the key is its own, and whether it may be a server's. It must not know gRPC.
"""

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NO_CHECK_OF_TIME: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python has no name."""


@dataclass(frozen=True)
class Certificate:
    """What a certificate says of itself.

    Attributes:
        names: of hosts that it is for, with addresses among them.
        from_s: from when on it is good, in seconds since 1970.
        until_s: until when.
    """

    names: tuple[str, ...]
    from_s: float
    until_s: float


def certificate_of(chain: Path, key: Path) -> Certificate:
    """What a server's certificate says of itself in a handshake.

    Args:
        chain: the certificate in PEM, and those between it and its authority.
        key: its key in PEM.

    Raises:
        ssl.SSLError: the key is another's, or the certificate is no server's.
        OSError: a file cannot be read.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, key, password=lambda: b"")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(chain)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_OF_TIME
    told = _shaken(client, server).getpeercert() or {}
    return _read(told)


def authorities_in(file: Path) -> tuple[Certificate, ...]:
    """The certificates of authorities in a file of PEM.

    Raises:
        ssl.SSLError: it holds none at all.
        OSError: it cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(file)
    return tuple(_read(told) for told in context.get_ca_certs())


def names_of(chain: Path, key: Path) -> tuple[str, ...]:
    """The names of hosts that a certificate is for; none where it cannot be used."""
    with suppress(OSError):
        return certificate_of(chain, key).names
    return ()


def shown_certificate(host: str, port: int, wait_s: float) -> bytes | None:
    """The certificate that is shown at a port, in DER; None where nobody shows one.

    Raises:
        OSError: nothing listens there, or it does not answer.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, port), timeout=wait_s) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True)


def _shaken(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLObject:
    """The client's end of a connection through memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for end in (ours, theirs):
            # It waits for what the other end has not said yet.
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
                done.add(end)
    return ours


def _read(told: object) -> Certificate:
    assert isinstance(told, dict)
    names = tuple(name for kind, name in told.get("subjectAltName", ()) if kind != "URI")
    dates = (ssl.cert_time_to_seconds(told[key]) for key in ("notBefore", "notAfter"))
    return Certificate(names, *dates)
