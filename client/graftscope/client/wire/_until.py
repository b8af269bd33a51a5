"""Stopping rules: the client's values to and from the contract's messages."""

from graftscope.client._results import Stopping
from graftscope.client._tasks import Method, RelativeError, StableLabels, Until
from graftscope.client._until import checked_until
from graftscope.client.errors import ReplyError
from graftscope.client.wire._enums import METHODS, word_of
from graftscope.v1 import analysis_service_pb2

_NUMBERS = {
    Method.NMF: analysis_service_pb2.METHOD_NMF,
    Method.KMEANS: analysis_service_pb2.METHOD_KMEANS,
    Method.PCA: analysis_service_pb2.METHOD_PCA,
    Method.SPECTRAL: analysis_service_pb2.METHOD_SPECTRAL,
}


def until_to_proto(given: Until | str | None) -> analysis_service_pb2.StoppingRule | None:
    """Make the message of a rule; None where there is none.

    Raises:
        InputError: If a value is not allowed.
    """
    match checked_until(given):
        case RelativeError(value):
            return analysis_service_pb2.StoppingRule(relative_standard_error=value)
        case StableLabels() as labels:
            message = analysis_service_pb2.StableLabels(
                k=labels.k,
                method=_NUMBERS[Method(labels.method)],
                seed=labels.seed,
                window=labels.window,
                percentile=labels.percentile,
            )
            return analysis_service_pb2.StoppingRule(stable_labels=message)
        case None:
            return None


def until_from_proto(message: analysis_service_pb2.StoppingRule) -> Until | None:
    """Read a rule; None where there is none.

    Raises:
        VersionError: If its method is one that this client does not know.
    """
    match message.WhichOneof("rule"):
        case "relative_standard_error":
            return RelativeError(message.relative_standard_error)
        case "stable_labels":
            labels = message.stable_labels
            return StableLabels(
                k=labels.k,
                method=word_of(METHODS, labels.method, "method"),
                seed=labels.seed,
                window=labels.window,
                percentile=labels.percentile,
            )
        case None:
            return None


def stopping_from(
    request: analysis_service_pb2.InfluenceRequest,
    response: analysis_service_pb2.InfluenceResponse,
) -> Stopping | None:
    """Put together what came of a rule; None where there was none.

    Raises:
        ReplyError: If the server tells of a rule that nobody asked for.
    """
    if not response.HasField("stopping"):
        return None
    until = until_from_proto(request.until)
    if until is None:
        raise ReplyError("the server told of a stopping rule that was not asked for")
    message = response.stopping
    return Stopping(
        until=until,
        met=message.met,
        max_pairs=message.max_pairs,
        relative_standard_error=message.relative_standard_error,
        label_agreement=message.label_agreement,
    )
