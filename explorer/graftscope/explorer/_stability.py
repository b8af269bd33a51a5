"""How stable each number of modules of a layer is, for one page: told where it is known."""

from collections.abc import AsyncIterator, Mapping

from graftscope.client import (
    AsyncClient,
    Job,
    JobKind,
    JobState,
    Json,
    Method,
    StabilityResult,
    StabilityTask,
)
from graftscope.client.errors import InputError, JobError
from graftscope.explorer._fields import Fields, text
from graftscope.explorer._findings import finite_or_none
from graftscope.explorer._told import Answer, Answering

METHOD = Method.NMF
"""That of the page's modules."""

LATEST = 200
"""Jobs among which one of the same maps is looked for."""


class Stabilities:
    """Tells how stable modules are; the job for that begins where the page says so.

    Args:
        client: Of the service.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def questions(self) -> Mapping[str, Answering]:
        """``stability``: of the maps of a job; ``stop_job`` is what stops it."""
        return {"stability": self._answers}

    async def _answers(self, fields: Fields) -> AsyncIterator[Answer]:
        """Tell what is stored; else follow the job for it, until there is a curve.

        Fields are ``maps``, the name of an influence job that is done, and ``start``: whether a
        job begins where there is none. Without, the answer has ``job: null``.
        """
        name, maps = text(fields, "maps"), await self._maps(text(fields, "maps"))
        jobs = await self._client.jobs(kinds=[JobKind.STABILITY], limit=LATEST)
        of_these = [each for each in jobs if each.maps == maps]
        for each in of_these:
            if each.progress.state is JobState.DONE and (curve := await self._curve(each)):
                yield Answer({**_progress(each), "curve": curve})
                return
        job = next((each for each in of_these if not each.done), None)
        if job is None and fields.get("start") is not True:
            yield Answer({"job": None})
            return
        # What it asks for is what `graftscope stability` asks for by itself: whoever comes
        # second gets the job of the first.
        job = job or await self._client.start(StabilityTask(name))
        async for answer in self._followed(job):
            yield answer

    async def _maps(self, name: str) -> str:
        """The sha256 of a job's maps."""
        job = await self._client.job(name)
        if job.kind is not JobKind.INFLUENCE or job.progress.state is not JobState.DONE:
            raise InputError(
                f"{name} is a job of kind {job.kind} that is {job.progress.state}; stability is "
                "asked of an influence job that is done",
                field="maps",
            )
        return job.maps

    async def _followed(self, job: Job) -> AsyncIterator[Answer]:
        async for state in self._client.watch(job.name):
            job = state
            if job.progress.state is not JobState.DONE:
                yield Answer(_progress(job))
        if job.progress.state is JobState.FAILED:
            raise JobError(f"the job for the stability of modules failed: {job.error}")
        if job.progress.state is JobState.DONE:
            yield Answer({**_progress(job), "curve": await self._curve(job)})

    async def _curve(self, job: Job) -> Json:
        """What a job has come to; None where it was of other methods than the page's."""
        found = await self._client.result(job.name)
        assert isinstance(found, StabilityResult)
        return curve(found) if METHOD in found.methods else None


def curve(found: StabilityResult) -> dict[str, Json]:
    """Say what a page draws: shares from 0 to 1, null where no repeat settled.

    Args:
        found: With the page's method among its methods.
    """
    at = found.methods.index(METHOD)
    suggested = found.suggested[at]
    points: list[Json] = [
        {
            "k": int(k),
            "consistency": finite_or_none(float(found.consistency_mean[at, place])),
            "sd": finite_or_none(float(found.consistency_sd[at, place])),
            "chance": finite_or_none(float(found.chance[at, place])),
            "settled": int(found.settled[at, place]),
        }
        for place, k in enumerate(found.k)
    ]
    return {
        "points": points,
        "repeats": found.repeats,
        "channels": found.channels,
        # The contract says 0 where consistency exceeds chance nowhere.
        "suggested": suggested.k or None,
        "rivals": list[Json](suggested.rivals),
        "reason": suggested.reason,
    }


def _progress(job: Job) -> dict[str, Json]:
    now = job.progress
    return {
        "job": {
            "name": job.name,
            "state": str(now.state),
            "done": job.done,
            "share": now.shards_done / now.shards_total if now.shards_total else 0.0,
            "eta_s": finite_or_none(now.eta_s),
            "jobs_ahead": now.jobs_ahead,
        }
    }
