"""Results of analyses: from the contract's messages to the client's values."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from google.longrunning import operations_pb2
from numpy.typing import NDArray

from graftscope.client._layers import LayersResult, divided
from graftscope.client._results import InfluenceResult, ModulesResult
from graftscope.client._sweeps import (
    AnalysisResult,
    MagnitudeResult,
    Regression,
    StabilityResult,
    SuggestedK,
)
from graftscope.client.errors import ReplyError
from graftscope.client.wire._arrays import Arrays, float64, int64
from graftscope.client.wire._enums import METHODS, word_of
from graftscope.client.wire._interventions import interventions_from, stored_arrays
from graftscope.client.wire._operations import metadata_of, model_of
from graftscope.client.wire._replies import execution_from_proto
from graftscope.client.wire._until import stopping_from
from graftscope.v1 import analysis_service_pb2, tensor_pb2

AnalysisResponse: TypeAlias = (
    analysis_service_pb2.InfluenceResponse
    | analysis_service_pb2.ModulesResponse
    | analysis_service_pb2.StabilityResponse
    | analysis_service_pb2.MagnitudeResponse
)


def response_of(operation: operations_pb2.Operation) -> AnalysisResponse:
    """Unpack the response of an operation that is done.

    Raises:
        ReplyError: If it is not an analysis's.
    """
    candidates: tuple[AnalysisResponse, ...] = (
        analysis_service_pb2.InfluenceResponse(),
        analysis_service_pb2.ModulesResponse(),
        analysis_service_pb2.StabilityResponse(),
        analysis_service_pb2.MagnitudeResponse(),
    )
    for response in candidates:
        if operation.response.Unpack(response):
            return response
    raise ReplyError(
        f"{operation.name} answered with {operation.response.type_url!r}, which is no analysis"
    )


def asked_arrays(operation: operations_pb2.Operation) -> dict[str, tensor_pb2.Array]:
    """List the arrays of what was asked that its result tells again, and that lie on the server."""
    return stored_arrays(metadata_of(operation).influence)


def result_from(
    operation: operations_pb2.Operation, response: AnalysisResponse, arrays: Arrays
) -> AnalysisResult:
    """Put an analysis's result together."""
    match response:
        case analysis_service_pb2.InfluenceResponse():
            found = _influence_from(operation, response, arrays)
            return _divided(found, response, arrays) if response.layers else found
        case analysis_service_pb2.ModulesResponse():
            return _modules_from(operation, response, arrays)
        case analysis_service_pb2.StabilityResponse():
            return _stability_from(operation, response, arrays)
        case analysis_service_pb2.MagnitudeResponse():
            return _magnitude_from(operation, response, arrays)


def _influence_from(
    operation: operations_pb2.Operation,
    response: analysis_service_pb2.InfluenceResponse,
    arrays: Arrays,
) -> InfluenceResult:
    return InfluenceResult(
        maps=float64(arrays, "maps", 3),
        stderr=float64(arrays, "stderr", 3),
        individual=float64(arrays, "individual", 1),
        individual_stderr=float64(arrays, "individual_stderr", 1),
        channels=int64(arrays, "channels", 1),
        range_width=response.range_width,
        pairs=response.pairs,
        distinct_images=response.distinct_images,
        originals=response.originals,
        model=model_of(metadata_of(operation)),
        layer=response.layer,
        operation=operation.name,
        execution=execution_from_proto(response.execution),
        products=float64(arrays, "products", 2) if response.HasField("products") else None,
        interventions=interventions_from(metadata_of(operation).influence, arrays),
        stopping=stopping_from(metadata_of(operation).influence, response),
        stratified=response.stratified,
    )


def _divided(
    found: InfluenceResult, response: analysis_service_pb2.InfluenceResponse, arrays: Arrays
) -> LayersResult:
    layer_of = int64(arrays, "layer_of", 1)
    names, counts = list(response.layers), np.bincount(layer_of, minlength=len(response.layers))
    expected = np.repeat(np.arange(len(names)), counts[: len(names)])
    if not np.array_equal(layer_of, expected) or len(layer_of) != len(found.maps):
        raise ReplyError(f"the server sent 'layer_of' that does not divide maps among {names}")
    ends = np.cumsum(counts).tolist()
    rows = {
        name: slice(end - int(count), end)
        for name, end, count in zip(names, ends, counts, strict=True)
    }
    return divided(found, rows)


def _modules_from(
    operation: operations_pb2.Operation,
    response: analysis_service_pb2.ModulesResponse,
    arrays: Arrays,
) -> ModulesResult:
    return ModulesResult(
        labels=int64(arrays, "labels", 1),
        templates=float64(arrays, "templates", 3),
        weights=float64(arrays, "weights", 2),
        purity=float64(arrays, "purity", 1),
        seeds=tuple(metadata_of(operation).modules.seeds),
        seed_labels=int64(arrays, "seed_labels", 2),
        seed_templates=float64(arrays, "seed_templates", 4),
        agreement=float64(arrays, "agreement", 1),
        cosine=float64(arrays, "cosine", 1),
        seeds_agreeing=response.seeds_agreeing,
        method=word_of(METHODS, response.method, "method"),
        operation=operation.name,
        impure=response.impure,
    )


def _stability_from(
    operation: operations_pb2.Operation,
    response: analysis_service_pb2.StabilityResponse,
    arrays: Arrays,
) -> StabilityResult:
    result = StabilityResult(
        k=int64(arrays, "k", 1),
        methods=tuple(word_of(METHODS, method, "method") for method in response.methods),
        consistency=float64(arrays, "consistency", 3),
        cosine=float64(arrays, "cosine", 3),
        chance=float64(arrays, "chance", 2),
        suggested=tuple(map(_suggested_from, response.suggested)),
        channels=response.channels,
        operation=operation.name,
    )
    table = (len(result.methods), len(result.k))
    shapes = {"consistency": result.consistency, "cosine": result.cosine, "chance": result.chance}
    for name, array in shapes.items():
        if array.shape[:2] != table:
            raise ReplyError(
                f"the server sent {name!r} of shape {array.shape} for {table[0]} methods and"
                f" {table[1]} numbers of modules"
            )
    return result


def _suggested_from(message: analysis_service_pb2.SuggestedK) -> SuggestedK:
    return SuggestedK(
        method=word_of(METHODS, message.method, "method"),
        k=message.k,
        consistency=message.consistency,
        chance=message.chance,
        excess_stderr=message.excess_stderr,
        rivals=tuple(message.rivals),
        reason=message.reason,
    )


def _magnitude_from(
    operation: operations_pb2.Operation,
    response: analysis_service_pb2.MagnitudeResponse,
    arrays: Arrays,
) -> MagnitudeResult:
    layers = tuple(response.layers)
    return MagnitudeResult(
        layers=layers,
        layer=_layer_names(arrays, layers),
        k=int64(arrays, "k", 1),
        module=int64(arrays, "module", 1),
        channels=int64(arrays, "channels", 1),
        share=float64(arrays, "share", 1),
        individual=float64(arrays, "individual", 1),
        individual_stderr=float64(arrays, "individual_stderr", 1),
        by_share=_regressions(response.by_share, layers),
        by_channels=_regressions(response.by_channels, layers),
        range_width=response.range_width,
        pairs=response.pairs,
        distinct_images=response.distinct_images,
        originals=response.originals,
        method=word_of(METHODS, response.method, "method"),
        model=model_of(metadata_of(operation)),
        operation=operation.name,
        execution=execution_from_proto(response.execution),
    )


def _layer_names(arrays: Arrays, layers: tuple[str, ...]) -> NDArray[np.str_]:
    """(N,) indices into the layers to (N,) names."""
    indices = int64(arrays, "layer", 1)
    if indices.size and not 0 <= indices.min() <= indices.max() < len(layers):
        raise ReplyError(f"the server sent 'layer' with an index that is not of {layers}")
    return np.array(layers, np.str_)[indices]


def _regressions(
    messages: Iterable[analysis_service_pb2.Regression], layers: tuple[str, ...]
) -> tuple[Regression, ...]:
    found = tuple(map(_regression_from, messages))
    if [each.layer for each in found] != [*layers, None]:
        raise ReplyError(
            f"the server sent regressions of {[each.layer for each in found]} for layers {layers}"
        )
    return found


def _regression_from(message: analysis_service_pb2.Regression) -> Regression:
    return Regression(
        layer=message.layer or None,
        slope=message.slope,
        intercept=message.intercept,
        r2=message.r2,
        slope_stderr=message.slope_stderr,
        residual=message.residual,
        rows=message.rows,
    )
