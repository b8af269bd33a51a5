"""The end of a server: calls that go on may finish, new ones are told to ask again.

It belongs to the event loop, and must not know what the methods do.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from graftscope.server.access import Method, Work
from graftscope.server.errors import ServerStopping

_RETRY_S = 1.0
"""When to ask again: another server behind the same address answers, or this one's successor."""

_FINISHED = frozenset({Work.INTERACTIVE, Work.JOB, Work.TRANSFER})
"""What is waited for. Watches end with the server's jobs, an exploration has no end of its own, and
a look-up takes no time."""


class Drain:
    """Counts the calls that go on.

    Attributes:
        over: whether those that are left are being ended.
    """

    def __init__(self) -> None:
        self.over = False
        self._stopping = False
        self._calls: dict[asyncio.Task[object], Work] = {}
        self._changed = asyncio.Event()

    @property
    def stopping(self) -> bool:
        """Whether nothing new is taken on."""
        return self._stopping

    @property
    def going_on(self) -> int:
        """How many calls go on, of all kinds."""
        return len(self._calls)

    @contextmanager
    def counted(self, method: Method | None) -> Iterator[None]:
        """A call, for as long as the block lasts.

        Args:
            method: what it takes; None for a method that is not in the table.

        Raises:
            ServerStopping: the server takes on nothing more. Look-ups and health are answered.
        """
        work = method.work if method else Work.CONTROL
        is_asked_for_health = method is not None and method.role is None
        if self._stopping and work is not Work.CONTROL and not is_asked_for_health:
            raise stopping()
        task = asyncio.current_task()
        assert task is not None
        self._calls[task] = Work.CONTROL if is_asked_for_health else work
        try:
            yield
        finally:
            del self._calls[task]
            self._changed.set()

    def refuse(self) -> None:
        """From now on nothing new is taken on."""
        self._stopping = True

    async def finish(self, within_s: float) -> None:
        """Waits for the calls that compute or send something, but no longer."""
        await self._until(lambda: _FINISHED.isdisjoint(self._calls.values()), within_s)

    async def end(self, within_s: float) -> int:
        """Ends all calls that are left, which are told to ask again; how many there were."""
        self.over = True
        left = [task for task, work in self._calls.items() if work in _FINISHED]
        for task in self._calls:
            task.cancel()
        await self._until(lambda: not self._calls, within_s)
        return len(left)

    async def _until(self, holds: Callable[[], bool], within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return


def stopping() -> ServerStopping:
    """What callers are told from then on."""
    return ServerStopping(
        "the server stops; ask again when it is back, or another one", retry_after_s=_RETRY_S
    )
