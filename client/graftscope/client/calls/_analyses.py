"""Flows about analyses: start one, ask what it is going to cost, or compute it to its end."""

from dataclasses import replace
from typing import TypeVar

from google.longrunning import operations_pb2

from graftscope.client.arrays import Source
from graftscope.client.calls import _operations
from graftscope.client.calls._flow import Flow, call
from graftscope.client.calls._models import settled
from graftscope.client.calls._transfers import send_large
from graftscope.client.errors import ReplyError
from graftscope.client.values import (
    AnalysisResult,
    Estimate,
    HybridTask,
    Job,
    ModulesResult,
    StabilityResult,
    Task,
)
from graftscope.client.wire import Outbox, job_from, named, request_of

Result = TypeVar("Result", bound=AnalysisResult)


def start(task: Task) -> Flow[Job]:
    """Start an analysis without waiting for it.

    Args:
        task: What to compute.

    Returns:
        The job, which may be an earlier one of the same specification.
    """
    return (yield from _ask(task))


def estimate(task: HybridTask) -> Flow[Estimate]:
    """Ask what influence maps or a magnitude are going to cost; nothing is started.

    Args:
        task: What would be computed.

    Returns:
        Time, hybrids and bytes.
    """
    job = yield from _ask(task, dry_run=True)
    if job.estimate is None:
        raise ReplyError("the server answered a request for an estimate without one")
    return job.estimate


def compute(task: Task, kind: type[Result], source: Source | None = None) -> Flow[Result]:
    """Start an analysis, follow it to its end, and read its result.

    Args:
        task: What to compute.
        kind: What comes of it.
        source: What given maps are of, if that is known.
    """
    of = yield from _source(task, source)
    started = yield from start(task)
    found = yield from _operations.wait(started.name)
    if not isinstance(found, kind):
        raise ReplyError(
            f"the server answered with {type(found).__name__} to a request for {kind.__name__}"
        )
    return (
        replace(found, source=of) if isinstance(found, ModulesResult | StabilityResult) else found
    )


def _ask(task: Task, *, dry_run: bool = False) -> Flow[Job]:
    outbox = Outbox()
    request = request_of((yield from settled(task)), outbox, dry_run=dry_run)
    yield from send_large(outbox)
    operation: operations_pb2.Operation = yield from call(
        lambda stubs: getattr(stubs.analyses, named(type(task))), request
    )
    return job_from(operation)


def _source(task: Task, known: Source | None) -> Flow[Source | None]:
    """Ask what maps are of that are an operation's result."""
    maps = getattr(task, "maps", None)
    if not isinstance(maps, str):
        return known
    job = yield from _operations.job(maps)
    model = job.model.partition("@")[0]
    return Source(model, job.model_digest, job.layer, job.name)
