"""From jobs to operations: their state, what they compute, and how they end.

A result keeps its scalars as JSON; here they become the contract's fields, by their names.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from google.longrunning import operations_pb2
from google.protobuf.message import Message

from graftscope import codec
from graftscope.server.engine import Backend, Deviation
from graftscope.server.jobs import JobState, Result, Snapshot, Sums
from graftscope.server.rpc._arrays import describe
from graftscope.server.rpc._checks import operation_name
from graftscope.server.rpc._errors import cancelled_status, status_of_failure
from graftscope.server.rpc._specifications import specify
from graftscope.v1 import analysis_service_pb2, precision_pb2

_LARGE = 64 * 2**10
"""Characters of a specification."""

_TOLD_LATER = ("precision", "corrected_every")
"""Of a plan, what its message leaves out."""

_PAGE_BYTES = 3 * 2**20
"""Of the 4 MiB of a message."""


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


async def told(snapshot: Snapshot) -> operations_pb2.Operation:
    """The same; of a job with a large specification off the event loop."""
    if len(snapshot.job.specification) < _LARGE:
        return operation(snapshot)
    return await asyncio.to_thread(operation, snapshot)


def operations(snapshots: Sequence[Snapshot]) -> list[operations_pb2.Operation]:
    """Several, at least one if there is any, and no more than fit into one message."""
    found, size = list[operations_pb2.Operation](), 0
    for snapshot in snapshots:
        message = operation(snapshot)
        size += message.ByteSize()
        if found and size > _PAGE_BYTES:
            break
        found.append(message)
    return found


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
        "owner": job.owner,
        "shared": job.shared,
        "attempts": job.attempts if job.attempts > 1 else None,
    }
    if job.plan:
        # The precision and its correction are told with the result.
        told = (item for item in job.plan.items() if item[0] not in _TOLD_LATER)
        said["plan"] = dict(told)
    message = analysis_service_pb2.AnalysisMetadata()
    codec.fill(message, said, describe)
    specify(message, job)
    return message


def progress(snapshot: Snapshot) -> analysis_service_pb2.Progress:
    """How far a job is."""
    message = analysis_service_pb2.Progress()
    codec.fill(message, _progress(snapshot), describe)
    return message


def response(analysis: str, result: Result) -> Message:
    """A result as the response of its operation."""
    kind = codec.message_class(f"{analysis.capitalize()}Response")
    assert kind is not None, analysis
    message = kind()
    known = message.DESCRIPTOR.fields_by_name
    # Arrays count: a scalar of an array's name is of the analysis that this one builds on.
    said = {**result.scalars, "execution": _execution(result.scalars), **result.arrays}
    codec.fill(message, {name: said[name] for name in said if name in known}, describe)
    return message


def execution(
    digest: str,
    backend: Backend,
    rewrites: Sequence[str] = (),
    deviation: Deviation | None = None,
) -> precision_pb2.Execution:
    """How numbers were computed.

    Args:
        digest: the model's.
        backend: what ran.
        rewrites: names of the graph rewrites that reorder arithmetic.
        deviation: difference from the plain path in float32, unless that is what ran.
    """
    message = precision_pb2.Execution(model_digest=digest, rewrites=rewrites)
    codec.fill(message, {**vars(backend), "deviation": deviation}, describe)
    return message


@lru_cache(maxsize=256)
def plain_execution(digest: str, backend: Backend) -> precision_pb2.Execution:
    """`execution` without a deviation: the same message each time, which replies copy."""
    return execution(digest, backend)


def _progress(snapshot: Snapshot) -> dict[str, object]:
    job = snapshot.job
    return {
        "state": job.state.name.lower(),
        "shards_done": job.shards_done,
        "shards_total": job.shards_total,
        "eta": snapshot.eta_s,
        "hybrids_per_second": snapshot.hybrids_per_s,
        "jobs_ahead": snapshot.jobs_ahead,
        **_settled(snapshot.sums),
    }


def _settled(sums: Sums | None) -> dict[str, object]:
    if sums is None or sums.race is None:
        return {}
    settled = sums.race.settled
    return {"maps": len(settled), "maps_settled": int(np.count_nonzero(settled))}


def _execution(scalars: Mapping[str, object]) -> dict[str, object]:
    """What a result says of its arithmetic; those of earlier versions are of the plain path."""
    names = ("model_digest", "provider", "rewrites", "deviation")
    said = {name: scalars[name] for name in names if name in scalars}
    return {**said, "precision": scalars.get("precision", "fp32")}
