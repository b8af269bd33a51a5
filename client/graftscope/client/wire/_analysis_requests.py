"""Requests for analyses: from the client's tasks to the contract's messages."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from graftscope.client import _checks as check
from graftscope.client._choices import PairChoice
from graftscope.client._interventions import Intervention
from graftscope.client._tasks import (
    HybridTask,
    InfluenceTask,
    MagnitudeTask,
    Method,
    ModulesTask,
    StabilityTask,
)
from graftscope.client.errors import InputError, UsageError
from graftscope.client.wire._interventions import intervention_to_proto
from graftscope.client.wire._names import model_name, operation_name
from graftscope.client.wire._originals import pairs_to_proto
from graftscope.client.wire._outbox import Outbox
from graftscope.client.wire._precision import precision_to_proto
from graftscope.client.wire._until import until_to_proto
from graftscope.v1 import analysis_service_pb2, intervention_pb2, tensor_pb2

METHODS = {
    Method.NMF: analysis_service_pb2.METHOD_NMF,
    Method.KMEANS: analysis_service_pb2.METHOD_KMEANS,
    Method.PCA: analysis_service_pb2.METHOD_PCA,
    Method.SPECTRAL: analysis_service_pb2.METHOD_SPECTRAL,
}


def influence_request(
    task: InfluenceTask, outbox: Outbox, *, dry_run: bool = False
) -> analysis_service_pb2.InfluenceRequest:
    """Ask for influence maps, or with `dry_run` for what they are going to cost."""
    request = analysis_service_pb2.InfluenceRequest(
        model=model_name(task.model),
        layer=task.layer,
        pairs=pairs_to_proto(_drawn(task, task.seed), outbox),
        map_size=check.whole_number("map_size", task.map_size),
        products=task.products,
        precision=precision_to_proto(task.precision),
        until=until_to_proto(task.until),
        dry_run=dry_run,
    )
    _check_subject(task)
    if task.interventions is not None:
        request.each_intervention.CopyFrom(_each_intervention(task.interventions, outbox))
    elif task.layers is not None:
        _distinct("layer", task.layers)
        request.each_layer.layers.extend(task.layers)
    elif task.labels is not None:
        request.each_module.CopyFrom(outbox.add(check.module_labels(task.labels)))
    else:
        request.each_channel.CopyFrom(_each_channel(task.channels))
    return request


def _check_subject(task: InfluenceTask) -> None:
    """Check that maps of one kind are asked for, and where."""
    if task.labels is not None and task.channels is not None:
        raise UsageError("say either `channels` or `labels`: maps of channels, or of modules")
    if task.layers is not None:
        _check_layers_alone(task)
        return
    if task.interventions is None:
        if not task.layer:
            raise UsageError("say where: either `layer`, or `interventions`")
    elif task.layer or task.labels is not None or task.channels is not None:
        raise UsageError(
            "interventions name their layers and channels themselves: leave out `layer`, `channels`"
            " and `labels`"
        )


def _check_layers_alone(task: InfluenceTask) -> None:
    beside = (task.channels, task.labels, task.interventions)
    if task.layer or any(each is not None for each in beside):
        raise UsageError(
            "`layers` asks for every channel of each: leave out `layer`, `channels`, `labels` and"
            " `interventions`"
        )


def _each_intervention(
    interventions: Sequence[Intervention], outbox: Outbox
) -> analysis_service_pb2.Interventions:
    if not interventions:
        raise InputError("no interventions: give at least one", field="interventions")
    packed = [intervention_to_proto(each, outbox) for each in interventions]
    return analysis_service_pb2.Interventions(interventions=packed)


def _drawn(task: HybridTask, seed: int) -> PairChoice:
    return PairChoice(
        task.pairs, seed, task.first, task.originals, task.share, task.fix, task.stratified
    )


def _each_channel(channels: Sequence[int] | None) -> intervention_pb2.Channels:
    # On the wire an empty list means all, so an empty choice must not get there.
    indices = () if channels is None else check.channel_indices(channels, may_be_empty=False)
    return intervention_pb2.Channels(indices=indices)


def modules_request(task: ModulesTask, outbox: Outbox) -> analysis_service_pb2.ModulesRequest:
    """Ask for modules."""
    seeds = [check.whole_number("seed", seed) for seed in task.seeds]
    if not seeds:
        raise InputError("no seeds: give at least one", field="seeds")
    method = _method(task.method)
    return analysis_service_pb2.ModulesRequest(
        k=check.whole_number("k", task.k, low=1),
        maps=_maps(task.maps, task.k, outbox),
        method=METHODS[method],
        seeds=seeds,
        window=_window(task.window),
        percentile=_percentile(task.percentile),
        products=_products(task.maps, task.products, [method], outbox),
        min_purity=_min_purity(task.min_purity),
    )


def stability_request(task: StabilityTask, outbox: Outbox) -> analysis_service_pb2.StabilityRequest:
    """Ask how stable modules are."""
    methods = [_method(method) for method in task.methods]
    _distinct("method", methods)
    ks = _ks(task.ks, low=2)
    return analysis_service_pb2.StabilityRequest(
        maps=_maps(task.maps, max(ks, default=1), outbox),
        ks=ks,
        methods=[METHODS[method] for method in methods],
        repeats=check.whole_number("repeats", task.repeats, low=1),
        seed=check.whole_number("seed", task.seed),
        window=_window(task.window),
        percentile=_percentile(task.percentile),
        products=_products(task.maps, task.products, methods, outbox),
    )


def magnitude_request(
    task: MagnitudeTask, outbox: Outbox, *, dry_run: bool = False
) -> analysis_service_pb2.MagnitudeRequest:
    """Ask how much modules change the image, or with `dry_run` what that is going to cost."""
    layers = () if task.layers is None else task.layers
    if task.layers is not None:
        _distinct("layer", layers)
    return analysis_service_pb2.MagnitudeRequest(
        model=model_name(task.model),
        layers=layers,
        ks=_ks(task.ks, low=1),
        method=METHODS[_method(task.method)],
        seed=check.whole_number("seed", task.seed),
        pairs=pairs_to_proto(_drawn(task, task.pairs_seed), outbox),
        map_size=check.whole_number("map_size", task.map_size),
        window=_window(task.window),
        percentile=_percentile(task.percentile),
        dry_run=dry_run,
    )


def _maps(maps: NDArray[np.floating] | str, k: int, outbox: Outbox) -> tensor_pb2.Array:
    """Place maps of which at least `k` are needed."""
    if isinstance(maps, str):
        return _result(maps, "maps")
    array = check.influence_maps(maps)
    if k > len(array):
        raise InputError(f"k {k} is more than the {len(array)} maps there are", field="k")
    return outbox.add(array)


def _products(
    maps: NDArray[np.floating] | str,
    products: NDArray[np.floating] | None,
    methods: Iterable[Method],
    outbox: Outbox,
) -> tensor_pb2.Array | None:
    """Place products, for methods that need them only."""
    needing = [method for method in methods if method.needs_products]
    if not needing:
        return None
    if products is not None:
        return outbox.add(check.products(products, None if isinstance(maps, str) else len(maps)))
    if isinstance(maps, str):
        return _result(maps, "products")
    raise InputError(
        f"method {needing[0]} needs the products of the maps, and there are none: compute the maps"
        " with products=True, or give `products`",
        field="products",
    )


def _result(operation: str, array: str) -> tensor_pb2.Array:
    name = operation_name(operation)
    return tensor_pb2.Array(result=tensor_pb2.OperationResult(operation=name, array=array))


def _ks(ks: Sequence[int] | None, low: int) -> list[int]:
    """Check numbers of modules; none at all leaves them to the server."""
    if ks is None:
        return []
    _distinct("k", ks)
    return [check.whole_number("k", k, low=low) for k in ks]


def _distinct(name: str, values: Sequence[object]) -> None:
    """Check that something is named, and nothing twice; on the wire an empty list is a default."""
    if not values:
        raise InputError(f"no {name}s: name at least one", field=f"{name}s")
    repeated = [value for value, times in Counter(values).items() if times > 1]
    if repeated:
        raise InputError(f"{name} {repeated[0]} is named more than once", field=f"{name}s")


def _method(method: Method) -> Method:
    try:
        return Method(method)
    except ValueError:
        allowed = ", ".join(Method)
        raise InputError(f"method {method!r} is unknown; there are: {allowed}") from None


def _window(window: int) -> int:
    if check.whole_number("window", window, low=1) % 2 == 0:
        raise InputError(f"window {window} is not allowed: it must be odd", field="window")
    return window


def _percentile(percentile: float) -> float:
    # On the wire 0 means the default, so it cannot be asked for.
    if not 0.0 < percentile < 100.0:
        raise InputError(
            f"percentile {percentile:g} is not allowed: it must lie above 0 and below 100",
            field="percentile",
        )
    return percentile


def _min_purity(purity: float) -> float:
    if not 0.0 <= purity <= 1.0:
        raise InputError(
            f"min_purity {purity:g} is not allowed: it must be from 0 to 1", field="min_purity"
        )
    return purity
