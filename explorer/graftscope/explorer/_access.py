"""The door of a page on this machine: whoever has the address that was printed.

An address admits once; a cookie that scripts cannot read stands for it from then on.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Scope

from graftscope.explorer._door import Visitor, cookie

_TOKEN_BYTES = 32

_STRANGER = (
    "This is Graftscope's explorer, and it does not know this browser.\n\n"
    "Open the address that `graftscope explore` printed last; each opens the page in one browser. "
    "If the explorer was started again, it printed a new one. What the page showed is kept in its "
    "own address, behind the #: add that to the new one.\n"
)


def secret() -> str:
    """Make a word that nobody guesses."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def is_same(given: str, kept: str) -> bool:
    """Compare secrets in a time that does not tell where they differ."""
    return secrets.compare_digest(given.encode(), kept.encode())


@dataclass
class Admission:
    """Who is let in, for as long as one gateway runs.

    Args:
        host: HOST:PORT, by which the gateway is reached.
        everybody: All who come in: they are one and the same for the service.
        on_admitted: Hears of the next address when one was used.
    """

    host: str
    everybody: Visitor
    on_admitted: Callable[[str], None] = lambda _: None
    kind: str = "address"
    tls: None = None
    frame_ancestors: str = "'none'"
    _token: str = field(default_factory=secret)
    _pass: str = field(default_factory=secret)

    @property
    def address(self) -> str:
        """What opens the page, once."""
        return f"http://{self.host}/?token={self._token}"

    def refusal(self, host: str) -> str | None:
        """As `Door`: browsers on this machine have three names for it."""
        return None if host in own_names(self.host) else foreign_host(host, self.host)

    def origin(self, host: str) -> str:
        """As `Door`: without TLS."""
        return f"http://{host}"

    def visitor(self, headers: Headers) -> Visitor | None:
        """As `Door`: by its cookie."""
        found = cookie(headers, self._cookie)
        return self.everybody if found is not None and is_same(found, self._pass) else None

    def is_public(self, path: str) -> bool:
        """As `Door`: nothing is."""
        return False

    def answer(self, scope: Scope) -> ASGIApp | None:
        """As `Door`: take the token out of the address, and hand out the cookie."""
        if scope["path"] != "/" or scope["method"] != "GET":
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if len(given) != 1 or not is_same(given[0], self._token):
            return None
        self._token = secret()
        self.on_admitted(self.address)
        response = RedirectResponse("/", status_code=303)
        # Lax, so that a link to a picture opens it: what is read by a link tells nothing.
        response.set_cookie(self._cookie, self._pass, httponly=True, samesite="lax", path="/")
        return response

    @property
    def stranger(self) -> ASGIApp:
        """As `Door`."""
        return PlainTextResponse(_STRANGER, status_code=403)

    @property
    def _cookie(self) -> str:
        """The cookie's name, which holds the port: browsers send cookies to every port."""
        return f"graftscope-{self.host.rpartition(':')[2]}"


def own_names(host: str) -> frozenset[str]:
    """What browsers on this machine call a HOST:PORT of it."""
    port = host.rpartition(":")[2]
    return frozenset({host, f"localhost:{port}", f"127.0.0.1:{port}"})


def foreign_host(host: str, own: str) -> str:
    """Say that a name is another's."""
    return f"host {host!r} is not this explorer's, {own}\n"
