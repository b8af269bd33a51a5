"""A first look at the modules of a layer that nobody has asked for: of a few pairs, in seconds.

The first maps of a long search are of 32 pairs on each core, and then a process that groups
channels has to start. A first look is a job of fewer pairs, which goes first, and has the process
started meanwhile. It is rough, and says of how many pairs it is.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from graftscope.client import (
    AsyncClient,
    GraftscopeError,
    InfluenceTask,
    Job,
    JobKind,
    JobState,
    Model,
    ModulesTask,
)

FEW = 8
"""Pairs of a first look: a quarter of what the maps of a search begin with."""

WORTH = 4 * FEW
"""A search of no more pairs needs no first look."""

_LATEST = 200
"""Jobs among which a search is looked for."""


class FirstLook:
    """Looks at layers.

    Args:
        client: Of the service.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def is_needed(self, model: Model, layer: str, pairs: int) -> bool:
        """Tell whether a search has nothing to go on from."""
        if pairs <= WORTH:
            return False
        found = model.layer(layer)
        before = await self._client.jobs(kinds=[JobKind.INFLUENCE], model=model.name, limit=_LATEST)
        return not any(
            each.layer in (found.name, found.level)
            and each.pairs == pairs
            and each.progress.state is not JobState.FAILED
            for each in before
        )

    async def start(self, model: str, layer: str) -> Job:
        """Begin with a few pairs."""
        return await self._client.start(InfluenceTask(model, layer, pairs=FEW))

    async def follow(self, name: str) -> AsyncIterator[Job]:
        """Follow what was begun, to its end."""
        warming = asyncio.create_task(self._warm())
        try:
            async for state in self._client.watch(name):
                yield state
            await warming
        finally:
            warming.cancel()

    async def _warm(self) -> None:
        """Have a process that groups channels started: it stays for a minute."""
        # One that was grouped before would be answered without.
        noise = np.random.default_rng().random((4, 8, 8))
        with suppress(GraftscopeError):
            job = await self._client.start(ModulesTask(noise, k=2))
            async for _ in self._client.watch(job.name):
                pass
            await self._client.delete(job.name)


def beginning(job: Job, pairs: int) -> Job:
    """Tell of a first look as of the search of so many pairs that goes on after it."""
    state = JobState.RUNNING if job.progress.state is JobState.DONE else job.progress.state
    now = replace(job.progress, state=state, shards_done=0, eta_s=None)
    return replace(job, progress=now, done=job.done and state is not JobState.RUNNING, pairs=pairs)


def stopped(job: Job, pairs: int) -> Job:
    """Tell of a first look as of the search of so many pairs that does not begin after it."""
    now = replace(job.progress, state=JobState.CANCELLED, shards_done=0)
    return replace(job, progress=now, done=True, pairs=pairs)
