"""From jobs and results to messages."""

import numpy as np
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import Message
from numpy.typing import NDArray

from graftscope.server.jobs import (
    ArrayRef,
    InfluenceSpec,
    Job,
    JobState,
    ModulesSpec,
    Result,
    Snapshot,
    parse_spec,
)
from graftscope.server.rpc._arrays import describe, tensor
from graftscope.server.rpc._errors import cancelled_status, status_of_failure
from graftscope.server.rpc._names import operation_name
from graftscope.v1 import (
    analysis_service_pb2,
    originals_pb2,
    precision_pb2,
    tensor_pb2,
)

_METHODS = {
    "nmf": analysis_service_pb2.METHOD_NMF,
    "kmeans": analysis_service_pb2.METHOD_KMEANS,
}


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
        message.plan.CopyFrom(analysis_service_pb2.Plan(**job.plan))
    _specify(message, job)
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


def response(analysis: str, result: Result) -> Message:
    """A result as the response of its operation."""
    arrays = {name: describe(ref) for name, ref in result.arrays.items()}
    scalars = dict(result.scalars)
    if analysis == "modules":
        return analysis_service_pb2.ModulesResponse(
            **arrays,
            seeds_agreeing=int(scalars["seeds_agreeing"]),
            method=_METHODS[str(scalars["method"])],
        )
    return analysis_service_pb2.InfluenceResponse(
        **arrays,
        range_width=float(scalars["range_width"]),
        pairs=int(scalars["pairs"]),
        distinct_images=int(scalars["distinct_images"]),
        originals=str(scalars["originals"]),
        layer=str(scalars["layer"]),
        execution=execution(str(scalars["model_digest"]), str(scalars["provider"])),
    )


def execution(digest: str, provider: str) -> precision_pb2.Execution:
    """How numbers were computed."""
    return precision_pb2.Execution(
        model_digest=digest, precision=precision_pb2.PRECISION_FP32, provider=provider
    )


def _specify(message: analysis_service_pb2.AnalysisMetadata, job: Job) -> None:
    spec = parse_spec(job.specification)
    if isinstance(spec, ModulesSpec):
        message.modules.CopyFrom(_modules_request(spec))
    else:
        message.model_digest = spec.model
        message.influence.CopyFrom(_influence_request(spec, job.model))


def _modules_request(spec: ModulesSpec) -> analysis_service_pb2.ModulesRequest:
    return analysis_service_pb2.ModulesRequest(
        maps=describe(spec.maps),
        k=spec.k,
        method=_METHODS[spec.method],
        seeds=spec.seeds,
        window=spec.window,
        percentile=spec.percentile,
    )


def _influence_request(spec: InfluenceSpec, model: str) -> analysis_service_pb2.InfluenceRequest:
    """The request that would give the same job."""
    message = analysis_service_pb2.InfluenceRequest(
        model=model,
        layer=spec.layer,
        map_size=spec.map_size,
        precision=precision_pb2.PRECISION_FP32,
        pairs=originals_pb2.Pairs(
            seed=spec.seed, count=spec.pairs, first=spec.first, originals=_originals(spec)
        ),
    )
    if spec.subject == "channels":
        message.each_channel.indices.extend(spec.indices)
    else:
        message.each_module.tensor.CopyFrom(tensor(_labels(spec)))
    return message


def _labels(spec: InfluenceSpec) -> NDArray[np.int64]:
    """(C,), the module of each channel; -1 for none."""
    labels = np.full(spec.channels, -1, dtype=np.int64)
    for module, channels in zip(spec.indices, spec.sets, strict=True):
        labels[list(channels)] = module
    return labels


def _originals(spec: InfluenceSpec) -> originals_pb2.Originals:
    arrays = spec.originals.arrays
    match spec.originals.kind:
        case "prior":
            return originals_pb2.Originals(prior=originals_pb2.Prior())
        case "encoded":
            return originals_pb2.Originals(encoded=originals_pb2.Encoded())
        case "images":
            images = originals_pb2.Images(images=describe(arrays["images"]))
            return originals_pb2.Originals(images=images)
        case "image_pairs":
            pairs = originals_pb2.ImagePairs(
                images1=describe(arrays["images1"]), images2=describe(arrays["images2"])
            )
            return originals_pb2.Originals(image_pairs=pairs)
        case _:
            latents = originals_pb2.LatentPairs(
                latents1=_latents(arrays, "latents1/"), latents2=_latents(arrays, "latents2/")
            )
            return originals_pb2.Originals(latents=latents)


def _latents(arrays: object, prefix: str) -> originals_pb2.Latents:
    inputs: dict[str, tensor_pb2.Array] = {}
    assert isinstance(arrays, dict)
    for name, ref in arrays.items():
        assert isinstance(ref, ArrayRef)
        if name.startswith(prefix):
            inputs[name.removeprefix(prefix)] = describe(ref)
    return originals_pb2.Latents(inputs=inputs)


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
