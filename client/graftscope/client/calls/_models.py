"""Flows about models and what they generate while the caller waits."""

from typing import Any, TypeVar, cast

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from graftscope.client.calls._channel import Stubs
from graftscope.client.calls._flow import Flow, call
from graftscope.client.calls._transfers import fetch_all, send_large
from graftscope.client.models import Model
from graftscope.client.values import (
    HybridFiles,
    HybridResult,
    HybridsTask,
    Posterior,
    PosteriorTask,
    SampleFiles,
    Samples,
    SamplesTask,
    Strip,
    StripTask,
    fixed,
)
from graftscope.client.wire import (
    AnyTask,
    Outbox,
    arrays_of,
    images_from,
    model_from,
    model_name,
    request_of,
)
from graftscope.v1 import model_service_pb2

Asked = TypeVar("Asked", bound=AnyTask)


def models() -> Flow[tuple[Model, ...]]:
    """List the server's models."""
    found: list[Model] = []
    token = ""
    while True:
        request = model_service_pb2.ListModelsRequest(page_token=token)
        page = yield from call(lambda stubs: stubs.models.ListModels, request)
        found += [model_from(model) for model in page.models]
        token = page.next_page_token
        if not token:
            return tuple(found)


def model(name: str) -> Flow[Model]:
    """Describe one model.

    Args:
        name: Its name, with ``@DIGEST`` to insist on one version.

    Returns:
        The model.
    """
    request = model_service_pb2.GetModelRequest(name=model_name(name))
    reply = yield from call(lambda stubs: stubs.models.GetModel, request)
    return model_from(reply.model)


def images(
    task: SamplesTask | PosteriorTask | HybridsTask,
) -> Flow[Samples | SampleFiles | Posterior | HybridResult | HybridFiles]:
    """Generate, encode or make hybrids: whatever is answered at once."""
    outbox = Outbox()
    request = request_of((yield from settled(task)), outbox)
    yield from send_large(outbox)
    reply: Message = yield from call(lambda stubs: _method(stubs, task), request)
    return images_from(reply, (yield from fetch_all(arrays_of(reply))), task)


def strip(task: StripTask) -> Flow[Strip]:
    """Make hybrids of several strengths: a call each, of the same pairs."""
    held = yield from model(task.model)
    made = {}
    # Of strength 0 nothing is left to compute; by itself it needs the originals.
    for strength in sorted(set(task.strengths) - {0.0}) or [1.0]:
        found = yield from images(task.at(strength))
        assert isinstance(found, HybridResult)
        made[strength] = found
    any_of = next(iter(made.values()))
    start = any_of.original1 if any_of.photograph1 is None else any_of.photograph1
    changed = {0.0: start, **{each: _edited(found) for each, found in made.items()}}
    return Strip(
        strengths=np.array(task.strengths, np.float64),
        images=np.stack([changed[each] for each in task.strengths]),
        original1=start,
        original2=any_of.original2,
        intervention=str(task.meant()),
        image_range=held.image.range,
        distinct_images=any_of.distinct_images,
        execution=any_of.execution,
        model=any_of.model,
        takes_original2=task.meant().takes_original2,
    )


def _edited(found: HybridResult) -> NDArray[np.float32]:
    """The hybrid, or the photograph with what it changes; not clipped, that a strip shows it."""
    if found.photograph1 is None:
        return found.hybrid
    return found.photograph1 + (found.hybrid - found.original1)


def settled(task: Asked) -> Flow[Asked]:
    """Give fixed values their inputs' types and shapes, which only the server knows."""
    if not getattr(task, "fix", None):
        return task
    held = yield from model(cast(Any, task).model)
    return cast(Asked, fixed(task, held))


def _method(stubs: Stubs, task: SamplesTask | PosteriorTask | HybridsTask) -> Any:
    match task:
        case SamplesTask():
            return stubs.models.Generate
        case PosteriorTask():
            return stubs.models.Encode
        case HybridsTask():
            return stubs.models.Hybridize
