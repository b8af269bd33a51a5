"""Flows about analyses: start one, ask what it is going to cost, or compute it to its end."""

from dataclasses import replace
from typing import TypeVar

from google.longrunning import operations_pb2

from graftscope.client import _asking, _following
from graftscope.client._fixed import fixed_values
from graftscope.client._flow import Flow, call
from graftscope.client._jobs import Estimate, Job
from graftscope.client._layers import LayersResult
from graftscope.client._results import InfluenceResult, ModulesResult
from graftscope.client._sources import Source
from graftscope.client._sweeps import AnalysisResult, MagnitudeResult, StabilityResult
from graftscope.client._tasks import (
    HybridTask,
    InfluenceTask,
    MagnitudeTask,
    ModulesTask,
    StabilityTask,
    Task,
)
from graftscope.client._transfers import send_large
from graftscope.client.errors import ReplyError
from graftscope.client.wire import (
    Outbox,
    influence_request,
    job_from_proto,
    magnitude_request,
    modules_request,
    stability_request,
)

Result = TypeVar("Result", bound=AnalysisResult)


def start(task: Task) -> Flow[Job]:
    """Start an analysis, or find the job of the same specification."""
    return (yield from _ask(task))


def estimate(task: HybridTask) -> Flow[Estimate]:
    """Ask what an analysis is going to cost; nothing is started."""
    job = yield from _ask(task, dry_run=True)
    if job.estimate is None:
        raise ReplyError("the server answered a request for an estimate without one")
    return job.estimate


def _ask(task: Task, *, dry_run: bool = False) -> Flow[Job]:
    outbox = Outbox()
    if isinstance(task, HybridTask) and task.fix:
        # The values need their inputs' types and shapes, which only the server knows.
        held = yield from _asking.model(task.model)
        task = replace(task, fix=fixed_values(task.fix, held))
    # Its request fills the outbox now; the call is made when it is yielded from.
    asked = _call(task, outbox, dry_run)
    yield from send_large(outbox)
    return job_from_proto((yield from asked))


def _call(task: Task, outbox: Outbox, dry_run: bool) -> Flow[operations_pb2.Operation]:
    match task:
        case InfluenceTask():
            influence_wanted = influence_request(task, outbox, dry_run=dry_run)
            return call(lambda stubs: stubs.analyses.Influence, influence_wanted)
        case MagnitudeTask():
            magnitude_wanted = magnitude_request(task, outbox, dry_run=dry_run)
            return call(lambda stubs: stubs.analyses.Magnitude, magnitude_wanted)
        case StabilityTask():
            return call(lambda stubs: stubs.analyses.Stability, stability_request(task, outbox))
        case ModulesTask():
            return call(lambda stubs: stubs.analyses.Modules, modules_request(task, outbox))


def influence(task: InfluenceTask) -> Flow[InfluenceResult]:
    """Compute influence maps."""
    return (yield from _computed(task, InfluenceResult))


def influence_layers(task: InfluenceTask) -> Flow[LayersResult]:
    """Compute influence maps of several layers."""
    return (yield from _computed(task, LayersResult))


def modules(task: ModulesTask, source: Source | None = None) -> Flow[ModulesResult]:
    """Find modules.

    Args:
        task: What to find.
        source: What the maps are of, where the task holds them and that is known.
    """
    of = yield from _source(task.maps, source)
    found = yield from _computed(task, ModulesResult)
    return replace(found, source=of)


def stability(task: StabilityTask, source: Source | None = None) -> Flow[StabilityResult]:
    """Find out how stable modules are; the arguments are those of `modules`."""
    of = yield from _source(task.maps, source)
    found = yield from _computed(task, StabilityResult)
    return replace(found, source=of)


def magnitude(task: MagnitudeTask) -> Flow[MagnitudeResult]:
    """Find out how much modules change the image."""
    return (yield from _computed(task, MagnitudeResult))


def _computed(task: Task, kind: type[Result]) -> Flow[Result]:
    """Start an analysis, follow it to its end, and read its result."""
    started = yield from start(task)
    found = yield from _following.finish(started.name)
    if not isinstance(found, kind):
        raise ReplyError(
            f"the server answered with {type(found).__name__} to a request for {kind.__name__}"
        )
    return found


def _source(maps: object, known: Source | None) -> Flow[Source | None]:
    """Ask what maps are of that are an operation's result."""
    if not isinstance(maps, str):
        return known
    job = yield from _following.job(maps)
    model = job.model.partition("@")[0]
    return Source(model, job.model_digest, job.layer, job.name)
