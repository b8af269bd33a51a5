"""Pages in the frames of a notebook, served from a thread of the process that the notebook runs.

A frame is another site than the notebook around it, so browsers send it no cookies. What opens it
is a key, behind the # of its address: browsers send that to nobody, the page takes it out of the
address and shows it to the gateway alone, as a protocol of the WebSocket. The page's files are for
everybody; they are the package's, and tell nothing.
"""

import asyncio
import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Scope

from graftscope.client import AsyncClient
from graftscope.client.errors import InputError
from graftscope.explorer._access import foreign_host, own_names, secret
from graftscope.explorer._door import Visitor
from graftscope.explorer._listening import listening
from graftscope.explorer._serving import reached_at, serve
from graftscope.explorer._way import Way

_NOTEBOOKS = "http://localhost:* http://127.0.0.1:* https://localhost:* https://127.0.0.1:*"
"""Pages of this machine, which alone may frame the explorer's."""

_KEY = "key."
"""What stands before the key among the protocols of a WebSocket."""

_BEARER = "Bearer "


@dataclass(frozen=True)
class Through:
    """By which address browsers reach the gateway through a proxy.

    Args:
        address: A URL, in which ``{port}`` stands for the gateway's port; empty for no proxy.

    Raises:
        InputError: If it is no such URL.
    """

    address: str = ""

    def __post_init__(self) -> None:
        """Refuse what no browser opens."""
        parts = urlsplit(self.address)
        if self.address and (parts.scheme not in ("http", "https") or not parts.netloc):
            raise InputError(
                f"through {self.address!r} is no address of a web page, such as "
                "'https://hub.example/user/me/proxy/{port}/'",
                field="through",
            )

    @property
    def host(self) -> str:
        """As browsers send it."""
        return urlsplit(self.address).netloc

    @property
    def origin(self) -> str:
        """Of the page, and of the notebook beside it."""
        return f"{urlsplit(self.address).scheme}://{self.host}" if self.address else ""

    def at(self, port: int) -> str:
        """The page's address."""
        return self.address.replace("{port}", str(port)).rstrip("/") + "/"


@dataclass(eq=False)
class Frames:
    """The door of pages in frames: whoever has the key of one.

    Args:
        host: HOST:PORT, by which the gateway is reached.
        through: A proxy before it, if there is one.
    """

    host: str
    through: Through = Through()
    kind: str = "frame"
    tls: None = None
    _visitors: dict[bytes, Visitor] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """What opens the page, with a key behind it."""
        port = int(self.host.rpartition(":")[2])
        return self.through.at(port) if self.through.address else f"http://{self.host}/"

    @property
    def frame_ancestors(self) -> str:
        """As `Door`: notebooks of this machine, or those behind the same proxy."""
        return f"{_NOTEBOOKS} {self.through.origin}".rstrip()

    def admit(self, visitor: Visitor) -> str:
        """Make a key."""
        key = secret()
        self._visitors[_hash(key)] = visitor
        return key

    def dismiss(self, key: str) -> Visitor | None:
        """Forget a key, and tell who had it."""
        return self._visitors.pop(_hash(key), None)

    @property
    def is_empty(self) -> bool:
        """Whether nobody has a key."""
        return not self._visitors

    def refusal(self, host: str) -> str | None:
        """As `Door`."""
        known = own_names(self.host) | {self.through.host}
        return None if host and host in known else foreign_host(host, self.host)

    def origin(self, host: str) -> str:
        """As `Door`."""
        return self.through.origin if host == self.through.host else f"http://{host}"

    def visitor(self, headers: Headers) -> Visitor | None:
        """As `Door`: by the key among the protocols of a WebSocket, or in a header."""
        said = [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",")]
        keys = [each.removeprefix(_KEY) for each in said if each.startswith(_KEY)]
        bearer = headers.get("authorization", "")
        if bearer.startswith(_BEARER):
            keys.append(bearer.removeprefix(_BEARER))
        # What is looked up is a hash, so its time tells nothing of the key.
        return self._visitors.get(_hash(keys[0])) if keys else None

    def is_public(self, path: str) -> bool:
        """As `Door`: the page's files are for everybody, and what they show is not."""
        return True

    def answer(self, scope: Scope) -> ASGIApp | None:
        """As `Door`: there is nothing to bring."""
        return None

    @property
    def stranger(self) -> ASGIApp:
        """As `Door`."""
        return PlainTextResponse("this frame has no key\n", status_code=403)


class Framing:
    """A gateway for frames, in a thread of its own, until it is closed.

    Args:
        connect: Makes a client of the service; it is not entered.
        way: To the service, for those who go there without the page.
        port: Where it listens on this machine; 0 for any free port.
        through: By which address browsers reach it through a proxy, as `Through` has it.

    Raises:
        InputError: If the port is taken, or `through` is no address.
        GraftscopeError: If the server cannot be reached.
    """

    def __init__(
        self, connect: Callable[[], AsyncClient], way: Way, port: int = 0, through: str = ""
    ) -> None:
        known = Through(through)
        self._listener = listening(str(port))
        self._door = Frames(reached_at(self._listener), known)
        self._begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, AsyncClient]] = Future()
        # A page that is left open must not keep the program from ending.
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._served(connect, way)),
            name="graftscope-explorer",
            daemon=True,
        )
        self._thread.start()
        self._loop, self._stop, self._client = self._begun.result()

    def open(self, behind: str) -> tuple[str, str]:
        """Let one more frame in.

        Args:
            behind: What it begins with, from the # on, as `Shown.behind` writes it.

        Returns:
            Its address, and its key.
        """
        key = self._door.admit(Visitor(self._client))
        return f"{self._door.address}#key={key}&{behind.removeprefix('#')}", key

    def dismiss(self, key: str) -> bool:
        """Close a frame, and tell whether it was the last one."""
        visitor = self._door.dismiss(key)
        if visitor is not None and self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(visitor.leave(), self._loop).result()
        return self._door.is_empty

    def close(self) -> None:
        """Stop serving."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    async def _served(self, connect: Callable[[], AsyncClient], way: Way) -> None:
        stop = asyncio.Event()
        try:
            async with connect() as client:
                begun = (asyncio.get_running_loop(), stop, client)
                await serve(
                    self._door, self._listener, lambda _: self._begun.set_result(begun), way, stop
                )
        except BaseException as error:
            if self._begun.done():
                raise
            self._begun.set_exception(error)
        finally:
            self._listener.close()


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
