"""Flows about what jobs have found so far."""

from collections.abc import Iterable
from dataclasses import replace

from graftscope.client.calls._flow import Flow, call
from graftscope.client.calls._operations import named
from graftscope.client.calls._transfers import fetch_all
from graftscope.client.errors import ReplyError
from graftscope.client.values import (
    InfluenceResult,
    LayersResult,
    Method,
    ModulesResult,
    OfMaps,
    PartialResult,
    modules_asked,
)
from graftscope.client.wire import (
    arrays_of,
    ask_modules,
    asked_arrays,
    job_from,
    modules_from,
    result_from,
)
from graftscope.v1 import analysis_service_pb2


def partial(
    name: str,
    modules: int | None = None,
    method: Method | str = Method.NMF,
    seed: int = 0,
    window: int = 3,
    percentile: float = 75.0,
) -> Flow[PartialResult]:
    """Tell what an influence job has found so far, at once; or its result, where it is done.

    Args:
        name: ``operations/ID``, or the ID alone, or its beginning.
        modules: Number of modules to find in the maps so far; None for none. There is time for
            them now and then, since they must not hold the job up.
        method: How they are found.
        seed: Of the method.
        window: Side of the averaging window in pixels, odd.
        percentile: Above which a pixel of a map counts, between 0 and 100, both excluded.

    Returns:
        Maps, standard errors and individual influences over the pairs so far, and modules.

    Raises:
        JobError: If the job has not come to anything yet.
        InputError: If it is no influence job, or its maps have no such modules.
    """
    request = analysis_service_pb2.PartialResultRequest(name=(yield from named(name)))
    if asked := modules_asked(modules, method, seed, window, percentile):
        ask_modules(request.modules, asked)
    reply: analysis_service_pb2.PartialResultResponse = yield from call(
        lambda stubs: stubs.analyses.PartialResult, request
    )
    influence = yield from _influence(reply)
    found = yield from _modules(reply.modules.layers, influence, seed)
    failures = [f"{each.layer}: {each.failure}" for each in reply.modules.layers if each.failure]
    return PartialResult(
        job_from(reply.operation),
        influence,
        found,
        reply.modules.pairs,
        reply.modules.skipped or "; ".join(failures),
        reply.from_checkpoint,
    )


def _influence(
    reply: analysis_service_pb2.PartialResultResponse,
) -> Flow[InfluenceResult | LayersResult]:
    """The maps, which say whether the job has come to its end."""
    stored = {**arrays_of(reply.influence), **asked_arrays(reply.operation)}
    found = result_from(reply.operation, reply.influence, (yield from fetch_all(stored)))
    is_partial = reply.from_checkpoint or not reply.operation.done
    match found:
        case InfluenceResult():
            return replace(found, is_partial=is_partial)
        case LayersResult():
            parts = {
                name: replace(each, is_partial=is_partial) for name, each in found.layers.items()
            }
            return replace(found, layers=parts)
    raise ReplyError(f"the server told of {reply.operation.name} what is no influence")


def _modules(
    layers: Iterable[analysis_service_pb2.LayerModules],
    influence: InfluenceResult | LayersResult,
    seed: int,
) -> Flow[dict[str, ModulesResult]]:
    """The modules of each layer that has any, by its name."""
    found = {}
    for each in layers:
        if each.HasField("modules"):
            arrays = yield from fetch_all(arrays_of(each.modules))
            of = influence[each.layer] if isinstance(influence, LayersResult) else influence
            made = modules_from(each.modules, arrays, seed, of.source)
            found[each.layer] = made.of_maps(OfMaps.of(of))
    return found
