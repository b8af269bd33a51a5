"""From jobs to operations: their state, what they compute, and how they end."""

from google.longrunning import operations_pb2

from graftscope import codec
from graftscope.server.jobs import JobState, Snapshot
from graftscope.server.rpc._arrays import describe
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
    said: dict[str, object] = {
        "identity": job.identity,
        "progress": _progress(snapshot),
        "estimate": {
            "duration": job.estimate.duration_s,
            "hybrids": job.estimate.hybrids,
            "result_bytes": job.estimate.result_bytes,
        },
        "create_time": job.created_s,
        "end_time": job.ended_s,
        "expire_time": job.expires_s,
    }
    if job.plan:
        # The precision is told in `Execution`, once there is a result.
        said["plan"] = {name: value for name, value in job.plan.items() if name != "precision"}
    message = analysis_service_pb2.AnalysisMetadata()
    codec.fill(message, said, describe)
    specify(message, job)
    return message


def progress(snapshot: Snapshot) -> analysis_service_pb2.Progress:
    """How far a job is."""
    message = analysis_service_pb2.Progress()
    codec.fill(message, _progress(snapshot), describe)
    return message


def _progress(snapshot: Snapshot) -> dict[str, object]:
    job = snapshot.job
    return {
        "state": job.state.name.lower(),
        "shards_done": job.shards_done,
        "shards_total": job.shards_total,
        "eta": snapshot.eta_s,
        "hybrids_per_second": snapshot.hybrids_per_s,
    }
