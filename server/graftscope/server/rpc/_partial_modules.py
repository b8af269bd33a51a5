"""Modules of a job that goes on, or did: what is asked of them, and how they are told."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from graftscope import codec
from graftscope.server.analysis import NO_MODULE, Method, area_means, require_smoothing
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import (
    InfluenceSpec,
    Job,
    LayerModules,
    ModulesQuestion,
    ModulesSoFar,
    layer_names,
    parse_spec,
    require_influence,
)
from graftscope.server.rpc._checks import smoothing
from graftscope.server.rpc._previews import SIDE
from graftscope.server.rpc._versions import method
from graftscope.v1 import analysis_service_pb2

DEFAULT_K = 3
"""Number of modules where none is said."""

TOO_EARLY = "modules are found once the job has computed for a while; ask again, or watch it"

# Of the 4 MiB of a message.
_WATCHED_BYTES = 3 * 2**20


def question(message: analysis_service_pb2.PartialModules, job: Job, field: str) -> ModulesQuestion:
    """Which modules are wanted of a job's maps, with defaults filled in.

    Raises:
        InvalidInput: the job is no influence of channels, or a value is not allowed.
        Unsupported: the method is of a later version.
    """
    require_influence(job)
    spec = parse_spec(job.specification)
    assert isinstance(spec, InfluenceSpec)
    asked = ModulesQuestion(
        k=message.k or DEFAULT_K,
        method=method(message.method),
        seed=message.seed,
        **smoothing(message),
    )
    if spec.subject not in ("channels", "layers"):
        raise InvalidInput(
            f"{field}: modules are of channels, and operation 'operations/{job.id}' computes maps "
            f"of {spec.subject}",
            field=field,
        )
    fewest = min(len(rows) for rows in spec.rows)
    if asked.k > fewest:
        raise InvalidInput(
            f"{field}: k is {asked.k}; 1 to {fewest} is allowed, the number of channels whose maps "
            "are computed",
            field=f"{field}.k",
        )
    if Method(asked.method).needs_products and not spec.products:
        raise InvalidInput(
            f"{field}: method {asked.method} needs products of the channels' effects, and "
            f"operation 'operations/{job.id}' computes none",
            field=f"{field}.method",
        )
    require_smoothing(asked.window, asked.percentile, spec.map_size)
    return replace(asked, named_as=_named_as(message, asked.k, spec, field))


def _named_as(
    message: analysis_service_pb2.PartialModules, k: int, spec: InfluenceSpec, field: str
) -> dict[str, NDArray[np.int64]]:
    """(C,) labels that modules are to be named after, by the layer."""
    rows = dict(zip(layer_names(spec), spec.rows, strict=True))
    found = {}
    for at, each in enumerate(message.named_as):
        where = f"{field}.named_as[{at}]"
        if each.layer not in rows:
            raise InvalidInput(
                f"{where} is of layer {each.layer!r}; the operation has: {', '.join(rows)}",
                field=f"{where}.layer",
            )
        labels, channels = np.array(each.labels, dtype=np.int64), len(rows[each.layer])
        if len(labels) != channels or labels.min() < NO_MODULE or labels.max() >= k:
            raise InvalidInput(
                f"{where}: labels are of {len(labels)} channels; {channels} are needed, each from "
                f"{NO_MODULE} to {k - 1}",
                field=f"{where}.labels",
            )
        found[each.layer] = labels
    return found


def arrays_of(layer: LayerModules) -> Mapping[str, NDArray[np.generic]]:
    """The arrays of a Modules operation under one seed, by their names; none without modules."""
    modules, probabilities = layer.modules, layer.probabilities
    if modules is None or probabilities is None:
        return {}
    return {
        "labels": modules.labels,
        "templates": modules.templates,
        "weights": modules.weights,
        "purity": modules.purity,
        "probabilities": probabilities,
        "seed_labels": modules.labels[np.newaxis],
        "seed_templates": modules.templates[np.newaxis],
        "agreement": np.ones(1),
        "cosine": np.ones(1),
    }


def watched(question: ModulesQuestion, found: ModulesSoFar) -> analysis_service_pb2.ModulesSoFar:
    """What those who watch are told: labels, how pure they are, and small templates."""
    message = analysis_service_pb2.ModulesSoFar(pairs=found.pairs)
    for layer in found.layers:
        told = message.layers.add(layer=layer.name, failure=layer.failure)
        if layer.modules is not None:
            whole = arrays_of(layer)
            said = {name: whole[name] for name in ("labels", "purity", "probabilities")}
            said["templates"] = area_means(layer.modules.templates, SIDE)
            rest = {"method": question.method, "confidence_unknown": layer.confidence_unknown}
            codec.fill(told.modules, {**said, **rest}, codec.inline)
    if message.ByteSize() > _WATCHED_BYTES:
        return analysis_service_pb2.ModulesSoFar(
            skipped="modules of so many channels are too large for a watch; ask for PartialResult"
        )
    return message
