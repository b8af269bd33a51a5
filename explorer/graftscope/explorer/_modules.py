"""Modules of layers for one page: computed by jobs of the service, told as far as they are."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from graftscope.client import (
    AsyncClient,
    InfluenceResult,
    InfluenceTask,
    Job,
    JobState,
    Json,
    Model,
)
from graftscope.client.errors import JobError
from graftscope.client.values import AnyModules, LayerModules, SoFar
from graftscope.explorer._channels import channels_told
from graftscope.explorer._fields import Fields, text, whole
from graftscope.explorer._findings import Told, found, progress, together
from graftscope.explorer._first_look import FirstLook, beginning, stopped
from graftscope.explorer._told import Answer, Answering

MOST_MODULES = 64
"""Which a page asks a layer to be divided into."""

MOST_PAIRS = 1_000_000
"""Of the maps that modules are found in."""


@dataclass(frozen=True)
class FindModules:
    """Modules of a layer; whatever has to be computed for them begins, or goes on.

    Args:
        model: Its name.
        layer: The layer's.
        k: How many modules.
        pairs: How many pairs of originals their maps are of.
    """

    model: str
    layer: str
    k: int
    pairs: int = 1024

    @property
    def place(self) -> tuple[str, str]:
        """Where they are: of each layer one search goes on at a time."""
        return self.model, self.layer


@dataclass(frozen=True)
class Stop:
    """No more computing for the modules of a layer; what was found stays.

    Args:
        model: Its name.
        layer: The layer's.
    """

    model: str
    layer: str


class SearchedLayers:
    """Finds modules, and tells of them while it does.

    Args:
        client: Of the service.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._first = FirstLook(client)
        self._jobs: dict[tuple[str, str], str] = {}
        self._stopped: set[tuple[str, str]] = set()
        self._searches: dict[tuple[str, str], asyncio.Task[object]] = {}

    def questions(self) -> Mapping[str, Answering]:
        """``modules``: of a layer, as they are found; ``stop``: no more of them."""
        return {"modules": self._found, "stop": self._stop}

    async def _found(self, fields: Fields) -> AsyncIterator[Answer]:
        asked = FindModules(
            text(fields, "model"),
            text(fields, "layer"),
            whole(fields, "k", low=1, high=MOST_MODULES),
            whole({"pairs": 1024, **fields}, "pairs", low=1, high=MOST_PAIRS),
        )
        if before := self._searches.get(asked.place):
            before.cancel()
        if now := asyncio.current_task():
            self._searches[asked.place] = now
        about: dict[str, Json] = {
            "model": asked.model,
            "layer": asked.layer,
            "k": asked.k,
            "pairs": asked.pairs,
        }
        async for answer in self.find(asked):
            yield Answer({**about, **answer.fields}, answer.pictures)

    async def _stop(self, fields: Fields) -> AsyncIterator[Answer]:
        await self.stop(Stop(text(fields, "model"), text(fields, "layer")))
        yield Answer({"stopped": True})

    async def find(self, asked: FindModules) -> AsyncIterator[Answer]:
        """Find modules of a layer.

        Args:
            asked: Which, and how many.

        Yields:
            How far it is, and modules as soon as there are any, until the last ones.

        Raises:
            GraftscopeError: If the service refuses it, or the job fails.
        """
        model, told = await self._client.model(asked.model), Told()
        self._stopped.discard(asked.place)
        if await self._first.is_needed(model, asked.layer, asked.pairs):
            async for answer in self._first_look(asked, model, told):
                yield answer
            if asked.place in self._stopped:
                return
        # Whatever the number of modules, they are found in the maps of the same job.
        job = await self._client.start(InfluenceTask(asked.model, asked.layer, pairs=asked.pairs))
        self._jobs[asked.place] = job.name
        if asked.place in self._stopped:
            # It was stopped while this job did not have its name yet.
            await self._client.cancel(job.name)
        async with aclosing(self._states(job, asked)) as states:
            async for job in states:
                async for answer in self._so_far(job, asked, model, told):
                    yield answer
        _check(job)
        if job.progress.state is JobState.DONE:
            yield await self._at_the_end(job, asked, model)

    async def stop(self, asked: Stop) -> None:
        """Stop computing; the job that it would have been is resumed when it is asked for again."""
        place = (asked.model, asked.layer)
        self._stopped.add(place)
        if (name := self._jobs.get(place)) is not None:
            await self._client.cancel(name)

    async def _first_look(
        self, asked: FindModules, model: Model, told: Told
    ) -> AsyncIterator[Answer]:
        """What a few pairs tell, where a search begins."""
        name = (await self._first.start(asked.model, asked.layer)).name
        self._jobs[asked.place] = name
        async for job in self._first.follow(name):
            yield Answer(progress(beginning(job, asked.pairs)))
        _check(job)
        if job.progress.state is not JobState.DONE:
            self._stopped.add(asked.place)
        if asked.place in self._stopped:
            yield Answer(progress(stopped(job, asked.pairs)))
            return
        part = await self._client.partial(job.name, modules=asked.k)
        assert isinstance(part.influence, InfluenceResult)
        told.map_pairs, now = part.pairs, beginning(job, asked.pairs)
        parts = [channels_told(part.influence, _width(model))]
        # Few pairs may have no such modules; more pairs may.
        if (modules := part.modules.get(model.layer(asked.layer).name)) is not None:
            order = range(modules.k)
            told.note(modules, part.pairs, order)
            parts.append(found(now, modules, part.influence, model, part.pairs, order))
        yield together(now, parts)
        if asked.place in self._stopped:
            yield Answer(progress(stopped(job, asked.pairs)))

    async def _states(self, job: Job, asked: FindModules) -> AsyncGenerator[Job]:
        """Every state of a job, the present one at least, with what it has come to."""
        if job.done:
            yield job
            return
        async for state in self._client.watch(job.name, modules=asked.k, maps=True):
            yield state

    async def _so_far(
        self, job: Job, asked: FindModules, model: Model, told: Told
    ) -> AsyncIterator[Answer]:
        """How far a job is; then maps, and then modules, where they are of more pairs than told."""
        so_far = job.so_far
        maps = None if so_far is None or job.done else so_far.maps
        if so_far is None or maps is None:
            yield Answer(progress(job))
            return
        if maps.pairs > told.map_pairs:
            told.map_pairs = maps.pairs
            yield together(job, [channels_told(maps, _width(model))])
        modules, pairs = await self._modules_so_far(so_far, asked, model, told)
        if modules is None or pairs <= told.pairs:
            yield Answer(progress(job))
            return
        order = told.order(modules)
        told.note(modules, pairs, order)
        yield together(job, [found(job, modules, maps, model, pairs, order)])

    async def _modules_so_far(
        self, so_far: SoFar, asked: FindModules, model: Model, told: Told
    ) -> tuple[LayerModules | AnyModules | None, int]:
        """The latest modules, and the pairs that they were found in."""
        if so_far.modules is not None:
            layer = model.layer(asked.layer).name
            if (modules := so_far.modules.layers.get(layer)) is not None:
                return modules, so_far.modules.pairs
        maps = so_far.maps
        if maps is None or told.pairs:
            return None, 0
        # A job finds modules once it has computed for a while; a first look needs no more than its
        # maps.
        return await self._client.modules(maps.maps, asked.k), maps.pairs

    async def _at_the_end(self, job: Job, asked: FindModules, model: Model) -> Answer:
        part = await self._client.partial(job.name, modules=asked.k)
        modules: LayerModules | AnyModules | None
        modules = part.modules.get(model.layer(asked.layer).name)
        if modules is None:
            modules = await self._client.modules(job.name, asked.k)
        assert isinstance(part.influence, InfluenceResult)
        told = channels_told(part.influence, _width(model))
        order = range(modules.k)
        return together(
            part.job, [found(part.job, modules, part.influence, model, part.pairs, order), told]
        )


def _check(job: Job) -> None:
    if job.progress.state is JobState.FAILED:
        raise JobError(f"the job for the modules of {job.layer} failed: {job.error}")


def _width(model: Model) -> float:
    low, high = model.image.range
    return high - low
