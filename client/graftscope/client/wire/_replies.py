"""What is answered at once: from the contract's messages to the client's values."""

from graftscope.client._encodings import HybridFiles, ImageEncoding, SampleFiles
from graftscope.client._execution import Deviation, Execution
from graftscope.client._results import HybridResult, Posterior, Samples
from graftscope.client.wire._arrays import Arrays, files, float32, latents
from graftscope.client.wire._enums import PRECISIONS, word_of
from graftscope.v1 import model_service_pb2, precision_pb2


def execution_from_proto(message: precision_pb2.Execution) -> Execution:
    """Read what computed a result."""
    return Execution(
        model_digest=message.model_digest,
        precision=word_of(PRECISIONS, message.precision, "precision"),
        provider=message.provider,
        rewrites=tuple(message.rewrites),
        deviation=_deviation_from(message.deviation) if message.HasField("deviation") else None,
    )


def _deviation_from(message: precision_pb2.Deviation) -> Deviation:
    return Deviation(
        pairs=message.pairs,
        sets=message.sets,
        individual_median=message.individual_median,
        individual_worst=message.individual_worst,
        worst=message.worst,
    )


def samples_from(reply: model_service_pb2.GenerateResponse, arrays: Arrays) -> Samples:
    """Put samples together."""
    return Samples(
        images=float32(arrays, "images", 4),
        latents=latents(arrays, "latents"),
        execution=execution_from_proto(reply.execution),
    )


def sample_files_from(
    reply: model_service_pb2.GenerateResponse, arrays: Arrays, encoding: ImageEncoding
) -> SampleFiles:
    """Put samples together that came as files."""
    return SampleFiles(
        images=files(arrays, "images"),
        encoding=encoding,
        latents=latents(arrays, "latents"),
        execution=execution_from_proto(reply.execution),
    )


def posterior_from(reply: model_service_pb2.EncodeResponse, arrays: Arrays) -> Posterior:
    """Put a posterior together."""
    return Posterior(
        mean=latents(arrays, "mean"),
        log_variance=latents(arrays, "log_variance"),
        execution=execution_from_proto(reply.execution),
    )


def hybrids_from(reply: model_service_pb2.HybridizeResponse, arrays: Arrays) -> HybridResult:
    """Put hybrids together."""
    return HybridResult(
        original1=float32(arrays, "original1", 4),
        original2=float32(arrays, "original2", 4),
        hybrid=float32(arrays, "hybrid", 4),
        distinct_images=reply.distinct_images,
        execution=execution_from_proto(reply.execution),
    )


def hybrid_files_from(
    reply: model_service_pb2.HybridizeResponse, arrays: Arrays, encoding: ImageEncoding
) -> HybridFiles:
    """Put hybrids together that came as files."""
    return HybridFiles(
        original1=files(arrays, "original1"),
        original2=files(arrays, "original2"),
        hybrid=files(arrays, "hybrid"),
        encoding=encoding,
        distinct_images=reply.distinct_images,
        execution=execution_from_proto(reply.execution),
    )
