"""From results to the responses of operations.

A result keeps its scalars as JSON; here they become the contract's fields.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, cast

from google.protobuf.message import Message

from graftscope.server.engine import Backend, Deviation, Precision
from graftscope.server.jobs import Json, Result
from graftscope.server.rpc._arrays import describe
from graftscope.server.rpc._methods import METHODS
from graftscope.server.rpc._precisions import PRECISIONS
from graftscope.v1 import analysis_service_pb2, precision_pb2, tensor_pb2

_Arrays = dict[str, tensor_pb2.Array]
_Scalars = dict[str, Json]


def response(analysis: str, result: Result) -> Message:
    """A result as the response of its operation."""
    arrays = {name: describe(ref) for name, ref in result.arrays.items()}
    return _RESPONSES[analysis](arrays, result.scalars)


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
    message = precision_pb2.Execution(
        model_digest=digest,
        precision=PRECISIONS[backend.precision.value],
        provider=backend.provider,
        rewrites=rewrites,
    )
    if deviation is not None:
        message.deviation.CopyFrom(precision_pb2.Deviation(**asdict(deviation)))
    return message


def _influence(arrays: _Arrays, scalars: _Scalars) -> Message:
    return analysis_service_pb2.InfluenceResponse(
        **cast(dict[str, Any], arrays),
        range_width=cast(float, scalars["range_width"]),
        pairs=cast(int, scalars["pairs"]),
        distinct_images=cast(int, scalars["distinct_images"]),
        originals=str(scalars["originals"]),
        layer=str(scalars["layer"]),
        execution=_execution(scalars),
        stopping=_stopping(scalars),
        layers=cast(list[str], scalars.get("layers", [])),
        stratified=cast(bool, scalars.get("stratified", False)),
    )


def _stopping(scalars: _Scalars) -> analysis_service_pb2.Stopping | None:
    if "stopping" not in scalars:
        return None
    return analysis_service_pb2.Stopping(**cast(dict[str, Any], scalars["stopping"]))


def _modules(arrays: _Arrays, scalars: _Scalars) -> Message:
    return analysis_service_pb2.ModulesResponse(
        **arrays,
        seeds_agreeing=cast(int, scalars["seeds_agreeing"]),
        method=METHODS[str(scalars["method"])],
        # An earlier version kept none, since it left nothing out.
        impure=cast(int, scalars.get("impure", 0)),
    )


def _stability(arrays: _Arrays, scalars: _Scalars) -> Message:
    return analysis_service_pb2.StabilityResponse(
        **arrays,
        methods=[METHODS[method] for method in cast(list[str], scalars["methods"])],
        suggested=[_suggested(x) for x in cast(list[_Scalars], scalars["suggested"])],
        channels=cast(int, scalars["channels"]),
    )


def _suggested(scalars: _Scalars) -> analysis_service_pb2.SuggestedK:
    return analysis_service_pb2.SuggestedK(
        method=METHODS[str(scalars["method"])],
        k=cast(int, scalars["k"]),
        consistency=cast(float, scalars["consistency"]),
        chance=cast(float, scalars["chance"]),
        excess_stderr=cast(float, scalars["excess_stderr"]),
        rivals=cast(list[int], scalars["rivals"]),
        reason=str(scalars["reason"]),
    )


def _magnitude(arrays: _Arrays, scalars: _Scalars) -> Message:
    return analysis_service_pb2.MagnitudeResponse(
        **arrays,
        layers=cast(list[str], scalars["layers"]),
        by_share=_regressions(scalars["by_share"]),
        by_channels=_regressions(scalars["by_channels"]),
        range_width=cast(float, scalars["range_width"]),
        pairs=cast(int, scalars["pairs"]),
        distinct_images=cast(int, scalars["distinct_images"]),
        originals=str(scalars["originals"]),
        method=METHODS[str(scalars["method"])],
        execution=_execution(scalars),
    )


def _regressions(lines: Json) -> list[analysis_service_pb2.Regression]:
    return [
        analysis_service_pb2.Regression(**line)  # type: ignore[arg-type]
        for line in cast(list[_Scalars], lines)
    ]


def _execution(scalars: _Scalars) -> precision_pb2.Execution:
    # Results of earlier versions are those of the plain path.
    backend = Backend(str(scalars["provider"]), Precision(scalars.get("precision", "fp32")))
    rewrites = cast(list[str], scalars.get("rewrites", []))
    found = cast(dict[str, Any] | None, scalars.get("deviation"))
    deviation = None if found is None else Deviation(**found)
    return execution(str(scalars["model_digest"]), backend, rewrites, deviation)


_RESPONSES: dict[str, Callable[[_Arrays, _Scalars], Message]] = {
    "influence": _influence,
    "modules": _modules,
    "stability": _stability,
    "magnitude": _magnitude,
}
