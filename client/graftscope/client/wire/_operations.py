"""From the contract's operations to jobs."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from google.longrunning import operations_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from graftscope import codec
from graftscope.client.errors import ReplyError, VersionError
from graftscope.client.values import (
    ConfidentLabels,
    Estimate,
    Job,
    JobKind,
    Progress,
    RelativeError,
    StableLabels,
    Until,
    ruled,
)
from graftscope.client.version import client_version
from graftscope.client.wire._requests import UNIONS
from graftscope.v1 import analysis_service_pb2

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Ruled:
    """The contract's `StoppingRule`."""

    rule: RelativeError | StableLabels | ConfidentLabels | None
    together: bool = False


def metadata_of(operation: operations_pb2.Operation) -> analysis_service_pb2.AnalysisMetadata:
    """Unpack an operation's metadata.

    Raises:
        ReplyError: If it is not that of an analysis.
    """
    metadata = analysis_service_pb2.AnalysisMetadata()
    if not operation.metadata.Unpack(metadata):
        raise ReplyError(
            f"operation {operation.name!r} is not an analysis: its metadata is"
            f" {operation.metadata.type_url!r}"
        )
    return metadata


def job_from(operation: operations_pb2.Operation) -> Job:
    """Read an operation.

    Raises:
        ReplyError: If it is not an analysis.
        VersionError: If its kind or its state is one that this client does not know.
    """
    metadata = metadata_of(operation)
    return made(
        metadata,
        Job,
        name=operation.name,
        kind=_kind(metadata),
        model=model_of(metadata),
        layer=_layers(metadata),
        progress=progress_from(metadata.progress),
        estimate=_estimate(metadata),
        created=_time(metadata, "create_time"),
        ended=_time(metadata, "end_time"),
        expires=_time(metadata, "expire_time"),
        done=operation.done,
        error=operation.error.message,
        until=until_of(metadata),
        attempts=metadata.attempts or 1,
        pairs=metadata.influence.pairs.count,
        maps=_maps(metadata, operation),
    )


def took_s(metadata: analysis_service_pb2.AnalysisMetadata) -> float:
    """Tell the seconds from when a job was first asked for to its end; NaN before that."""
    created, ended = _time(metadata, "create_time"), _time(metadata, "end_time")
    return (ended - created).total_seconds() if created and ended else math.nan


def model_of(metadata: analysis_service_pb2.AnalysisMetadata) -> str:
    """Tell the model's name; empty for an analysis of maps."""
    return str(getattr(_asked(metadata), "model", "")).removeprefix("models/")


def until_of(metadata: analysis_service_pb2.AnalysisMetadata) -> Until | None:
    """Tell what may end a job early; None where there is no rule."""
    found = made(metadata.influence.until, _Ruled)
    return ruled(found.rule, found.together) if found.rule else None


def progress_from(message: analysis_service_pb2.Progress) -> Progress:
    """Read how far a job is; an estimate's job was never queued, and counts as that."""
    eta_s = message.eta.ToMicroseconds() / 1e6 if message.HasField("eta") else None
    return made(message, Progress, eta_s=eta_s)


def made(message: Message, kind: type[Value], /, **given: object) -> Value:
    """Make a value of a message without arrays.

    Raises:
        VersionError: If it says what this client does not know.
    """
    try:
        return codec.made(message, kind, _no_array, unions=UNIONS, **given)
    except codec.UnknownNumberError as error:
        raise newer(error) from error


def newer(error: codec.UnknownNumberError) -> VersionError:
    """Say what another version's number means for this client."""
    return VersionError(
        f"{str(error).partition(';')[0]} to this client ({client_version()}): the server may be"
        " newer; upgrade the client"
    )


def _no_array(array: object, name: str, wanted: object) -> None:
    raise ReplyError(f"the server sent an array {name!r} where none belongs")


def _maps(
    metadata: analysis_service_pb2.AnalysisMetadata, operation: operations_pb2.Operation
) -> str:
    found = analysis_service_pb2.InfluenceResponse()
    if metadata.HasField("influence") and operation.response.Unpack(found):
        return found.maps.artifact.sha256
    asked = metadata.modules if metadata.HasField("modules") else metadata.stability
    return asked.maps.artifact.sha256


def _layers(metadata: analysis_service_pb2.AnalysisMetadata) -> str:
    asked = metadata.influence.each_intervention.interventions
    edited = dict.fromkeys(edit.layer for each in asked for edit in each.edits)
    request = _asked(metadata)
    named = getattr(request, "layers", ())
    several = (*metadata.influence.each_layer.layers, *named, *edited)
    return getattr(request, "layer", "") or ", ".join(several)


def _asked(metadata: analysis_service_pb2.AnalysisMetadata) -> Message | None:
    """The request that would give it again; None of a kind that is unknown to this client."""
    kind = metadata.WhichOneof("specification")
    return None if kind is None else getattr(metadata, kind)


def _kind(metadata: analysis_service_pb2.AnalysisMetadata) -> JobKind:
    kind = metadata.WhichOneof("specification")
    if kind is None:
        raise VersionError(
            f"an operation is of a kind that is unknown to this client ({client_version()}): the"
            " server may be newer; upgrade the client"
        )
    return JobKind(kind)


def _estimate(metadata: analysis_service_pb2.AnalysisMetadata) -> Estimate | None:
    if not metadata.HasField("estimate"):
        return None
    told = metadata.estimate
    duration_s = told.duration.ToMicroseconds() / 1e6 if told.HasField("duration") else None
    return made(told, Estimate, duration_s=duration_s)


def _time(metadata: analysis_service_pb2.AnalysisMetadata, field: str) -> datetime | None:
    time: Timestamp = getattr(metadata, field)
    return time.ToDatetime(UTC) if metadata.HasField(field) else None  # type: ignore[arg-type]
