"""The certificate that browsers are shown: by which names it lets itself be called, and its files.

Files are read again when they change, at the next connection; what cannot be used is logged, and
the last good certificate is shown until then.
"""

import ipaddress
import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

from graftscope.client.errors import InputError

_log = logging.getLogger(__name__)

_Stamp: TypeAlias = tuple[tuple[int, int], ...]


@dataclass
class Certificate:
    """A certificate and its key, in files.

    Args:
        cert: In PEM, with those between it and its authority.
        key: Of the certificate, in PEM, without a password.

    Raises:
        InputError: If they cannot be used, or the certificate names no host.
    """

    cert: Path
    key: Path
    names: tuple[str, ...] = ()
    """Hosts that it is for: names, which may begin with ``*.``, and addresses."""
    _shown: ssl.SSLContext = field(init=False)
    _stamp: _Stamp = ()

    def __post_init__(self) -> None:
        """Read the files."""
        self._stamp = self._now()
        self._read()

    def context(self) -> ssl.SSLContext:
        """Give what a server needs for TLS; it always shows the certificate as it is by then."""
        context = _serving(self.cert, self.key)

        def fresh(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            self._refresh()
            connection.context = self._shown

        context.sni_callback = fresh
        return context

    def is_for(self, host: str) -> bool:
        """Whether browsers that call a host may be shown it."""
        return any(_matches(host.lower(), name.lower()) for name in self.names)

    def _now(self) -> _Stamp:
        stats = [path.stat() for path in (self.cert, self.key) if path.exists()]
        return tuple((each.st_mtime_ns, each.st_ino) for each in stats)

    def _read(self) -> None:
        try:
            shown = _serving(self.cert, self.key)
            names = _names(shown, self.cert)
        except (OSError, ssl.SSLError) as error:
            raise InputError(
                f"--tls-cert {self.cert} and --tls-key {self.key} cannot be used: {_why(error)}",
                field="tls_cert",
            ) from error
        if not names:
            raise InputError(
                f"--tls-cert {self.cert} names no host: browsers take a certificate for the names "
                "in its subjectAltName alone, such as DNS:lab.example",
                field="tls_cert",
            )
        self._shown, self.names = shown, names

    def _refresh(self) -> None:
        now = self._now()
        if now == self._stamp:
            return
        self._stamp = now
        try:
            self._read()
        except InputError as error:
            _log.warning("the certificate stays as it was: %s", error)


def _serving(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # A key with a password must not have the terminal asked for it.
    context.load_cert_chain(cert, key, password=lambda: b"")
    return context


def _names(serving: ssl.SSLContext, cert: Path) -> tuple[str, ...]:
    """Hosts of a certificate: a client that trusts it alone is shown it, all in memory."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trusting.load_verify_locations(cert)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    told = client.getpeercert() or {}
    named = cast(tuple[tuple[str, str], ...], told.get("subjectAltName", ()))
    return tuple(name for kind, name in named if kind in ("DNS", "IP Address"))


def _matches(host: str, name: str) -> bool:
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:]
    try:
        return ipaddress.ip_address(host) == ipaddress.ip_address(name)
    except ValueError:
        return host == name


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    # OpenSSL has no word for the most frequent reason.
    words = cast(str | None, error.reason) or "one of them is not in PEM, or the key has a password"
    return words.replace("_", " ").lower() if words.isupper() else words
