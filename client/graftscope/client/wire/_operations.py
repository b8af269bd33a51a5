"""Operations: from the contract's messages to jobs, and why an operation has no result."""

from datetime import UTC, datetime

import grpc
from google.longrunning import operations_pb2
from google.protobuf import timestamp_pb2
from google.rpc import status_pb2

from graftscope.client._jobs import Estimate, Job, JobKind, JobState, Progress
from graftscope.client._version import client_version
from graftscope.client.errors import (
    GraftscopeError,
    IntegrityError,
    InternalError,
    JobFailedError,
    ReplyError,
    VersionError,
    error_class,
)
from graftscope.client.wire._enums import JOB_STATES, word_of
from graftscope.client.wire._status import ErrorDetails
from graftscope.client.wire._until import until_from_proto
from graftscope.v1 import analysis_service_pb2

_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}


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


def job_from_proto(operation: operations_pb2.Operation) -> Job:
    """Read an operation.

    Raises:
        ReplyError: If it is not an analysis.
        VersionError: If its kind or its state is one that this client does not know.
    """
    metadata = metadata_of(operation)
    return Job(
        name=operation.name,
        kind=_kind(metadata),
        model=model_of(metadata),
        layer=_layers(metadata),
        progress=progress_from_proto(metadata.progress),
        estimate=_estimate(metadata),
        model_digest=metadata.model_digest,
        identity=metadata.identity,
        created=_time(metadata, "create_time"),
        ended=_time(metadata, "end_time"),
        expires=_time(metadata, "expire_time"),
        done=operation.done,
        error=operation.error.message,
        until=until_from_proto(metadata.influence.until),
    )


def model_of(metadata: analysis_service_pb2.AnalysisMetadata) -> str:
    """Tell the model's name; empty for an analysis of maps."""
    name = metadata.magnitude.model or metadata.influence.model
    return name.removeprefix("models/")


def _layers(metadata: analysis_service_pb2.AnalysisMetadata) -> str:
    asked = metadata.influence.each_intervention.interventions
    edited = dict.fromkeys(edit.layer for each in asked for edit in each.edits)
    several = (*metadata.influence.each_layer.layers, *metadata.magnitude.layers, *edited)
    return metadata.influence.layer or ", ".join(several)


def _kind(metadata: analysis_service_pb2.AnalysisMetadata) -> JobKind:
    kind = metadata.WhichOneof("specification")
    if kind is None:
        raise VersionError(
            f"an operation is of a kind that is unknown to this client ({client_version()}): the"
            " server may be newer; upgrade the client"
        )
    return JobKind(kind)


def progress_from_proto(message: analysis_service_pb2.Progress) -> Progress:
    """Read how far a job is."""
    unset = message.state == analysis_service_pb2.JOB_STATE_UNSPECIFIED
    return Progress(
        # An estimate's job was never queued; the contract leaves its state open.
        state=JobState.QUEUED if unset else word_of(JOB_STATES, message.state, "job state"),
        shards_done=message.shards_done,
        shards_total=message.shards_total,
        eta_s=message.eta.ToTimedelta().total_seconds() if message.HasField("eta") else None,
        hybrids_per_second=message.hybrids_per_second,
    )


def failure_of(operation: operations_pb2.Operation) -> GraftscopeError:
    """Turn an operation's error into the tree's, through the same table as a call's."""
    status = operation.error
    details = ErrorDetails.from_status(status)
    error = error_class(_STATUS_CODES.get(status.code), details.reason)
    if error in (InternalError, IntegrityError, GraftscopeError):
        error = JobFailedError
    return error(
        f"{operation.name}: {_message(status)}", reason=details.reason, field=details.field
    )


def _message(status: status_pb2.Status) -> str:
    return status.message or f"it ended with status {status.code} and no message"


def _estimate(metadata: analysis_service_pb2.AnalysisMetadata) -> Estimate | None:
    if not metadata.HasField("estimate"):
        return None
    estimate = metadata.estimate
    return Estimate(
        duration_s=estimate.duration.ToTimedelta().total_seconds(),
        hybrids=estimate.hybrids,
        result_bytes=estimate.result_bytes,
    )


def _time(metadata: analysis_service_pb2.AnalysisMetadata, field: str) -> datetime | None:
    if not metadata.HasField(field):  # type: ignore[arg-type]  # the stub wants a literal
        return None
    time: timestamp_pb2.Timestamp = getattr(metadata, field)
    return time.ToDatetime(UTC)
