"""The door of a page that other machines reach: each visitor's own token of the server.

The token comes in the body of a form, through TLS, and stays in memory with the client that calls
the server with it. So it is the server that decides who may do what, whose jobs are whose, and
whose turn it is.
"""

import html
import logging
import secrets
from collections.abc import Callable
from importlib.resources import files
from string import Template
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from graftscope.client import AsyncClient, GraftscopeError
from graftscope.client.errors import AccessError, InputError, UsageError
from graftscope.explorer._certificate import Certificate
from graftscope.explorer._door import Visitor, cookie, hostname
from graftscope.explorer._sessions import LIFETIME_S, Attempts, Sessions

SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"

_STYLE = "/assets/sign-in.css"
_PUBLIC = ("/assets/index.css", "/assets/icon.svg")
_MOST_BYTES = 16_384
"""Of a form."""

_WRONG = "The server does not know this token. Is it whole, and of this server?"
_SECOND_WORDS = {
    "EXPIRED_TOKEN": "The time of this token is over. Ask whoever runs the server for a new one.",
    "REVOKED_TOKEN": "This token was revoked. Ask whoever runs the server for a new one.",
}

_log = logging.getLogger(__name__)


class SignIn:
    """Lets in whoever has a token of the server.

    Args:
        connect: Makes a client that shows a token; it is not entered.
        certificate: What browsers are shown.
        port: By which the gateway is reached.
        lifetime_s: After which visitors sign in again.
    """

    kind = "sign-in"
    frame_ancestors = "'none'"

    def __init__(
        self,
        connect: Callable[[str], AsyncClient],
        certificate: Certificate,
        port: int,
        lifetime_s: float = LIFETIME_S,
    ) -> None:
        self._connect, self._certificate, self._port = connect, certificate, port
        self._sessions, self._attempts = Sessions(lifetime_s), Attempts()
        self._page = Template(_file("page.html"))
        self.tls = certificate.context()

    @property
    def address(self) -> str:
        """What opens the page, for those who have a token."""
        names = self._certificate.names
        name = next((each for each in names if not each.startswith("*.")), names[0])
        return f"https://{f'[{name}]' if ':' in name else name}:{self._port}/"

    def refusal(self, host: str) -> str | None:
        """As `Door`: browsers call it by a name of its certificate, whatever the port."""
        if self._certificate.is_for(hostname(host)):
            return None
        names = ", ".join(self._certificate.names)
        return f"this explorer's certificate is not for {host!r}; it is for: {names}\n"

    def origin(self, host: str) -> str:
        """As `Door`: with TLS."""
        return f"https://{host}"

    def visitor(self, headers: Headers) -> Visitor | None:
        """As `Door`: by its cookie."""
        return self._sessions.find(cookie(headers, self._cookie))

    def is_public(self, path: str) -> bool:
        """As `Door`: what the form looks like."""
        return path in _PUBLIC

    def answer(self, scope: Scope) -> ASGIApp | None:
        """As `Door`: the form, and what is sent with it."""
        match scope["method"], scope["path"]:
            case "GET", "/assets/sign-in.css":
                return Response(_file("page.css"), media_type="text/css")
            case "GET", "/sign-in":
                if self.visitor(Headers(scope=scope)) is not None:
                    return RedirectResponse("/", status_code=303)
                return self._form()
            case "POST", "/sign-in":
                return self._signing_in
            case "POST", "/sign-out":
                return self._signing_out
        return None

    @property
    def stranger(self) -> ASGIApp:
        """As `Door`: to the form; what stands behind the # stays in the browser's address."""
        return _to_the_form

    async def close(self) -> None:
        """Sign everybody out."""
        await self._sessions.close()

    @property
    def _cookie(self) -> str:
        """Its name, by which browsers take it from this host alone, and through TLS."""
        return f"__Host-graftscope-{self._port}"

    async def _signing_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._signed_in(scope, await _body(receive))
        await answer(scope, receive, send)

    async def _signed_in(self, scope: Scope, body: bytes | None) -> ASGIApp:
        address = scope["client"][0] if scope.get("client") else ""
        if wait := self._attempts.wait_s(address):
            words = f"Too many wrong tokens came from your address. Try again in {wait} seconds."
            return self._form(words, 429, {"Retry-After": str(wait)})
        self._attempts.begin(address)
        token = "" if body is None else _token(body)
        try:
            client = await _entered(self._connect(token))
        except (AccessError, InputError) as error:
            _log.info("a wrong token from %s", address or "somewhere")
            return self._form(_SECOND_WORDS.get(error.reason, _WRONG), 403)
        except GraftscopeError as error:
            self._attempts.forgive(address)
            return self._form(f"The server cannot be asked: {error}", 503)
        self._attempts.forgive(address)
        self._sessions.end(cookie(Headers(scope=scope), self._cookie))
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(
            self._cookie,
            self._sessions.begin(Visitor(client)),
            max_age=round(self._sessions.lifetime_s),
            secure=True,
            httponly=True,
            # Lax, so that a link to a picture opens it: what is read by a link tells nothing.
            samesite="lax",
            path="/",
        )
        return response

    async def _signing_out(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._sessions.end(cookie(Headers(scope=scope), self._cookie))
        response = RedirectResponse(SIGN_IN, status_code=303)
        response.delete_cookie(self._cookie, path="/", secure=True, httponly=True, samesite="lax")
        await response(scope, receive, send)

    def _form(
        self, error: str = "", status: int = 200, headers: dict[str, str] | None = None
    ) -> HTMLResponse:
        page = self._page.substitute(
            error=html.escape(error),
            invalid='aria-invalid="true" ' if error else "",
            hours=f"{self._sessions.lifetime_s / 3600:g}",
        )
        kept = {"Cache-Control": "no-store", **(headers or {})}
        return HTMLResponse(page, status_code=status, headers=kept)


async def require_tokens(connect: Callable[[str], AsyncClient]) -> None:
    """Make sure that a server asks its callers who they are.

    Args:
        connect: As of `SignIn`.

    Raises:
        UsageError: If it asks nobody: every visitor could do everything, and see everybody's jobs.
        GraftscopeError: If it cannot be reached.
    """
    client = connect(f"gs_{secrets.token_urlsafe(32)}")
    try:
        await (await _entered(client)).close()
    except AccessError:
        return
    raise UsageError(
        f"the server at {client.address} asks nobody who they are, so whoever reaches this page "
        "could do everything: serve it with TLS and tokens (`graftscope serve --tls-cert FILE "
        "--tls-key FILE --auth token`), or leave --tls-cert out for a page on this machine alone"
    )


async def _entered(client: AsyncClient) -> AsyncClient:
    """Connect a client, and make sure that the server lets it in."""
    await client.__aenter__()
    try:
        await client.models()
    except BaseException:
        await client.close()
        raise
    return client


async def _body(receive: Receive) -> bytes | None:
    """The body of a request; None where it is longer than any form."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _MOST_BYTES:
            return None
        if message["type"] != "http.request" or not message.get("more_body"):
            return bytes(body)


def _token(body: bytes) -> str:
    given = parse_qs(body.decode("latin-1")).get("token", [])
    return given[0].strip() if len(given) == 1 else ""


async def _to_the_form(scope: Scope, receive: Receive, send: Send) -> None:
    is_page = scope["path"] == "/" and scope["method"] in ("GET", "HEAD")
    refused = PlainTextResponse(f"sign in first, at {SIGN_IN}\n", status_code=403)
    answer = RedirectResponse(SIGN_IN, status_code=303) if is_page else refused
    await answer(scope, receive, send)


def _file(name: str) -> str:
    return (files("graftscope.explorer") / "sign_in" / name).read_text(encoding="utf-8")
