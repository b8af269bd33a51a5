"""Flows about analyses: start one, ask what it is going to cost, or compute it to its end."""

from dataclasses import replace
from typing import TypeVar, cast

from google.longrunning import operations_pb2

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
    OfMaps,
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


def compute(task: Task, kind: type[Result], of: OfMaps | None = None) -> Flow[Result]:
    """Start an analysis, follow it to its end, and read its result.

    Args:
        task: What to compute.
        kind: What comes of it.
        of: What is known of given maps.
    """
    known = yield from _of_maps(task, of or OfMaps())
    started = yield from start(task)
    found = yield from _operations.wait(started.name)
    if not isinstance(found, kind):
        raise ReplyError(
            f"the server answered with {type(found).__name__} to a request for {kind.__name__}"
        )
    match found:
        case ModulesResult():
            return cast(Result, found.of_maps(known))
        case StabilityResult():
            return cast(Result, replace(found, source=known.source))
    return found


def _ask(task: Task, *, dry_run: bool = False) -> Flow[Job]:
    outbox = Outbox()
    request = request_of((yield from settled(task)), outbox, dry_run=dry_run)
    yield from send_large(outbox)
    operation: operations_pb2.Operation = yield from call(
        lambda stubs: getattr(stubs.analyses, named(type(task))), request
    )
    return job_from(operation)


def _of_maps(task: Task, known: OfMaps) -> Flow[OfMaps]:
    """Ask what maps are of that are an operation's result."""
    maps = getattr(task, "maps", None)
    return (yield from _operations.of_maps(maps)) if isinstance(maps, str) else known
