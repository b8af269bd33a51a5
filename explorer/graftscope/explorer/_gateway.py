"""The gateway's application: the page's files, and a conversation with each page."""

import mimetypes
from contextlib import suppress
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from graftscope.explorer._door import PROTOCOL, Door
from graftscope.explorer._guard import Guard, visitor_of
from graftscope.explorer._talk import Talk
from graftscope.explorer._way import Way

LIVE = "/live"
"""Where the page speaks with the gateway."""

_INDEX = "index.html"


def gateway(door: Door, way: Way) -> ASGIApp:
    """Put the application together.

    Args:
        door: Who is let in, and with which client of the service, connected, they are answered.
        way: To the service, for those who go there without the page.

    Returns:
        An ASGI application.
    """
    page = _page()

    async def file(request: Request) -> Response:
        name = request.path_params.get("name", _INDEX)
        if name not in page:
            return PlainTextResponse("there is no such file\n", status_code=404)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(page[name], media_type=kind, headers={"Cache-Control": "no-cache"})

    async def live(socket: WebSocket) -> None:
        visitor = visitor_of(socket.scope)
        # A page in a frame names its key beside the protocol, and wants to hear which was taken.
        spoken = PROTOCOL if PROTOCOL in socket.scope["subprotocols"] else None
        await socket.accept(subprotocol=spoken)
        await visitor.hold(Talk(socket, visitor.client, way).hold())
        if visitor.is_gone:
            with suppress(RuntimeError):
                await socket.close(code=1008)

    routes = [
        WebSocketRoute(LIVE, live),
        Route("/", file, methods=["GET"]),
        Route("/assets/{name}", file, methods=["GET"]),
    ]
    return Guard(Starlette(routes=routes), door)


def _page() -> dict[str, bytes]:
    """The page's files by their names, all of them: they are small."""
    folder = files("graftscope.explorer") / "static"
    assets = [each for each in (folder / "assets").iterdir() if each.is_file()]
    return {each.name: each.read_bytes() for each in (folder / _INDEX, *assets)}
