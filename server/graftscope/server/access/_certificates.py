"""The server's certificate and key, and the authority of its clients: files that may change.

It must not know gRPC.
"""

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

from graftscope.server.access._handshake import certificate_of
from graftscope.server.errors import InvalidInput
from graftscope.server.logs import get_logger

_log = get_logger("access")


@dataclass(frozen=True)
class Pem:
    """What the files hold.

    Attributes:
        chain: the server's certificate, then those between it and its authority.
        key: the certificate's key.
        client_ca: whose signature clients' certificates need; None where they need none.
    """

    chain: bytes
    key: bytes
    client_ca: bytes | None


@dataclass(frozen=True)
class CertificateFiles:
    """Where they are.

    Attributes:
        chain, key, client_ca: as of `Pem`.
    """

    chain: Path
    key: Path
    client_ca: Path | None = None

    def read(self) -> Pem:
        """Reads the files.

        Raises:
            InvalidInput: one cannot be read or is none, or the key is not the certificate's.
        """
        chain = _read(self.chain, "tls_cert")
        key = _read(self.key, "tls_key")
        client_ca = None if self.client_ca is None else _read(self.client_ca, "tls_client_ca")
        self._check()
        return Pem(chain, key, client_ca)

    def stamp(self) -> tuple[object, ...]:
        """What differs once a file was replaced or written."""
        paths = (self.chain, self.key, *((self.client_ca,) if self.client_ca else ()))
        stats = [path.stat() for path in paths]
        return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in stats)

    def until_s(self) -> float | None:
        """Until when the certificate is good, in seconds since 1970; None where nobody knows."""
        try:
            return certificate_of(self.chain, self.key).until_s
        except OSError:
            return None

    def _check(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # Without a password of ours the library would ask for one at the terminal.
            context.load_cert_chain(self.chain, self.key, password=lambda: b"")
        except (ssl.SSLError, ValueError) as error:
            raise InvalidInput(
                f"--tls-cert {str(self.chain)!r} and --tls-key {str(self.key)!r} must be a"
                " certificate in PEM and the key that belongs to it, without a password"
                f" ({_told(error)})",
                field="tls_cert",
            ) from error
        if self.client_ca is None:
            return
        try:
            context.load_verify_locations(self.client_ca)
        except ssl.SSLError as error:
            raise InvalidInput(
                f"--tls-client-ca {str(self.client_ca)!r} must be certificates in PEM"
                f" ({_told(error)})",
                field="tls_client_ca",
            ) from error


class Certificates:
    """The files' contents, read again when they change; from any thread.

    Args:
        files: where they are.

    Raises:
        InvalidInput: they cannot be used.

    Attributes:
        pem: as they were last found good.
        until_s: until when that certificate is good, in seconds since 1970; None where it does not
            say so in a handshake.
    """

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self.pem, self.until_s = files.read(), files.until_s()
        self._stamp = self._stamped()
        self._lock = threading.Lock()

    def changed(self) -> bool:
        """Reads the files again if they were touched; whether `pem` is another one now.

        What cannot be used, such as a certificate whose new key is not there yet, is logged, and
        the last good one stays.
        """
        with self._lock:
            stamp = self._stamped()
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            try:
                pem = self._files.read()
            except InvalidInput as error:
                _log.error("certificate stays as it was", error=str(error))
                return False
            if self._stamped() != stamp:
                self._stamp = None  # Written just now: the next connection looks again.
                return False
            if pem == self.pem:
                return False
            self.pem, self.until_s = pem, self._files.until_s()
            _log.info("certificate read again", file=str(self._files.chain))
            return True

    def _stamped(self) -> tuple[object, ...] | None:
        try:
            return self._files.stamp()
        except OSError:
            return None


def _read(path: Path, field: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"--{field.replace('_', '-')} {str(path)!r} cannot be read: {error.strerror}",
            field=field,
        ) from error


def _told(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).replace("_", " ").lower()
