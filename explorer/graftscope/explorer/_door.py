"""What lets visitors in: each way of opening the page is a door, and the guard asks it."""

import asyncio
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Scope

from graftscope.client import AsyncClient

PROTOCOL = "graftscope"
"""What is spoken over the WebSocket."""


@dataclass(eq=False)
class Visitor:
    """Somebody who was let in.

    Args:
        client: Of the service, with which it is asked for them.
    """

    client: AsyncClient
    is_gone: bool = False
    _talks: set["asyncio.Future[None]"] = field(default_factory=set)

    async def hold(self, talk: Coroutine[object, object, None]) -> None:
        """Talk with them until the page is gone, or they are."""
        task = asyncio.ensure_future(talk)
        self._talks.add(task)
        try:
            await task
        except asyncio.CancelledError:
            if not self.is_gone:
                raise
        finally:
            self._talks.discard(task)

    async def leave(self) -> None:
        """End all that is talked about with them."""
        self.is_gone = True
        for each in tuple(self._talks):
            each.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)


class Door(Protocol):
    """A way of opening the page."""

    @property
    def kind(self) -> str:
        """What the page calls it: ``address``, ``sign-in`` or ``frame``."""

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What browsers are shown; None for no TLS."""

    @property
    def address(self) -> str:
        """What opens the page."""

    @property
    def frame_ancestors(self) -> str:
        """Which pages may frame this one, in the words of the content security policy."""

    def refusal(self, host: str) -> str | None:
        """Say why what a browser calls the gateway is not its name; None where it is."""

    def origin(self, host: str) -> str:
        """Say what the page's origin is, where browsers call the gateway that."""

    def visitor(self, headers: Headers) -> Visitor | None:
        """Find who a request is from."""

    def is_public(self, path: str) -> bool:
        """Whether a file is for everybody who reaches the gateway."""

    def answer(self, scope: Scope) -> ASGIApp | None:
        """Answer a request at the door itself, such as one that brings a token."""

    @property
    def stranger(self) -> ASGIApp:
        """Answers whoever was not let in."""


def cookie(headers: Headers, name: str) -> str | None:
    """Read a cookie of a request."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return None if found is None else found.value


def hostname(host: str) -> str:
    """Take the port off a Host header, and the brackets off an IPv6 address."""
    name, _, port = host.rpartition(":")
    if not (name and port.isdigit()) or (":" in name and not name.endswith("]")):
        name = host
    return name.removeprefix("[").removesuffix("]")
