"""Explorations: a stream in which the latest request wins, for both clients.

What is said and read is in flows, which each client performs in its own way.
"""

import asyncio
import threading
from types import TracebackType
from typing import Any, NoReturn, Self

from google.protobuf.message import Message

from graftscope.client.calls._async import AsyncDriver, AsyncDuplex
from graftscope.client.calls._channel import Stubs
from graftscope.client.calls._flow import Flow
from graftscope.client.calls._models import settled
from graftscope.client.calls._sync import SyncDriver, SyncDuplex
from graftscope.client.calls._transfers import fetch_all, send_large
from graftscope.client.errors import UnavailableError, UsageError
from graftscope.client.interventions import Intervention, require
from graftscope.client.values import Explored, ExploreTask
from graftscope.client.wire import Outbox, arrays_of, explore_request, made
from graftscope.v1 import model_service_pb2

_NAME = "Explore"
_INTERVENTION = "Intervention(...), or Intervention.load(path), which reads a file"


def _method(stubs: Stubs) -> Any:
    return stubs.models.Explore


def _asked(
    number: int, start: ExploreTask | None, intervention: Intervention | None
) -> Flow[model_service_pb2.ExploreRequest]:
    """Make a request, whose large arrays are stored on the server first."""
    outbox = Outbox()
    task = None if start is None else (yield from settled(start))
    request = explore_request(number, task, intervention, outbox)
    yield from send_large(outbox)
    return request


def _answered(reply: Message) -> Flow[Explored]:
    """Read an answer's images."""
    return made(reply, Explored, (yield from fetch_all(arrays_of(reply))))


class _Answers:
    """Which requests were made, and what the last answer was."""

    def __init__(self) -> None:
        self._asked = 0
        self._last: Explored | None = None
        self._originals: Explored | None = None

    def next_number(self) -> int:
        self._asked += 1
        return self._asked

    def keep(self, answer: Explored) -> None:
        self._last = answer
        if answer.original1 is not None:
            self._originals = answer

    def is_told(self, number: int) -> bool:
        """Whether it is known what became of a request."""
        return self._last is not None and self._last.number >= number

    @property
    def are_told(self) -> bool:
        """Whether it is known what became of every request."""
        return self.is_told(self._asked)

    def to(self, number: int) -> Explored | None:
        """Give the answer to a request, if it is the last one."""
        return self._last if self._last is not None and self._last.number == number else None

    @property
    def originals(self) -> Explored:
        """Give the first answer for the present originals."""
        if self._originals is None:
            raise _not_open()
        return self._originals


def _not_open() -> UsageError:
    return UsageError("the exploration is not open: use `with client.explore(...) as session`")


def _broken_off() -> NoReturn:
    raise UnavailableError("the server ended the exploration; begin another one")


class Exploration:
    """Hybrids of the same originals, for those who drag a slider; see `Client.explore`.

    Usage::

        with client.explore("vae-celeba", seed=7) as session:
            for weight in weights:
                shown = session.show(Intervention([Edit("coarse", [3], action=Blend(weight))]))

    Several threads may call `show`: the latest wins, and the others are told None.

    Args:
        driver: Makes calls.
        task: The originals, and how images come.
    """

    def __init__(self, driver: SyncDriver, task: ExploreTask) -> None:
        self._driver, self._task = driver, task
        self._answers = _Answers()
        self._line: SyncDuplex | None = None
        self._sending, self._receiving = threading.Lock(), threading.Lock()

    @property
    def originals(self) -> Explored:
        """Both originals, and what computed them."""
        return self._answers.originals

    def show(self, intervention: Intervention) -> Explored | None:
        """Make the hybrids of an intervention.

        Args:
            intervention: What is assigned.

        Returns:
            Its images; None where a later request took its place.

        Raises:
            InputError: If the server refuses it; the exploration has ended then.
            UnavailableError: If the exploration has ended.
        """
        require("intervention", intervention, (Intervention,), _INTERVENTION)
        return self._shown(None, intervention)

    def begin(self, task: ExploreTask) -> Explored:
        """Go on with other originals, of the same model or of another one."""
        shown = self._shown(task, None)
        self._task = task
        return self.originals if shown is None else shown

    def close(self) -> None:
        """End the exploration, and free what the server keeps for it."""
        if self._line is not None:
            self._line.close(answered=self._answers.are_told)

    def __enter__(self) -> Self:
        """Begin the exploration, and read both originals."""
        self._line = self._driver.duplex(_NAME, _method)
        try:
            self._shown(self._task, None)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the exploration."""
        self.close()

    def _shown(
        self, start: ExploreTask | None, intervention: Intervention | None
    ) -> Explored | None:
        line = self._line
        if line is None:
            raise _not_open()
        with self._sending:
            number = self._answers.next_number()
            line.send(self._driver.run(_asked(number, start, intervention)))
        with self._receiving:
            while not self._answers.is_told(number):
                reply = line.receive() or _broken_off()
                self._answers.keep(self._driver.run(_answered(reply)))
            return self._answers.to(number)


class AsyncExploration:
    """Hybrids of the same originals, for a program with an event loop; as `Exploration`.

    Usage::

        async with client.explore("vae-celeba", seed=7) as session:
            shown = await session.show(Intervention([Edit("coarse", [3], action=Blend(0.4))]))

    Several tasks may call `show`: the latest wins, and the others are told None.

    Args:
        driver: Makes calls.
        task: The originals, and how images come.
    """

    def __init__(self, driver: AsyncDriver, task: ExploreTask) -> None:
        self._driver, self._task = driver, task
        self._answers = _Answers()
        self._line: AsyncDuplex | None = None
        self._sending, self._receiving = asyncio.Lock(), asyncio.Lock()

    @property
    def originals(self) -> Explored:
        """Both originals, and what computed them."""
        return self._answers.originals

    async def show(self, intervention: Intervention) -> Explored | None:
        """Make the hybrids of an intervention; as `Exploration.show`."""
        require("intervention", intervention, (Intervention,), _INTERVENTION)
        return await self._shown(None, intervention)

    async def begin(self, task: ExploreTask) -> Explored:
        """Go on with other originals, of the same model or of another one."""
        shown = await self._shown(task, None)
        self._task = task
        return self.originals if shown is None else shown

    async def close(self) -> None:
        """End the exploration, and free what the server keeps for it."""
        if self._line is not None:
            await self._line.close(answered=self._answers.are_told)

    async def __aenter__(self) -> Self:
        """Begin the exploration, and read both originals."""
        self._line = self._driver.duplex(_NAME, _method)
        try:
            await self._shown(self._task, None)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the exploration."""
        await self.close()

    async def _shown(
        self, start: ExploreTask | None, intervention: Intervention | None
    ) -> Explored | None:
        line = self._line
        if line is None:
            raise _not_open()
        async with self._sending:
            number = self._answers.next_number()
            await line.send(await self._driver.run(_asked(number, start, intervention)))
        async with self._receiving:
            while not self._answers.is_told(number):
                reply = await line.receive() or _broken_off()
                self._answers.keep(await self._driver.run(_answered(reply)))
            return self._answers.to(number)
