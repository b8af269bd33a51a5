"""An explorer on loopback, and a page that speaks with it without a browser."""

import asyncio
import http.client
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlencode, urlsplit

import numpy as np
from numpy.typing import NDArray
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from graftscope.client import AsyncClient
from graftscope.explorer import Admission, Door, Visitor, Way, listening, reached_at, serve

TIMEOUT_S = 60.0


@dataclass
class Explored:
    """A gateway that runs."""

    addresses: list[str] = field(default_factory=list)
    """What opens the page: the last one does."""
    trust: ssl.SSLContext | None = None
    """What browsers trust; None where there is no TLS."""

    @property
    def host(self) -> str:
        return urlsplit(self.addresses[-1]).netloc

    @property
    def origin(self) -> str:
        return f"{urlsplit(self.addresses[-1]).scheme}://{self.host}"

    def get(self, path: str = "/", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask by HTTP: status, headers and body."""
        return self._asked("GET", path, headers)

    def post(
        self, path: str, form: dict[str, str], **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a form as the page itself does."""
        return self._asked("POST", path, {"Origin": self.origin, **headers}, urlencode(form))

    def _asked(
        self, method: str, path: str, headers: dict[str, str], body: str | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.host, timeout=TIMEOUT_S)
        if self.trust is not None:
            connection = http.client.HTTPSConnection(
                self.host, timeout=TIMEOUT_S, context=self.trust
            )
        try:
            connection.request(method, path, body, headers={"Host": self.host, **headers})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def signed_in(self, token: str) -> str:
        """Sign in as a browser does, and give its cookie."""
        status, headers, _ = self.post("/sign-in", {"token": token})
        assert (status, headers["location"]) == (303, "/")
        return headers["set-cookie"].partition(";")[0]

    def admitted(self) -> str:
        """Open the page as a browser does, and give its cookie."""
        address = urlsplit(self.addresses[-1])
        status, headers, _ = self.get(f"{address.path}?{address.query}")
        assert status == 303
        return headers["set-cookie"].partition(";")[0]


Opening: TypeAlias = Callable[[socket.socket, Explored], AbstractAsyncContextManager[Door]]


@contextmanager
def opened(opening: Opening, listen: str = "0", server: str | None = None) -> Iterator[Explored]:
    """A gateway with a door, for as long as the block lasts."""
    ready, ended = threading.Event(), threading.Event()
    running = Explored()
    stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        stop = asyncio.Event()
        stops.append((asyncio.get_running_loop(), stop))

        def on_ready(address: str) -> None:
            running.addresses.append(address)
            ready.set()

        listener = listening(listen)
        async with opening(listener, running) as door:
            await serve(door, listener, on_ready, Way(server), stop)
        ended.set()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(TIMEOUT_S)
    try:
        yield running
    finally:
        loop, stop = stops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(TIMEOUT_S)
        assert ended.is_set()


@contextmanager
def explored(
    server: str, listen: str = "0", client: Callable[[str], AsyncClient] = AsyncClient
) -> Iterator[Explored]:
    """A gateway to a server, whose address opens the page."""

    @asynccontextmanager
    async def door(listener: socket.socket, running: Explored) -> AsyncIterator[Door]:
        async with client(server) as connected:
            told = running.addresses.append
            yield Admission(reached_at(listener), Visitor(connected), told)

    with opened(door, listen, server) as running:
        yield running


@dataclass(frozen=True)
class Heard:
    """An answer: what it says, and its pictures and files by name."""

    said: dict[str, Any]
    pictures: dict[str, NDArray[np.uint8]]
    files: dict[str, bytes] = field(default_factory=dict)


class Page:
    """What the page does, as a program does it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._count = 0

    def ask(self, **question: Any) -> int:
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, **question}))
        return self._count

    def say(self, text: str | bytes) -> None:
        self._socket.send(text)

    def hear(self) -> Heard:
        return heard(self._socket.recv(TIMEOUT_S))

    def answer(self, **question: Any) -> Heard:
        """Ask, and hear the next answer."""
        number = self.ask(**question)
        found = self.hear()
        assert found.said["id"] == number
        return found

    def refusal(self, **question: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.answer(**question).said["error"]
        return found


@contextmanager
def page(running: Explored, cookie: str | None = None, origin: str | None = None) -> Iterator[Page]:
    """A page with its connection."""
    with connect(
        f"{running.origin.replace('http', 'ws', 1)}/live",
        ssl=running.trust,
        additional_headers={"Cookie": running.admitted() if cookie is None else cookie},
        origin=Origin(origin or running.origin),
        open_timeout=TIMEOUT_S,
        max_size=None,
    ) as socket:
        yield Page(socket)


def heard(message: str | bytes) -> Heard:
    """Read a message as the page does."""
    if isinstance(message, str):
        return Heard(json.loads(message), {})
    length = int.from_bytes(message[:4], "little")
    said = json.loads(message[4 : 4 + length])
    at = 4 + length
    pictures, files = {}, {}
    for each in said["images"]:
        if each.get("file"):
            files[each["name"]] = message[at : at + each["bytes"]]
            at += each["bytes"]
            continue
        pixels = np.frombuffer(message, np.uint8, each["bytes"], at)
        pictures[each["name"]] = pixels.reshape(each["height"], each["width"], each["colours"])
        at += each["bytes"]
    assert at == len(message)
    return Heard(said, pictures, files)
