"""From results to the responses of operations.

A result keeps its scalars as JSON; here they become the contract's fields, by their names.
"""

from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from graftscope import codec
from graftscope.server.engine import Backend, Deviation
from graftscope.server.jobs import Result
from graftscope.server.rpc._arrays import describe
from graftscope.v1 import analysis_service_pb2, precision_pb2

_RESPONSES: Mapping[str, type[Message]] = {
    "influence": analysis_service_pb2.InfluenceResponse,
    "modules": analysis_service_pb2.ModulesResponse,
    "stability": analysis_service_pb2.StabilityResponse,
    "magnitude": analysis_service_pb2.MagnitudeResponse,
}


def response(analysis: str, result: Result) -> Message:
    """A result as the response of its operation."""
    message = _RESPONSES[analysis]()
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


def _execution(scalars: Mapping[str, object]) -> dict[str, object]:
    """What a result says of its arithmetic; those of earlier versions are of the plain path."""
    names = ("model_digest", "provider", "rewrites", "deviation")
    said = {name: scalars[name] for name in names if name in scalars}
    return {**said, "precision": scalars.get("precision", "fp32")}
