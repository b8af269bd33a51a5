"""The service's jobs for one page: the latest, and what becomes of them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from graftscope.client import AsyncClient, GraftscopeError, Job, JobKind, JobState, Json
from graftscope.explorer._fields import Fields, text
from graftscope.explorer._findings import finite_or_none
from graftscope.explorer._told import Answer, Answering

MOST = 50
"""Jobs that a page is told of, the latest."""

MOST_WATCHED = 8
"""Jobs that are followed at a time, of those that have not ended."""

AGAIN_S = 10.0
"""Seconds until it is looked for new jobs; those that are known tell of themselves."""


class Jobs:
    """Tells of jobs, and stops them.

    Args:
        client: Of the service.
        again_s: After so many seconds it is looked for new ones.
    """

    def __init__(self, client: AsyncClient, again_s: float = AGAIN_S) -> None:
        self._client, self._again_s = client, again_s
        self._following: asyncio.Task[object] | None = None

    def questions(self) -> Mapping[str, Answering]:
        """Name what can be asked.

        ``jobs``: the latest, and each again when it changes, until ``jobs_closed``; ``stop_job``:
        no more of one; ``searched``: of which layers of a model influence was found, in how many
        pairs.
        """
        return {
            "jobs": self._follow,
            "jobs_closed": self._close,
            "stop_job": self._stop,
            "searched": self._searched,
        }

    async def _follow(self, _fields: Fields) -> AsyncIterator[Answer]:
        self._end()
        self._following = asyncio.current_task()
        while True:
            latest = await self._client.jobs(limit=MOST)
            yield Answer({"jobs": [described(each, latest) for each in latest]})
            going_on = [each for each in latest if not each.done][:MOST_WATCHED]
            async with self._changes(going_on) as changes:
                async for job in until(changes, self._again_s):
                    yield Answer({"job": described(job, latest)})
                    if job.done:
                        break

    async def _close(self, _fields: Fields) -> AsyncIterator[Answer]:
        self._end()
        yield Answer({"closed": True})

    async def _stop(self, fields: Fields) -> AsyncIterator[Answer]:
        await self._client.cancel(text(fields, "name"))
        yield Answer({"stopped": True})

    async def _searched(self, fields: Fields) -> AsyncIterator[Answer]:
        model = await self._client.model(text(fields, "model"))
        found = await self._client.jobs(
            states=[JobState.DONE], kinds=[JobKind.INFLUENCE], model=model.name, limit=MOST
        )
        layers = {name: each.name for each in model.layers for name in (each.name, each.level)}
        searched: list[Json] = [
            {"layer": layers[each.layer], "pairs": each.pairs}
            for each in found
            if each.layer in layers and each.model_digest == model.digest
        ]
        yield Answer({"model": model.name, "searched": searched})

    def _end(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None

    @asynccontextmanager
    async def _changes(self, jobs: Sequence[Job]) -> AsyncIterator[asyncio.Queue[Job]]:
        """Every change of some jobs."""
        changes: asyncio.Queue[Job] = asyncio.Queue()

        async def watch(name: str) -> None:
            with suppress(GraftscopeError):  # The next list of jobs tells what became of it.
                async for job in self._client.watch(name):
                    await changes.put(job)

        watching = [asyncio.create_task(watch(each.name)) for each in jobs]
        try:
            yield changes
        finally:
            for each in watching:
                each.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


async def until(changes: asyncio.Queue[Job], seconds: float) -> AsyncIterator[Job]:
    """Give changes as they come, for so many seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left_s := end - loop.time()) > 0:
        try:
            job = await asyncio.wait_for(changes.get(), left_s)
        except TimeoutError:
            return
        yield job


def described(job: Job, among: Sequence[Job]) -> dict[str, Json]:
    """Say what a page shows of a job.

    Args:
        job: The job.
        among: Jobs of which one may have given the maps that it is about.
    """
    now = job.progress
    influences = [each for each in among if each.kind is JobKind.INFLUENCE and each.maps]
    of = next((each for each in influences if each.maps == job.maps), job)
    return {
        "name": job.name,
        "kind": str(job.kind),
        "model": of.model,
        "layer": of.layer,
        "state": str(now.state),
        "done": job.done,
        "pairs": of.pairs,
        "share": now.shards_done / now.shards_total if now.shards_total else 0.0,
        "eta_s": finite_or_none(now.eta_s),
        "jobs_ahead": now.jobs_ahead,
        "created_s": None if job.created is None else job.created.timestamp(),
        "error": job.error,
        "owner": job.owner,
    }
