"""Hybrids for one page, through one exploration of the service in which the latest request wins."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from graftscope.client import (
    AsyncClient,
    AsyncExploration,
    Explored,
    ExploreTask,
    GraftscopeError,
    Intervention,
    LatentPairs,
)
from graftscope.client.errors import UnavailableError
from graftscope.explorer._asked import Show, show_of
from graftscope.explorer._fields import Fields
from graftscope.explorer._latents import Drawing
from graftscope.explorer._originals import Sample
from graftscope.explorer._told import Answer, Answering, Picture

RAW_BYTES = 512 * 1024
"""Larger pictures come as files: what is sent in one message ends at 1 MiB."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What a page is shown.

    Args:
        pictures: The hybrid, unless it is original 1; and the originals, if they are others than
            the page has.
        is_original1: Whether nothing was taken from original 2.
    """

    pictures: tuple[Picture, ...]
    is_original1: bool


_Originals: TypeAlias = tuple[str, tuple[Sample, Sample]]
"""What two originals depend on: the model, and what each is."""


@dataclass(eq=False)
class _Open:
    """An exploration that goes on, and of what."""

    session: AsyncExploration
    originals: _Originals
    closing: AsyncExitStack


class Hybrids:
    """Makes what a page shows.

    Args:
        client: Of the service.
        raw_bytes: Larger pictures come as files.
    """

    def __init__(self, client: AsyncClient, raw_bytes: int = RAW_BYTES) -> None:
        self._client, self._raw_bytes = client, raw_bytes
        self._asked = 0
        self._open: _Open | None = None
        self._beginning = asyncio.Lock()
        self._drawing = Drawing(client)
        self._told: _Originals | None = None

    def questions(self) -> Mapping[str, Answering]:
        """``show``: a hybrid, and its originals where they are others than before."""
        return {"show": self._answers}

    async def _answers(self, fields: Fields) -> AsyncIterator[Answer]:
        shown = await self.show(show_of(fields))
        if shown is None:
            yield Answer({"outdated": True})
        else:
            yield Answer({"is_original1": shown.is_original1, "shown": True}, shown.pictures)

    async def show(self, asked: Show) -> Shown | None:
        """Make a hybrid.

        Args:
            asked: Which.

        Returns:
            What there is to show; None where a later request took its place.

        Raises:
            GraftscopeError: If the service refuses it, or cannot be reached.
        """
        self._asked += 1
        number = self._asked
        self._drawing.attend()
        try:
            shown = await self._shown(asked, number)
        except UnavailableError:
            if number != self._asked:
                return None
            # The service ends explorations that rest, and with them those that it refused something
            # in; a new one tells which it was.
            shown = await self._shown(asked, number)
        if number == self._asked:
            self._drawing.look_ahead(asked.model, asked.originals)
        return shown

    async def originals(self, asked: Show) -> LatentPairs:
        """Give the latents of a picture's originals.

        Raises:
            GraftscopeError: If the service refuses it, or cannot be reached.
        """
        first, second = [await self._drawing.latents(asked.model, each) for each in asked.originals]
        return LatentPairs(first, second)

    async def close(self) -> None:
        """End the exploration."""
        self._drawing.attend()
        if self._open is not None:
            was, self._open = self._open, None
            await was.closing.aclose()

    async def _shown(self, asked: Show, number: int) -> Shown | None:
        async with self._beginning:
            if number != self._asked:
                return None
            try:
                current = await self._begun(asked)
            except GraftscopeError:
                await self.close()
                raise
        intervention = asked.intervention()
        explored = None
        if intervention is not None:
            explored = await self._made(current, intervention)
            if explored is None or current.originals != _originals(asked):
                return None
        return self._told_of(asked, current.session.originals, explored)

    async def _begun(self, asked: Show) -> _Open:
        """Have the originals ready that are asked for."""
        current = self._open
        if current is not None and current.originals == _originals(asked):
            return current
        task = await self._task(asked)
        if current is None:
            closing = AsyncExitStack()
            session = await closing.enter_async_context(
                self._client.explore(
                    task.model,
                    originals=task.originals,
                    eight_bits=task.eight_bits,
                    encoding=task.encoding,
                )
            )
            self._open = current = _Open(session, _originals(asked), closing)
        else:
            await current.session.begin(task)
            current.originals = _originals(asked)
        return current

    async def _made(self, current: _Open, intervention: Intervention) -> Explored | None:
        try:
            return await current.session.show(intervention)
        except GraftscopeError:
            if self._open is current:
                await self.close()
            raise

    async def _task(self, asked: Show) -> ExploreTask:
        image = (await self._drawing.model(asked.model)).image
        raw = image.height * image.width * image.channels <= self._raw_bytes
        given = await self.originals(asked)
        return ExploreTask(
            asked.model, originals=given, eight_bits=raw, encoding=None if raw else "png"
        )

    def _told_of(self, asked: Show, originals: Explored, explored: Explored | None) -> Shown:
        pictures = []
        if self._told != _originals(asked):
            pictures = [
                _picture("original1", originals.original1),
                _picture("original2", originals.original2),
            ]
            self._told = _originals(asked)
        if explored is not None:
            pictures.append(_picture("hybrid", explored.hybrid))
        return Shown(tuple(pictures), explored is None)


def _originals(asked: Show) -> _Originals:
    return asked.model, asked.originals


def _picture(name: str, images: Any) -> Picture:
    """The one image of a reply, as the page gets it."""
    first = images[0]
    return Picture(name, first if isinstance(first, bytes) else np.ascontiguousarray(first))
