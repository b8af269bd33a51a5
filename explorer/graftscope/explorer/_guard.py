"""What stands before the application: nobody gets by whom the door does not know.

Host and Origin are looked at in every request, so that neither a name that is made to point here
nor another page's script gets in, and every answer says what a browser may do with it.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graftscope.explorer._door import Door, Visitor

WHO = "/who"
"""Answers whether a browser is known, and which door it would have to come through."""

_VISITOR = "graftscope.visitor"
_READING = ("GET", "HEAD")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'"
)
"""What a browser may do with the page: nothing that leads elsewhere."""

_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not less: a form of a page without a referrer has no origin either.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def visitor_of(scope: Scope) -> Visitor:
    """Find whom a connection is with that the guard let through."""
    found = scope[_VISITOR]
    assert isinstance(found, Visitor)
    return found


class Guard:
    """Lets nobody through to an application but whom a door knows.

    Args:
        app: The application.
        door: Who is let in.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the application answer it."""
        match scope["type"]:
            case "http":
                await self._answer(scope)(scope, receive, self._closed_off(send))
            case "websocket":
                headers = Headers(scope=scope)
                foreign = self._foreign(headers, needs_origin=True)
                visitor = None if foreign else self._door.visitor(headers)
                if visitor is None:
                    # Before it is accepted, this is status 403.
                    await send({"type": "websocket.close", "code": 1008})
                else:
                    await self._app({**scope, _VISITOR: visitor}, receive, send)
            case _:
                await self._app(scope, receive, send)

    def _answer(self, scope: Scope) -> ASGIApp:
        headers = Headers(scope=scope)
        foreign = self._foreign(headers, needs_origin=scope["method"] not in _READING)
        if foreign is not None:
            return PlainTextResponse(foreign, status_code=403)
        at_the_door = self._door.answer(scope)
        if at_the_door is not None:
            return at_the_door
        is_known = self._door.visitor(headers) is not None
        if scope["path"] == WHO:
            return JSONResponse({"door": self._door.kind}, status_code=200 if is_known else 403)
        if is_known or self._door.is_public(scope["path"]):
            return self._app
        return self._door.stranger

    def _foreign(self, headers: Headers, *, needs_origin: bool) -> str | None:
        """Say why a request comes from elsewhere, if it does."""
        host, origin = headers.get("host", ""), headers.get("origin")
        refusal = self._door.refusal(host)
        if refusal is not None:
            return refusal
        if origin is None:
            return "a page's origin is needed\n" if needs_origin else None
        if origin == self._door.origin(host):
            return None
        return f"origin {origin!r} is another page's\n"

    def _closed_off(self, send: Send) -> Send:
        """Send with every answer what a browser may do with it."""

        async def closed_off(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                framing = f"frame-ancestors {self._door.frame_ancestors}"
                headers["Content-Security-Policy"] = f"{_POLICY}; {framing}"
            await send(message)

        return closed_off
