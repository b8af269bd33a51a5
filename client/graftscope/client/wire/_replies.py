"""From the contract's replies to the client's results."""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any, TypeVar, get_args

import numpy as np
from google.longrunning import operations_pb2
from google.protobuf.message import Message
from numpy.typing import NDArray

from graftscope import codec
from graftscope.client.arrays import Source, check_axes
from graftscope.client.errors import ReplyError
from graftscope.client.interventions import Intervention, edits_of
from graftscope.client.values import (
    OLDER,
    AnalysisResult,
    HybridFiles,
    HybridResult,
    HybridsTask,
    InfluenceResult,
    LayersResult,
    MagnitudeResult,
    ModulesResult,
    OfMaps,
    Posterior,
    PosteriorTask,
    Regression,
    SampleFiles,
    Samples,
    SamplesTask,
    StabilityResult,
    Stopping,
    divided,
)
from graftscope.client.wire._arrays import AnyArray, Arrays, Read, unpack
from graftscope.client.wire._operations import metadata_of, model_of, newer, took_s, until_of
from graftscope.client.wire._requests import UNIONS, named
from graftscope.v1 import analysis_service_pb2, intervention_pb2, tensor_pb2

Value = TypeVar("Value")

_RESULTS = {f"{named(kind)}Response": kind for kind in get_args(AnalysisResult)}
"""What comes of a response, by its message's name."""


def images_from(
    reply: Message, arrays: Arrays, task: SamplesTask | PosteriorTask | HybridsTask
) -> Samples | SampleFiles | Posterior | HybridResult | HybridFiles:
    """Put together what is answered at once.

    Args:
        reply: The reply.
        arrays: Its arrays, which were read.
        task: What was asked for.
    """
    model = task.model.partition("@")[0]
    match task:
        case PosteriorTask():
            return made(reply, Posterior, arrays, model=model)
        case SamplesTask(encoding=None):
            return made(reply, Samples, arrays, model=model)
        case SamplesTask():
            return made(reply, SampleFiles, arrays, encoding=task.encoding, model=model)
        case HybridsTask(encoding=None):
            return made(reply, HybridResult, arrays, model=model)
        case HybridsTask():
            return made(reply, HybridFiles, arrays, encoding=task.encoding, model=model)


def response_of(operation: operations_pb2.Operation) -> Message:
    """Unpack the response of an operation that is done.

    Raises:
        ReplyError: If it is not an analysis's.
    """
    sent = operation.response.TypeName().rpartition(".")[2]
    kind = codec.message_class(sent) if sent in _RESULTS else None
    response: Message | None = kind() if kind else None
    if response is not None and operation.response.Unpack(response):
        return response
    raise ReplyError(
        f"{operation.name} answered with {operation.response.type_url!r}, which is no analysis"
    )


def asked_arrays(operation: operations_pb2.Operation) -> dict[str, tensor_pb2.Array]:
    """List the arrays of what was asked that its result tells again, and that lie on the server."""
    found: dict[str, tensor_pb2.Array] = {}

    def note(array: tensor_pb2.Array, name: str, wanted: object) -> None:
        if array.WhichOneof("source") != "tensor":
            found[_key(array)] = array

    for each in _asked(operation):
        _every_array(each, note)
    return found


def result_from(
    operation: operations_pb2.Operation, response: Message, arrays: Arrays
) -> AnalysisResult:
    """Put an analysis's result together."""
    match response:
        case analysis_service_pb2.InfluenceResponse():
            return _influence_from(operation, response, arrays)
        case analysis_service_pb2.MagnitudeResponse():
            return _magnitude_from(operation, response, arrays)
    kind = _RESULTS[type(response).__name__]
    asked = _asked_of_modules(operation, response) if kind is ModulesResult else {}
    if "model" in {each.name for each in fields(kind)}:
        asked["model"] = model_of(metadata_of(operation))
    took = took_s(metadata_of(operation))
    found: AnalysisResult = made(
        response, kind, arrays, operation=operation.name, took_s=took, **asked
    )
    if isinstance(found, StabilityResult):
        _require_table(found)
    return found


def modules_from(response: Message, arrays: Arrays, seed: int, source: Source) -> ModulesResult:
    """Put together modules that were found in an operation's maps, under one seed.

    Args:
        response: A `ModulesResponse`.
        arrays: Its arrays, which were read.
        seed: Of the method.
        source: What the maps are of; their operation found the modules too.
    """
    return made(
        response,
        ModulesResult,
        arrays,
        operation=source.operation,
        seeds=(seed,),
        source=source,
    )


def of_maps_from(
    operation: operations_pb2.Operation, response: Message, arrays: Arrays, source: Source
) -> OfMaps:
    """Tell what is known of the maps of an operation.

    Args:
        operation: The operation, which is done.
        response: Its own.
        arrays: Of the response's arrays the small ones, which were read.
        source: What the maps are of.
    """
    if not isinstance(response, analysis_service_pb2.InfluenceResponse) or response.layers:
        return OfMaps(source)
    found = made(response, OfMaps, arrays, source=source)
    subject = _asked_of(metadata_of(operation).influence)["subject"]
    return found if subject == "channels" else replace(found, channels=None)


def made(message: Message, kind: type[Value], arrays: Arrays, /, **given: object) -> Value:
    """Make a result of a message, and check the axes of its arrays.

    Raises:
        ReplyError: If an array is missing, or its axes do not go with the others'.
        VersionError: If it says what this client does not know.
    """
    try:
        found = codec.made(message, kind, Read(arrays), unions=UNIONS, **given)
    except codec.UnknownNumberError as error:
        raise newer(error) from error
    check_axes(found)
    return found


def _asked_of_modules(operation: operations_pb2.Operation, response: Message) -> dict[str, object]:
    """The seeds; and where the response is of an earlier version, that nothing is sure."""
    request = metadata_of(operation).modules
    asked: dict[str, object] = {"seeds": tuple(request.seeds)}
    if not response.HasField("probabilities"):
        of_weights: tensor_pb2.Array = response.weights  # type: ignore[attr-defined]
        shape = getattr(of_weights, of_weights.WhichOneof("source") or "tensor").shape
        asked |= {"probabilities": np.full(tuple(shape), np.nan), "confidence_unknown": OLDER}
    return asked


def _influence_from(
    operation: operations_pb2.Operation,
    response: analysis_service_pb2.InfluenceResponse,
    arrays: Arrays,
) -> InfluenceResult | LayersResult:
    def get(array: tensor_pb2.Array, name: str, wanted: object) -> AnyArray:
        if array.WhichOneof("source") != "tensor":
            return arrays[_key(array)]
        return unpack(array.tensor.data, array.tensor.datatype, array.tensor.shape)

    found = made(
        response,
        InfluenceResult,
        arrays,
        model=model_of(metadata_of(operation)),
        operation=operation.name,
        interventions=tuple(Intervention(edits_of(each, get)) for each in _asked(operation)),
        stopping=_stopping_from(operation, response),
        took_s=took_s(metadata_of(operation)),
        **_asked_of(metadata_of(operation).influence),
    )
    return _divided(found, response, arrays) if response.layers else found


def _asked_of(request: analysis_service_pb2.InfluenceRequest) -> dict[str, Any]:
    """What the request said that the response does not tell again."""
    subjects = {"each_module": "modules", "each_intervention": "interventions"}
    pairs = request.pairs
    return {
        "subject": subjects.get(request.WhichOneof("subject") or "", "channels"),
        "seed": pairs.seed,
        "first": pairs.first,
        "share": tuple(pairs.share),
        "fixed": tuple(sorted(pairs.fix.inputs)),
    }


def _asked(operation: operations_pb2.Operation) -> Iterable[intervention_pb2.Intervention]:
    """The interventions that an influence is of; none where it is of channels or modules."""
    return metadata_of(operation).influence.each_intervention.interventions


def _every_array(message: Message, note: Callable[[tensor_pb2.Array, str, object], None]) -> None:
    """Tell of every array inside a message."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            inner = list(value.values())
        else:
            inner = list(value) if field.is_repeated else [value]
        for each in inner:
            if isinstance(each, tensor_pb2.Array):
                note(each, field.name, None)
            elif isinstance(each, Message):
                _every_array(each, note)


def _key(array: tensor_pb2.Array) -> str:
    return f"stored {array.artifact.sha256} {array.artifact.datatype} {array.artifact.shape}"


def _stopping_from(
    operation: operations_pb2.Operation, response: analysis_service_pb2.InfluenceResponse
) -> Stopping | None:
    if not response.HasField("stopping"):
        return None
    until = until_of(metadata_of(operation))
    if until is None:
        raise ReplyError("the server reported a stopping rule that was not requested")
    return made(response.stopping, Stopping, {}, until=until)


def _divided(
    found: InfluenceResult, response: analysis_service_pb2.InfluenceResponse, arrays: Arrays
) -> LayersResult:
    layer_of: NDArray[Any] = Read(arrays)(response.layer_of, "layer_of", np.int64)
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


def _require_table(result: StabilityResult) -> None:
    if len(result.methods) != len(result.consistency):
        raise ReplyError(
            f"the server sent 'consistency' of shape {result.consistency.shape} for"
            f" {len(result.methods)} methods and {len(result.k)} numbers of modules"
        )


def _magnitude_from(
    operation: operations_pb2.Operation,
    response: analysis_service_pb2.MagnitudeResponse,
    arrays: Arrays,
) -> MagnitudeResult:
    layers = tuple(response.layers)
    return made(
        response,
        MagnitudeResult,
        arrays,
        model=model_of(metadata_of(operation)),
        operation=operation.name,
        took_s=took_s(metadata_of(operation)),
        layer=_layer_names(Read(arrays)(response.layer, "layer", np.int64), layers),
        by_share=_regressions(response.by_share, layers),
        by_channels=_regressions(response.by_channels, layers),
    )


def _layer_names(indices: NDArray[np.int64], layers: tuple[str, ...]) -> NDArray[np.str_]:
    """(N,) indices into the layers to (N,) names."""
    if indices.size and not 0 <= indices.min() <= indices.max() < len(layers):
        raise ReplyError(f"the server sent 'layer' with an index that is not of {layers}")
    return np.array(layers, np.str_)[indices]


def _regressions(
    messages: Iterable[analysis_service_pb2.Regression], layers: tuple[str, ...]
) -> tuple[Regression, ...]:
    found = tuple(made(each, Regression, {}, layer=each.layer or None) for each in messages)
    if [each.layer for each in found] != [*layers, None]:
        raise ReplyError(
            f"the server sent regressions of {[each.layer for each in found]} for layers {layers}"
        )
    return found
