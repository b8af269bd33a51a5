"""From the client's requests to the contract's messages."""

from typing import Any, TypeAlias, get_args

from google.protobuf.message import Message

from graftscope import codec
from graftscope.client.arrays import text, told
from graftscope.client.errors import InputError
from graftscope.client.interventions import UNIONS as INTERVENTION_UNIONS
from graftscope.client.interventions import Intervention
from graftscope.client.values import (
    ConfidentLabels,
    Encoded,
    ExploreTask,
    HybridsTask,
    HybridTask,
    ImagePairs,
    Images,
    LatentPairs,
    PosteriorTask,
    Prior,
    RelativeError,
    SamplesTask,
    StableLabels,
    Task,
)
from graftscope.client.wire._arrays import Outbox
from graftscope.v1 import model_service_pb2

AnyTask: TypeAlias = Task | SamplesTask | PosteriorTask | HybridsTask | ExploreTask


def named(value: type) -> str:
    """Tell the contract's name of an analysis, of its request's or its result's class."""
    return value.__name__.removesuffix("Task").removesuffix("Result")


def _analysed(task: type) -> type[Message]:
    """The message of an analysis's request."""
    found = codec.message_class(f"{named(task)}Request")
    assert found is not None, task
    return found


UNIONS: codec.Unions = {
    **INTERVENTION_UNIONS,
    "Originals.source": {
        "prior": Prior,
        "encoded": Encoded,
        "images": Images,
        "latents": LatentPairs,
        "image_pairs": ImagePairs,
    },
    "StoppingRule.rule": {
        "relative_standard_error": RelativeError,
        "stable_labels": StableLabels,
        "confident_labels": ConfidentLabels,
    },
}
"""What the members of the contract's oneofs are in values."""

REQUESTS: dict[type, type[Message]] = {
    SamplesTask: model_service_pb2.GenerateRequest,
    PosteriorTask: model_service_pb2.EncodeRequest,
    HybridsTask: model_service_pb2.HybridizeRequest,
    ExploreTask: model_service_pb2.ExploreStart,
    **{task: _analysed(task) for task in get_args(Task)},
}
"""The message of each request; an analysis is named in the contract as it is here."""


def request_of(task: AnyTask, outbox: Outbox, *, dry_run: bool = False) -> Any:
    """Make the message of a request.

    Args:
        task: What is asked for.
        outbox: Places its arrays.
        dry_run: Whether only its cost is asked for.

    Returns:
        The message of the request's class, as `REQUESTS` has it.

    Raises:
        InputError: If the contract cannot say a value.
    """
    if type(task) not in REQUESTS:
        known = ", ".join(kind.__name__ for kind in REQUESTS)
        raise InputError(f"{told(task)} is no request; there are: {known}")
    message = REQUESTS[type(task)]()
    said = task.request()
    if "model" in said:
        said["model"] = model_name(task.model)  # type: ignore[union-attr]  # those have one
    if isinstance(task, HybridTask):
        said["dry_run"] = dry_run
    try:
        codec.fill(message, said, outbox.add, unions=UNIONS)
    except codec.CodecError as error:
        raise InputError(str(error), field=error.field) from error
    return message


def explore_request(
    number: int, start: ExploreTask | None, intervention: Intervention | None, outbox: Outbox
) -> model_service_pb2.ExploreRequest:
    """Make one request of an exploration.

    Args:
        number: Above the last one's.
        start: The originals, where they are new.
        intervention: What is assigned; None for the originals alone.
        outbox: Places arrays.

    Raises:
        InputError: If the contract cannot say a value.
    """
    message = model_service_pb2.ExploreRequest(number=number)
    if start is not None:
        message.start.CopyFrom(request_of(start, outbox))
    if intervention is not None:
        said = {"intervention": intervention}
        try:
            codec.fill(message, said, outbox.add, unions=UNIONS)
        except codec.CodecError as error:
            raise InputError(str(error), field=error.field) from error
    return message


def model_name(name: str) -> str:
    """Make the contract's form of a model's name: ``models/NAME``."""
    if not text("model", name).removeprefix("models/"):
        raise InputError("the model's name is empty", field="model")
    return f"models/{name.removeprefix('models/')}"
