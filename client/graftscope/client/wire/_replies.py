"""Results: from the contract's messages to the client's values.

Reading an array may take further calls, so a reply's arrays are first listed (`arrays_of`), then
read by whoever makes calls, then put together here.
"""

from collections.abc import Mapping

import numpy as np
from google.longrunning import operations_pb2
from google.protobuf.message import Message

from graftscope.client._results import (
    Execution,
    FloatArray,
    HybridResult,
    InfluenceResult,
    ModulesResult,
    Posterior,
    Samples,
)
from graftscope.client.errors import ReplyError
from graftscope.client.wire._enums import METHODS, PRECISIONS, word_of
from graftscope.client.wire._operations import metadata_of
from graftscope.client.wire._tensors import AnyArray
from graftscope.v1 import (
    analysis_service_pb2,
    model_service_pb2,
    originals_pb2,
    precision_pb2,
    tensor_pb2,
)

Arrays = Mapping[str, AnyArray]


def arrays_of(message: Message) -> dict[str, tensor_pb2.Array]:
    """List a message's arrays by their fields' names; those of latents by ``FIELD.INPUT``."""
    found: dict[str, tensor_pb2.Array] = {}
    for field, value in message.ListFields():
        if isinstance(value, tensor_pb2.Array):
            found[field.name] = value
        elif isinstance(value, originals_pb2.Latents):
            found |= {f"{field.name}.{name}": array for name, array in value.inputs.items()}
    return found


def execution_from_proto(message: precision_pb2.Execution) -> Execution:
    """Read what computed a result."""
    return Execution(
        model_digest=message.model_digest,
        precision=word_of(PRECISIONS, message.precision, "precision"),
        provider=message.provider,
    )


def samples_from(reply: model_service_pb2.GenerateResponse, arrays: Arrays) -> Samples:
    """Put samples together."""
    return Samples(
        images=_float32(arrays, "images", 4),
        latents=_latents(arrays, "latents"),
        execution=execution_from_proto(reply.execution),
    )


def posterior_from(reply: model_service_pb2.EncodeResponse, arrays: Arrays) -> Posterior:
    """Put a posterior together."""
    return Posterior(
        mean=_latents(arrays, "mean"),
        log_variance=_latents(arrays, "log_variance"),
        execution=execution_from_proto(reply.execution),
    )


def hybrids_from(reply: model_service_pb2.HybridizeResponse, arrays: Arrays) -> HybridResult:
    """Put hybrids together."""
    return HybridResult(
        original1=_float32(arrays, "original1", 4),
        original2=_float32(arrays, "original2", 4),
        hybrid=_float32(arrays, "hybrid", 4),
        distinct_images=reply.distinct_images,
        execution=execution_from_proto(reply.execution),
    )


AnalysisResponse = analysis_service_pb2.InfluenceResponse | analysis_service_pb2.ModulesResponse


def response_of(operation: operations_pb2.Operation) -> AnalysisResponse:
    """Unpack the response of an operation that is done.

    Raises:
        ReplyError: If it is not an analysis's.
    """
    influence = analysis_service_pb2.InfluenceResponse()
    if operation.response.Unpack(influence):
        return influence
    modules = analysis_service_pb2.ModulesResponse()
    if operation.response.Unpack(modules):
        return modules
    raise ReplyError(
        f"{operation.name} answered with {operation.response.type_url!r}, which is no analysis"
    )


def result_from(
    operation: operations_pb2.Operation, response: AnalysisResponse, arrays: Arrays
) -> InfluenceResult | ModulesResult:
    """Put an analysis's result together."""
    if isinstance(response, analysis_service_pb2.InfluenceResponse):
        return _influence_from(operation, response, arrays)
    return _modules_from(operation, response, arrays)


def _influence_from(
    operation: operations_pb2.Operation,
    response: analysis_service_pb2.InfluenceResponse,
    arrays: Arrays,
) -> InfluenceResult:
    return InfluenceResult(
        maps=_float64(arrays, "maps", 3),
        stderr=_float64(arrays, "stderr", 3),
        individual=_float64(arrays, "individual", 1),
        individual_stderr=_float64(arrays, "individual_stderr", 1),
        channels=_take(arrays, "channels", 1).astype(np.int64, copy=False),
        range_width=response.range_width,
        pairs=response.pairs,
        distinct_images=response.distinct_images,
        originals=response.originals,
        model=metadata_of(operation).influence.model.removeprefix("models/"),
        layer=response.layer,
        operation=operation.name,
        execution=execution_from_proto(response.execution),
    )


def _modules_from(
    operation: operations_pb2.Operation,
    response: analysis_service_pb2.ModulesResponse,
    arrays: Arrays,
) -> ModulesResult:
    return ModulesResult(
        labels=_take(arrays, "labels", 1).astype(np.int64, copy=False),
        templates=_float64(arrays, "templates", 3),
        weights=_float64(arrays, "weights", 2),
        purity=_float64(arrays, "purity", 1),
        seeds=tuple(metadata_of(operation).modules.seeds),
        seed_labels=_take(arrays, "seed_labels", 2).astype(np.int64, copy=False),
        seed_templates=_float64(arrays, "seed_templates", 4),
        agreement=_float64(arrays, "agreement", 1),
        cosine=_float64(arrays, "cosine", 1),
        seeds_agreeing=response.seeds_agreeing,
        method=word_of(METHODS, response.method, "method"),
        operation=operation.name,
    )


def _take(arrays: Arrays, name: str, axes: int) -> AnyArray:
    array = arrays.get(name)
    if array is None:
        raise ReplyError(f"the server's reply has no array {name!r}")
    if array.ndim != axes:
        raise ReplyError(f"the server sent {name!r} with {array.ndim} axes, not {axes}")
    return array


def _float64(arrays: Arrays, name: str, axes: int) -> FloatArray:
    return _take(arrays, name, axes).astype(np.float64, copy=False)


def _float32(arrays: Arrays, name: str, axes: int) -> "np.typing.NDArray[np.float32]":
    return _take(arrays, name, axes).astype(np.float32, copy=False)


def _latents(arrays: Arrays, field: str) -> dict[str, AnyArray]:
    prefix = f"{field}."
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
