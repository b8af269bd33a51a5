"""The latest request wins: what is outdated before its run begins is dropped.

One task reads what is asked, another one answers it. A run that goes on is not stopped: the next
image comes sooner after its end than from a run that never ends. It must not know what is made.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graftscope.server.engine import Intervention
from graftscope.server.errors import InvalidInput
from graftscope.v1 import model_service_pb2

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Asked:
    """A request of a stream.

    Attributes:
        place: how many came before it.
        request: the request.
    """

    place: int
    request: model_service_pb2.ExploreRequest


class Inbox:
    """What was asked for last, and is not taken up yet; it belongs to the event loop."""

    def __init__(self) -> None:
        self._waiting: Asked | None = None
        self._error: Exception | None = None
        self._is_over = False
        self._number = self._came = 0
        self._changed = asyncio.Event()

    async def read(self, requests: AsyncIterator[model_service_pb2.ExploreRequest]) -> None:
        """Reads requests to their end; what is wrong with one is told to whoever takes the next."""
        try:
            async for request in requests:
                self._add(request)
        except Exception as error:
            self._error = error
        self._is_over = True
        self._changed.set()

    def _add(self, request: model_service_pb2.ExploreRequest) -> None:
        if request.number <= self._number:
            raise InvalidInput(
                f"number {request.number} follows {self._number}; each request's number must be "
                "above that of the one before, and the first one's above 0",
                field="number",
            )
        self._number = request.number
        outdated = self._waiting.request if self._waiting is not None else None
        if outdated is not None and outdated.HasField("start") and not request.HasField("start"):
            request.start.CopyFrom(outdated.start)
        self._waiting = Asked(self._came, request)
        self._came += 1
        self._changed.set()

    async def arrived(self) -> Asked | None:
        """The latest request, which stays; None once there will be none.

        Raises what was wrong with a request.
        """
        while self._waiting is None and not self._is_over:
            self._changed.clear()
            await self._changed.wait()
        if self._error is not None:
            raise self._error
        return self._waiting

    def take(self, asked: Asked) -> None:
        """It is taken up; a later one that came since stays."""
        if self._waiting is asked:
            self._waiting = None


@dataclass(eq=False)
class Turn:
    """An intervention that waits for a thread, and may be replaced until it has one.

    Attributes:
        asked: the request.
        intervention: what is made; None for the originals alone.
    """

    asked: Asked
    intervention: Intervention | None
    _begun: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def has_begun(self) -> bool:
        """Whether it has its thread."""
        return self._begun

    def begin(self) -> Intervention | None:
        """What is made, from now on; from its thread."""
        with self._lock:
            self._begun = True
            return self.intervention

    def offer(self, asked: Asked, intervention: Intervention | None) -> bool:
        """Puts another request in its place, if it has not begun."""
        with self._lock:
            if self._begun:
                return False
            self.asked, self.intervention = asked, intervention
            return True


async def latest(
    inbox: Inbox,
    turn: Turn,
    making: "asyncio.Future[_Made]",
    parse: Callable[[Asked], Awaitable[Intervention | None]],
    is_open: Callable[[Intervention | None], bool],
) -> _Made:
    """What comes of a turn; until it begins, what is asked meanwhile takes its place.

    Args:
        inbox: what is asked.
        turn: waits for its thread.
        making: is done with the turn.
        parse: reads an intervention.
        is_open: whether it can be made at once.
    """
    while not (making.done() or turn.has_begun):
        arriving = asyncio.ensure_future(inbox.arrived())
        either: set[asyncio.Future[Any]] = {making, arriving}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not arriving.done():
            arriving.cancel()
            break
        asked = arriving.result()
        if asked is None or asked.request.HasField("start"):
            break  # The stream's end, or other originals: after this one.
        newer = await parse(asked)
        # What has to be opened first does not take the place of what can be made at once.
        if not is_open(newer) or not turn.offer(asked, newer):
            break
        inbox.take(asked)
    return await making
