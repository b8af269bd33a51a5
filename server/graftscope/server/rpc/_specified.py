"""From a job's specification to the request that would give it again."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from graftscope.server.jobs import (
    ORIGINAL2,
    ArrayRef,
    EditSpec,
    InfluenceSpec,
    Job,
    MagnitudeSpec,
    ModulesSpec,
    OriginalsSpec,
    StabilitySpec,
    parse_spec,
)
from graftscope.server.rpc._arrays import describe, tensor
from graftscope.server.rpc._edits import edit_message
from graftscope.server.rpc._methods import METHODS
from graftscope.server.rpc._precisions import PRECISIONS
from graftscope.server.rpc._until import until_message
from graftscope.v1 import (
    analysis_service_pb2,
    intervention_pb2,
    originals_pb2,
)


def specify(message: analysis_service_pb2.AnalysisMetadata, job: Job) -> None:
    """States what a job computes: the request that would give it again."""
    spec = parse_spec(job.specification)
    match spec:
        case ModulesSpec():
            message.modules.CopyFrom(_modules_request(spec))
        case StabilitySpec():
            message.stability.CopyFrom(_stability_request(spec))
        case MagnitudeSpec():
            message.model_digest = spec.model
            message.magnitude.CopyFrom(_magnitude_request(spec, job.model))
        case InfluenceSpec():
            message.model_digest = spec.model
            message.influence.CopyFrom(_influence_request(spec, job.model))


def _modules_request(spec: ModulesSpec) -> analysis_service_pb2.ModulesRequest:
    return analysis_service_pb2.ModulesRequest(
        maps=describe(spec.maps),
        k=spec.k,
        method=METHODS[spec.method],
        seeds=spec.seeds,
        window=spec.window,
        percentile=spec.percentile,
        products=None if spec.products is None else describe(spec.products),
        min_purity=spec.min_purity,
    )


def _stability_request(spec: StabilitySpec) -> analysis_service_pb2.StabilityRequest:
    return analysis_service_pb2.StabilityRequest(
        maps=describe(spec.maps),
        ks=spec.ks,
        methods=[METHODS[method] for method in spec.methods],
        repeats=spec.repeats,
        seed=spec.seed,
        window=spec.window,
        percentile=spec.percentile,
        products=None if spec.products is None else describe(spec.products),
    )


def _magnitude_request(spec: MagnitudeSpec, model: str) -> analysis_service_pb2.MagnitudeRequest:
    return analysis_service_pb2.MagnitudeRequest(
        model=model,
        layers=spec.layers,
        ks=spec.ks,
        method=METHODS[spec.method],
        seed=spec.method_seed,
        pairs=_pairs(spec),
        map_size=spec.map_size,
        window=spec.window,
        percentile=spec.percentile,
    )


def _pairs(spec: InfluenceSpec | MagnitudeSpec) -> originals_pb2.Pairs:
    return originals_pb2.Pairs(
        seed=spec.seed,
        count=spec.pairs,
        first=spec.first,
        originals=_originals(spec.originals),
        share=spec.originals.share,
        fix=_latents(spec.originals.latents("fix")),
        stratified=spec.originals.stratified,
    )


def _influence_request(spec: InfluenceSpec, model: str) -> analysis_service_pb2.InfluenceRequest:
    """The request that would give the same job."""
    message = analysis_service_pb2.InfluenceRequest(
        model=model,
        layer=spec.layer,
        map_size=spec.map_size,
        precision=PRECISIONS[spec.precision],
        pairs=_pairs(spec),
        products=spec.products,
        until=until_message(spec.until),
    )
    if spec.subject == "layers":
        message.each_layer.layers.extend(each.layer for each in spec.each_layer)
    elif spec.subject == "channels":
        message.each_channel.indices.extend(spec.indices)
    elif spec.subject == "modules":
        message.each_module.tensor.CopyFrom(tensor(_labels(spec)))
    else:
        message.each_intervention.interventions.extend(_interventions(spec))
    return message


def _interventions(spec: InfluenceSpec) -> list[intervention_pb2.Intervention]:
    swaps = ((EditSpec(spec.layer, channels, donor=ORIGINAL2),) for channels in spec.sets)
    return [
        intervention_pb2.Intervention(edits=[edit_message(edit) for edit in edits])
        for edits in spec.interventions or swaps
    ]


def _labels(spec: InfluenceSpec) -> NDArray[np.int64]:
    """(C,), the module of each channel; -1 for none."""
    labels = np.full(spec.channels, -1, dtype=np.int64)
    for module, channels in zip(spec.indices, spec.sets, strict=True):
        labels[list(channels)] = module
    return labels


def _originals(originals: OriginalsSpec) -> originals_pb2.Originals:
    arrays = originals.arrays
    match originals.kind:
        case "prior":
            return originals_pb2.Originals(prior=originals_pb2.Prior())
        case "encoded":
            return originals_pb2.Originals(encoded=originals_pb2.Encoded())
        case "images":
            images = originals_pb2.Images(images=describe(arrays["images"]))
            return originals_pb2.Originals(images=images)
        case "image_pairs":
            pairs = originals_pb2.ImagePairs(
                images1=describe(arrays["images1"]), images2=describe(arrays["images2"])
            )
            return originals_pb2.Originals(image_pairs=pairs)
        case _:
            latents = originals_pb2.LatentPairs(
                latents1=_latents(originals.latents("latents1")),
                latents2=_latents(originals.latents("latents2")),
            )
            return originals_pb2.Originals(latents=latents)


def _latents(refs: Mapping[str, ArrayRef]) -> originals_pb2.Latents:
    inputs = {name: describe(ref) for name, ref in refs.items()}
    return originals_pb2.Latents(inputs=inputs)
