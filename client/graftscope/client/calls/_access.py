"""How a client shows who it is, and how it knows whom it speaks to: a token, and TLS.

A token leaves this module for one place only, a connection that nobody reads along with.
"""

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

import grpc
import grpc.aio

from graftscope.client.arrays import file_name, text
from graftscope.client.calls._addresses import is_socket, resolve
from graftscope.client.calls._channel import channel_options
from graftscope.client.calls._environment import CA_VARIABLE, TOKEN_VARIABLE
from graftscope.client.errors import InputError, NotFoundError, UsageError

Metadata: TypeAlias = tuple[tuple[str, str], ...]
"""What calls bring along."""

_TOKEN: Final = re.compile(r"gs_[!-~]{1,4096}")


_CERTIFICATE: Final = re.compile(rb"-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----")
_KEY: Final = re.compile(rb"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----")


@dataclass(frozen=True)
class TLS:
    """What a client needs for TLS.

    Args:
        ca: File of the authority that signed the server's certificate, in PEM; None for that of
            the environment variable GRAFTSCOPE_CA, or else the public ones.
        cert: File of the client's own certificate in PEM, where the server asks for one.
        key: File of that certificate's key.
    """

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None

    def __post_init__(self) -> None:
        """Refuse a certificate without its key."""
        for path in (self.ca, self.cert, self.key):
            if path is not None:
                file_name(path)
        if (self.cert is None) is not (self.key is None):
            raise UsageError("`cert` and `key` go together: a certificate needs its key")


GivenTLS: TypeAlias = "TLS | bool | str | Path | None"
"""True for TLS with public authorities, a file of an authority, or both ends; None for the
environment's choice."""


@dataclass(frozen=True)
class Access:
    """What a client was given to show, and to check.

    Args:
        token: A bearer token; None for that of GRAFTSCOPE_TOKEN.
        tls: As of `Client`.
    """

    token: str | None = field(default=None, repr=False)
    tls: GivenTLS = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a token, without showing it."""
        if self.token is not None:
            _checked_token(self.token, "token")
        if not isinstance(self.tls, TLS | bool | None):
            file_name(self.tls)

    @property
    def is_given(self) -> bool:
        """Whether there is anything that only another server takes."""
        return self.token is not None or self.tls is not None

    def to(self, address: str) -> "Way":
        """Find the way to a server.

        Args:
            address: HOST:PORT, https://HOST:PORT, or another that `resolve` takes.

        Raises:
            InputError: If the address is none, or a file holds no certificate.
            NotFoundError: If a file is not there.
            UsageError: If the token would be sent in the clear.
        """
        found, is_secure = resolve(address)
        tls = self._tls(found, is_secure)
        token = self._token()
        if token is not None and tls is None and not is_socket(found):
            raise UsageError(
                f"a token is not sent to {found} in the clear: say which certificates to trust with"
                f" `tls` or {CA_VARIABLE}, or use https://{found} where a public authority has"
                " signed the server's"
            )
        header = () if token is None else (("authorization", f"Bearer {token}"),)
        return Way(found, None if tls is None else _pem(tls), header)

    def _tls(self, address: str, is_secure: bool) -> TLS | None:
        match self.tls:
            case TLS(ca=None):
                return replace(self.tls, ca=os.environ.get(CA_VARIABLE) or None)
            case TLS():
                return self.tls
            case False:
                if is_secure:
                    raise UsageError(f"`tls` False contradicts the address, https://{address}")
                return None
            case True:
                return TLS(os.environ.get(CA_VARIABLE) or None)
            case None:
                named = os.environ.get(CA_VARIABLE) or None
                wanted = is_secure or (named is not None and not is_socket(address))
                return TLS(named) if wanted else None
            case ca:
                return TLS(ca)

    def _token(self) -> str | None:
        if self.token is not None:
            return self.token
        named = os.environ.get(TOKEN_VARIABLE)
        return _checked_token(named, TOKEN_VARIABLE) if named else None


@dataclass(frozen=True)
class _Pem:
    """What files of TLS hold."""

    ca: bytes | None
    key: bytes | None = field(default=None, repr=False)
    chain: bytes | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.ca, self.key, self.chain)


@dataclass(frozen=True)
class Way:
    """The way to a server.

    Args:
        address: HOST:PORT or unix:PATH.
        pem: What TLS needs; None for no TLS.
        metadata: What every call brings along.
    """

    address: str
    pem: _Pem | None = None
    metadata: Metadata = field(default=(), repr=False)

    @property
    def named(self) -> str:
        """The address, which says whether there is TLS."""
        is_plain = self.pem is None or is_socket(self.address)
        return self.address if is_plain else f"https://{self.address}"

    @property
    def needs(self) -> tuple[str, ...]:
        """What somebody else must have to go this way, of ``token``, ``ca`` and ``cert``."""
        pem = self.pem or _Pem(None)
        needed = {"token": self.metadata, "ca": pem.ca, "cert": pem.chain}
        return tuple(name for name, given in needed.items() if given)

    @property
    def names_ca(self) -> bool:
        """Whether the authority of the server's certificate was named."""
        return self.pem is not None and self.pem.ca is not None

    def channel(self) -> grpc.Channel:
        """Make a synchronous channel."""
        options = channel_options(self.address)
        if self.pem is None:
            return grpc.insecure_channel(self.address, options)
        return grpc.secure_channel(self.address, self.pem.credentials(), options)

    def aio_channel(self) -> grpc.aio.Channel:
        """Make an asynchronous channel."""
        options = channel_options(self.address)
        if self.pem is None:
            return grpc.aio.insecure_channel(self.address, options)
        return grpc.aio.secure_channel(self.address, self.pem.credentials(), options)


def _checked_token(token: str, called: str) -> str:
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise InputError(
            f"{called} is no token (what was given is not shown): a token is one word that begins"
            " with gs_, as `graftscope token create` prints it; was a file's name, or another file,"
            " given for it?",
            field="token",
        )
    return token


def read_token(path: Path) -> str:
    """Read a token from a file.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If it holds no token.
    """
    return _checked_token(_read(path, "token").decode(errors="replace").strip(), f"file {path}")


def _pem(tls: TLS) -> _Pem:
    return _Pem(
        None if tls.ca is None else _certificates(tls.ca, "ca"),
        None if tls.key is None else _of_kind(tls.key, "key", _KEY, "no key"),
        None if tls.cert is None else _certificates(tls.cert, "cert"),
    )


def _certificates(path: str | Path, called: str) -> bytes:
    return _of_kind(path, called, _CERTIFICATE, "no certificate")


def _of_kind(path: str | Path, called: str, begins: re.Pattern[bytes], otherwise: str) -> bytes:
    data = _read(Path(path), called)
    if not begins.search(data):
        raise InputError(f"{called} {str(path)!r} is {otherwise} in PEM", field=called)
    return data


def _read(path: Path, called: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"{called} {text('path', str(path))!r} is not there") from error
    except OSError as error:
        raise InputError(f"{called} {str(path)!r} cannot be read: {error.strerror}") from error
