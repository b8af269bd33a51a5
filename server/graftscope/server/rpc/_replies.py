"""From jobs to operations: their state, what they compute, and how they end."""

from google.longrunning import operations_pb2
from google.protobuf import duration_pb2, timestamp_pb2

from graftscope.server.jobs import JobState, Snapshot
from graftscope.server.rpc._errors import cancelled_status, status_of_failure
from graftscope.server.rpc._names import operation_name
from graftscope.server.rpc._responses import response
from graftscope.server.rpc._specified import specify
from graftscope.v1 import analysis_service_pb2


def operation(snapshot: Snapshot) -> operations_pb2.Operation:
    """A job as a google.longrunning.Operation."""
    job = snapshot.job
    message = operations_pb2.Operation(name=operation_name(job.id), done=job.state.ended)
    message.metadata.Pack(metadata(snapshot))
    if job.result is not None:
        message.response.Pack(response(job.analysis, job.result))
    elif job.failure is not None:
        message.error.CopyFrom(status_of_failure(job.failure))
    elif job.state is JobState.CANCELLED:
        message.error.CopyFrom(cancelled_status())
    return message


def metadata(snapshot: Snapshot) -> analysis_service_pb2.AnalysisMetadata:
    """What is told of a job beside its result."""
    job = snapshot.job
    message = analysis_service_pb2.AnalysisMetadata(
        identity=job.identity,
        progress=progress(snapshot),
        estimate=analysis_service_pb2.Estimate(
            duration=_duration(job.estimate.duration_s),
            hybrids=job.estimate.hybrids,
            result_bytes=job.estimate.result_bytes,
        ),
        create_time=_timestamp(job.created_s),
        end_time=_timestamp(job.ended_s),
        expire_time=_timestamp(job.expires_s),
    )
    if job.plan:
        # The precision is told in `Execution`, once there is a result.
        told = {name: value for name, value in job.plan.items() if name != "precision"}
        message.plan.CopyFrom(analysis_service_pb2.Plan(**told))
    specify(message, job)
    return message


def progress(snapshot: Snapshot) -> analysis_service_pb2.Progress:
    """How far a job is."""
    job = snapshot.job
    return analysis_service_pb2.Progress(
        state=int(job.state),  # type: ignore[arg-type]
        shards_done=job.shards_done,
        shards_total=job.shards_total,
        eta=None if snapshot.eta_s is None else _duration(snapshot.eta_s),
        hybrids_per_second=snapshot.hybrids_per_s,
    )


def _duration(seconds: float) -> duration_pb2.Duration:
    message = duration_pb2.Duration()
    message.FromMicroseconds(round(seconds * 1e6))
    return message


def _timestamp(seconds: float | None) -> timestamp_pb2.Timestamp | None:
    if seconds is None:
        return None
    message = timestamp_pb2.Timestamp()
    message.FromMicroseconds(round(seconds * 1e6))
    return message
