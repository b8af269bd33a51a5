"""Flows about models and what they generate while the caller waits."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from graftscope.client import hooks
from graftscope.client.arrays import file_name
from graftscope.client.calls._channel import Stubs
from graftscope.client.calls._flow import Flow, Ranges, Recall, call
from graftscope.client.calls._transfers import fetch_all, send_large
from graftscope.client.errors import InputError, NotFoundError
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
    asking_channels,
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
    return (yield from _described(name))


def _described(name: str) -> Flow[Model]:
    request = model_service_pb2.GetModelRequest(name=model_name(name))
    reply = yield from call(lambda stubs: stubs.models.GetModel, request)
    return model_from(reply.model)


def register(bundle: str | Path) -> Flow[Model]:
    """Have the server serve a bundle from now on, also after it is started again.

    Only a server that allows it takes models (`graftscope serve --allow-registration`), and
    only of an admin where it asks for tokens. It tries the model in a child process with
    limits first. A bundle that is served already, with the same digest, stays as it is.

    Args:
        bundle: The bundle's folder.

    Returns:
        The model, as the server has it.
    """
    folder = Path(file_name(bundle))
    text, listed = _read_manifest(folder)
    for name, sha256 in listed.items():
        content = np.fromfile(folder / name, np.uint8)
        if hashlib.sha256(content.data).hexdigest() != sha256:
            raise InputError(f"bundle {str(folder)!r}: file {name!r} is damaged")
        outbox = Outbox(limit_bytes=0)
        outbox.add(content)
        yield from send_large(outbox)
    request = model_service_pb2.RegisterModelRequest(manifest_json=text)
    reply = yield from call(lambda stubs: stubs.models.RegisterModel, request)
    return model_from(reply.model)


def unregister(name: str) -> Flow[None]:
    """Have the server no longer serve a model that was registered.

    Jobs that run on it go on; those that wait for their turn fail.

    Args:
        name: Its name, with ``@DIGEST`` to insist on one version.
    """
    request = model_service_pb2.DeleteModelRequest(name=model_name(name))
    yield from call(lambda stubs: stubs.models.DeleteModel, request)


def torch_code(model: str, layer: str, modules: Mapping[int, Sequence[int]]) -> Flow[str]:
    """Write modules as code for PyTorch: a hook of the layer, and each module's channels.

    Args:
        model: The model's name, with ``@DIGEST`` to insist on one version.
        layer: A layer's name, or a level's.
        modules: The channels of each module, by its number.

    Returns:
        Python code. It works on a variable `model`, the generator as a PyTorch module.
    """
    held = yield from _described(model)
    return hooks.torch_code(held, held.layer(layer), modules)


def _read_manifest(folder: Path) -> tuple[str, dict[str, str]]:
    """The text of a bundle's manifest, and the sha256 of each file; the server checks the rest."""
    path = folder / "manifest.json"
    try:
        text = path.read_text(encoding="utf-8")
        listed = {str(each["name"]): str(each["sha256"]) for each in json.loads(text)["files"]}
    except FileNotFoundError as error:
        raise NotFoundError(f"{str(folder)!r} is no bundle: it has no manifest.json") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is no manifest of a bundle") from error
    for name in listed:
        if Path(name).name != name or not (folder / name).is_file():
            raise InputError(f"bundle {str(folder)!r} lacks its file {name!r}")
    return text, listed


def images(
    task: SamplesTask | PosteriorTask | HybridsTask,
) -> Flow[Samples | SampleFiles | Posterior | HybridResult | HybridFiles]:
    """Generate, encode or make hybrids: whatever is answered at once."""
    outbox = Outbox()
    request = request_of((yield from settled(task)), outbox)
    yield from send_large(outbox)
    reply: Message = yield from call(lambda stubs: _method(stubs, task), request)
    found = images_from(reply, (yield from fetch_all(arrays_of(reply))), task)
    if isinstance(found, Samples | HybridResult):
        return replace(found, image_range=(yield from _image_range(found)))
    return found


def _image_range(of: Samples | HybridResult) -> Flow[tuple[float, ...]]:
    """The range of a model's images, asked once a version; none where that was just taken away."""
    ranges = cast(Ranges, (yield Recall()))
    digest = of.execution.model_digest
    if digest not in ranges:
        try:
            held = yield from model(f"{of.model}@{digest}" if digest else of.model)
        except NotFoundError:
            return ()
        ranges[digest] = held.image.range
    return ranges[digest]


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
    """Compare a task with its model, where that is needed, which only the server knows.

    Fixed values get their inputs' types and shapes; a mask of channels must be as long as its layer
    has channels, and modules must be of that layer.
    """
    is_fixed, asking = bool(getattr(task, "fix", None)), asking_channels(task)
    if not is_fixed and not asking:
        return task
    held = yield from model(cast(Any, task).model)
    for layer, channels in asking:
        channels.require(held, layer)
    return cast(Asked, fixed(task, held)) if is_fixed else task


def _method(stubs: Stubs, task: SamplesTask | PosteriorTask | HybridsTask) -> Any:
    match task:
        case SamplesTask():
            return stubs.models.Generate
        case PosteriorTask():
            return stubs.models.Encode
        case HybridsTask():
            return stubs.models.Hybridize
