"""Explore: hybrids of the same originals, for those who drag.

The originals, and what lies above an intervention, are kept for as long as the stream lasts.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import (
    Catalogue,
    Exploration,
    Generator,
    Intervention,
    Need,
    PairSource,
    Shown,
    exploration_bytes,
)
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import OriginalsSpec
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._calls import note
from graftscope.server.rpc._image_files import Encoding, encode_images, parse_encoding, to_bytes
from graftscope.server.rpc._interactive_runs import InteractiveRuns
from graftscope.server.rpc._latest import Asked, Inbox, Turn, latest
from graftscope.server.rpc._model_calls import ModelCall, distinct_images
from graftscope.server.rpc._replies import plain_execution
from graftscope.server.rpc._subjects import subject_of
from graftscope.v1 import model_service_pb2

MOST_PAIRS = 16
"""Of an exploration: what one run may hold."""

_Images = NDArray[np.generic] | list[bytes]
_Value = TypeVar("_Value")


@dataclass(frozen=True, eq=False)
class _Originals:
    """What was begun: the originals, and how images are sent.

    Attributes:
        generator: of which model.
        spec: where the pairs come from.
        fixed: names of inputs that are the same in all of them.
        source: gives the pairs.
        pairs: their indices.
        exploration: makes images of them.
        encoding: of files; None for arrays.
        eight_bits: whether arrays are of levels.
        arrays: of the request, which interventions may rely on.
        held: what they hold of memory, until they are closed.
    """

    generator: Generator
    spec: OriginalsSpec
    fixed: frozenset[str]
    source: PairSource
    pairs: range
    exploration: Exploration
    encoding: Encoding | None
    eight_bits: bool
    arrays: Arrays
    held: AsyncExitStack

    def finished(self, shown: Shown) -> dict[str, _Images]:
        """The images of a response by its fields, as they are sent."""
        return {name: self._sent(x) for name, x in vars(shown).items() if x is not None}

    def _sent(self, images: NDArray[np.float32]) -> _Images:
        image = self.generator.manifest.image
        if self.encoding is not None:
            return encode_images(images, self.encoding, image)
        return to_bytes(images, image) if self.eight_bits else images


class Explorer:
    """Answers explorations.

    Args:
        catalogue: the models.
        arrays: reads and writes arrays.
        runs: makes what is asked for.
    """

    def __init__(self, catalogue: Catalogue, arrays: Arrays, runs: InteractiveRuns) -> None:
        self._catalogue, self._arrays, self._runs = catalogue, arrays, runs

    async def replies(
        self, requests: AsyncIterator[model_service_pb2.ExploreRequest]
    ) -> AsyncGenerator[bytes]:
        """Answers to what was asked last, serialised, until there are no more requests."""
        inbox = Inbox()
        reading = asyncio.create_task(inbox.read(requests))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(_ended, reading)
            originals: _Originals | None = None
            answered = -1
            while (asked := await inbox.arrived()) is not None:
                inbox.take(asked)
                is_new = asked.request.HasField("start")
                if is_new:
                    if originals is not None:
                        await originals.held.aclose()
                    originals = await _apart(self._begun(asked.request.start))
                    stack.push_async_callback(originals.held.aclose)
                if originals is None:
                    raise InvalidInput(
                        "the first request has no start, which says what is explored",
                        field="start",
                    )
                turn, images = await self._made(inbox, originals, asked, is_new=is_new)
                response = model_service_pb2.ExploreResponse(
                    number=turn.asked.request.number, dropped=turn.asked.place - answered - 1
                )
                answered = turn.asked.place
                if is_new:
                    await _describe(response, originals)
                yield await self._with_images(response, images)

    async def _begun(self, start: model_service_pb2.ExploreStart) -> _Originals:
        note(**subject_of(start))
        generator = self._catalogue.find(start.model)
        encoding = parse_encoding(start.encoding, generator.manifest.image)
        if encoding is not None and start.eight_bits:
            raise InvalidInput(
                "eight_bits is for images without an encoding; leave one of the two out",
                field="eight_bits",
            )
        arrays = self._arrays.for_one_call()
        spec, source, pairs = await self._call(generator, arrays).pairs(start.pairs, "pairs")
        if len(pairs) > MOST_PAIRS:
            raise InvalidInput(
                f"{len(pairs)} pairs are more than one run holds; at most {MOST_PAIRS} can be "
                "explored at a time",
                field="pairs.count",
            )
        note(pairs=len(pairs), device=generator.backend.memory)
        held = AsyncExitStack()
        need = _need(generator, len(pairs), files=encoding is not None)
        await held.enter_async_context(self._arrays.memory.held_in_call(need))
        exploration = Exploration(generator, lambda: source.latents(pairs), len(pairs))
        self._runs.explorations.follow(exploration)
        return _Originals(
            generator=generator,
            spec=spec,
            fixed=frozenset(start.pairs.fix.inputs),
            source=source,
            pairs=pairs,
            exploration=exploration,
            encoding=encoding,
            eight_bits=start.eight_bits,
            arrays=arrays,
            held=held,
        )

    async def _made(
        self, inbox: Inbox, originals: _Originals, asked: Asked, *, is_new: bool
    ) -> tuple[Turn, dict[str, _Images]]:
        """The images of a request, or of one that came later and before its run began."""

        async def parse(asked: Asked) -> Intervention | None:
            if not asked.request.HasField("intervention"):
                return None
            call = self._call(originals.generator, originals.arrays.for_one_call())
            message = asked.request.intervention
            parsed = call.intervention(message, originals.spec, originals.fixed)
            return await _apart(parsed)

        turn = Turn(asked, await parse(asked))
        making = asyncio.ensure_future(
            self._runs.explored(
                originals.exploration, originals.source, turn, originals.finished, originals=is_new
            )
        )
        try:
            is_open = originals.exploration.is_open
            return turn, await latest(inbox, turn, making, parse, is_open)
        finally:
            await _ended(making)

    def _call(self, generator: Generator, arrays: Arrays) -> ModelCall:
        return ModelCall(self._catalogue, generator, arrays, self._runs)

    async def _with_images(
        self, response: model_service_pb2.ExploreResponse, images: dict[str, _Images]
    ) -> bytes:
        arrays = dict[str, NDArray[np.generic]]()
        for name, made in images.items():
            if isinstance(made, list):
                await self._arrays.fill_files(getattr(response, name), made)
            else:
                arrays[name] = made
        return await self._arrays.packed(response, arrays)


def _need(generator: Generator, count: int, *, files: bool) -> Need:
    what = f"exploring {count} pair{'' if count == 1 else 's'}"
    number = exploration_bytes(generator, count, files=files)
    return Need(number, what, "explore fewer pairs at a time", "pairs.count")


async def _describe(response: model_service_pb2.ExploreResponse, originals: _Originals) -> None:
    generator = originals.generator
    response.execution.CopyFrom(plain_execution(generator.manifest.digest, generator.backend))
    response.distinct_images = await distinct_images(originals.source, originals.pairs)


async def _apart(work: Coroutine[Any, Any, _Value]) -> _Value:
    """Work in a task of its own: memory for what it reads is its own, and not the stream's."""
    return await asyncio.create_task(work)


async def _ended(task: "asyncio.Future[Any]") -> None:
    """Ends a task, and waits for it; what became of it is asked elsewhere."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
