"""Certificates, and servers that ask who calls."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import create_connection
from typing import Any, cast

import grpc
import trustme

from graftscope.server import make_settings
from graftscope.server._running import _in_thread
from graftscope.server.access import Role, TokenStore
from server_toys import Stubs

WHO = "alice@lab.example"
"""Whom the client's certificate names."""


@dataclass(frozen=True)
class Papers:
    """Certificates in files.

    Attributes:
        folder: where they are.
        authority: who signed them.
    """

    folder: Path
    authority: trustme.CA

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, *identities: str) -> tuple[Path, Path]:
        """Writes a certificate and its key over what is there."""
        made = self.authority.issue_cert(*identities)
        chain, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        made.private_key_pem.write_to_path(str(key))
        chain.write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
        return chain, key

    def of_server(self) -> tuple[Path, Path]:
        return self.issue("server", "localhost", "127.0.0.1")

    def of_client(self) -> tuple[Path, Path]:
        return self.issue("client", WHO)

    def credentials(self, *, client: bool = False) -> grpc.ChannelCredentials:
        """What a channel needs to trust the server, and to be trusted."""
        ca = self.ca.read_bytes()
        if not client:
            return grpc.ssl_channel_credentials(ca)
        chain, key = self.of_client()
        return grpc.ssl_channel_credentials(ca, key.read_bytes(), chain.read_bytes())


def papers(folder: Path) -> Papers:
    """A new authority, whose certificate is written down."""
    made = Papers(folder, trustme.CA())
    made.authority.cert_pem.write_to_path(str(made.ca))
    return made


@contextmanager
def protected(bundles: Sequence[Path], state: Path, **settings: object) -> Iterator[str]:
    """A server in a thread, as these settings have it; gives its address."""
    chosen = {"listen": "127.0.0.1:0", "workers": 1, "auth": "token"}
    # Tests speak gRPC themselves, and send tokens in the clear.
    chosen |= {"insecure": "tls_cert" not in settings, **settings}
    with _in_thread(make_settings(bundles=tuple(bundles), state=state, **chosen)) as address:
        yield address


@contextmanager
def tokens_of(state: Path) -> Iterator[TokenStore]:
    """The tokens of a state folder."""
    state.mkdir(parents=True, exist_ok=True)
    with closing(TokenStore(f"sqlite:///{state / 'jobs.db'}")) as store:
        yield store


def token_of(state: Path, name: str, role: Role = Role.ANALYST) -> str:
    """A new token of a state folder."""
    with tokens_of(state) as store:
        return store.create(name, role)[0]


def bearer(token: str | None) -> list[tuple[str, str]]:
    """The metadata that carry a token."""
    return [] if token is None else [("authorization", f"Bearer {token}")]


def serial_at(address: str, ca: Path) -> int:
    """The serial number of the certificate that a server shows."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["h2"])
    with (
        create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        told = wrapped.getpeercert()
    assert told
    return int(str(told["serialNumber"]), 16)


class _Showing:
    """A channel whose calls all show a token."""

    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self._channel, self._token = channel, token

    def __getattr__(self, kind: str) -> Any:
        make = getattr(self._channel, kind)
        return lambda *given, **named: partial(make(*given, **named), metadata=bearer(self._token))


def stubs_of(address: str, channel: grpc.Channel, token: str, state: Path) -> Stubs:
    """The services of a server, as whoever has this token sees them."""
    found = Stubs(address, cast(grpc.Channel, _Showing(channel, token)), state)
    found.channel = channel
    return found
