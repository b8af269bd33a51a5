"""One page's conversation: questions in, answers out, several at a time.

A question is ``{"id": 7, "ask": "show", ...}``: the page numbers its questions, and every answer
carries the number. What can be asked is said by the topics, each of which is one line here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

from starlette.websockets import WebSocket, WebSocketDisconnect

from graftscope.client import AsyncClient, GraftscopeError
from graftscope.client.errors import InputError, InternalError
from graftscope.explorer._fields import LAST_NUMBER, Fields, fields_of, whole
from graftscope.explorer._hybrids import Hybrids
from graftscope.explorer._jobs import Jobs
from graftscope.explorer._models import Models
from graftscope.explorer._modules import SearchedLayers
from graftscope.explorer._photographs import Photographs
from graftscope.explorer._recipes import Recipes
from graftscope.explorer._regions import Regions
from graftscope.explorer._stability import Stabilities
from graftscope.explorer._taking import Taking
from graftscope.explorer._told import Answer, Answering, Topic, failure, message
from graftscope.explorer._torch import TorchCode
from graftscope.explorer._way import Way

_log = logging.getLogger(__name__)

MOST_QUESTIONS = 128
"""That one page has unanswered; those after them are not read before."""

_NO_NUMBER = 0
"""Of a question that has none."""


class Talk:
    """Answers one page for as long as it is open.

    Args:
        socket: To the page, accepted.
        client: Of the service.
        way: To the service, for those who go there without the page.
    """

    def __init__(self, socket: WebSocket, client: AsyncClient, way: Way) -> None:
        self._socket = socket
        self._hybrids = Hybrids(client)
        topics: tuple[Topic, ...] = (
            Models(client),
            self._hybrids,
            SearchedLayers(client),
            Recipes(client, way),
            TorchCode(client, way),
            Photographs(client),
            Taking(client, self._hybrids),
            Regions(client, way),
            Stabilities(client),
            Jobs(client),
        )
        self._questions: dict[str, Answering] = {
            name: answering for topic in topics for name, answering in topic.questions().items()
        }
        self._tasks: set[asyncio.Task[None]] = set()

    async def hold(self) -> None:
        """Answer until the page is gone."""
        try:
            while True:
                task = asyncio.create_task(self._answered(await self._socket.receive_text()))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                while len(self._tasks) >= MOST_QUESTIONS:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        except (WebSocketDisconnect, KeyError):
            # A page sends no bytes; whatever does is not one of ours, and is left alone.
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._hybrids.close()

    async def _answered(self, heard: str) -> None:
        number = _NO_NUMBER
        try:
            fields = fields_of(heard)
            number = whole(fields, "id", low=1, high=LAST_NUMBER)
            async for answer in self._answers(fields):
                await self._tell(message(number, answer))
        except GraftscopeError as error:
            await self._tell(message(number, failure(error)))
        except Exception:
            _log.exception("answering %.1000s", heard)
            unforeseen = InternalError("the explorer failed unexpectedly; its log says why")
            await self._tell(message(number, failure(unforeseen)))

    def _answers(self, fields: Fields) -> AsyncIterator[Answer]:
        word = fields.get("ask")
        if not isinstance(word, str) or word not in self._questions:
            known = ", ".join(self._questions)
            raise InputError(f"ask {word!r} is unknown; there are: {known}", field="ask")
        return self._questions[word](fields)

    async def _tell(self, answer: str | bytes) -> None:
        try:
            if isinstance(answer, str):
                await self._socket.send_text(answer)
            else:
                await self._socket.send_bytes(answer)
        except (WebSocketDisconnect, RuntimeError):
            # The page is gone; `hold` is about to find out.
            pass
