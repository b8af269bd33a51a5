"""From a job's specification to the request that would give it again."""

from collections.abc import Mapping

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from graftscope import codec
from graftscope.server.engine import ORIGINAL2, Precision
from graftscope.server.jobs import (
    ArrayRef,
    ConfidentLabelsSpec,
    DonorSpec,
    EditSpec,
    IndependenceSpec,
    InfluenceSpec,
    Job,
    MagnitudeSpec,
    NetworkSpec,
    OriginalsSpec,
    ReachSpec,
    RelativeErrorSpec,
    StableLabelsSpec,
    UntilSpec,
    WorthSpec,
    parse_spec,
)
from graftscope.server.rpc._arrays import describe
from graftscope.server.rpc._worth import say_network
from graftscope.v1 import analysis_service_pb2, tensor_pb2

_Said = dict[str, object]
_INNER = ("version", "analysis")


def specify(message: analysis_service_pb2.AnalysisMetadata, job: Job) -> None:
    """States what a job computes: the request that would give it again."""
    spec = parse_spec(job.specification)
    match spec:
        case MagnitudeSpec():
            message.model_digest = spec.model
            _fill(message.magnitude, _magnitude(spec, job.model))
        case InfluenceSpec():
            message.model_digest = spec.model
            _fill(message.influence, _influence(spec, job.model))
        case WorthSpec():
            message.model_digest = spec.model
            _fill(getattr(message, spec.analysis), _worth(spec, job.model))
        case _:
            _fill(getattr(message, spec.analysis), _but(spec, *_INNER))


def _fill(message: Message, said: _Said) -> None:
    codec.fill(message, said, _put)


def _put(array: ArrayRef | NDArray[np.generic]) -> tensor_pb2.Array:
    if isinstance(array, ArrayRef):
        return describe(array)
    return tensor_pb2.Array(tensor=codec.tensor(array))


def _but(spec: object, *names: str) -> _Said:
    """A specification's fields without some."""
    return {name: value for name, value in vars(spec).items() if name not in names}


def _magnitude(spec: MagnitudeSpec, model: str) -> _Said:
    left = (*_INNER, "method_seed", "originals", "first", "arithmetic")
    said = _but(spec, *left)
    return {**said, "model": model, "seed": spec.method_seed, "pairs": _pairs(spec)}


def _influence(spec: InfluenceSpec, model: str) -> _Said:
    names = ("layer", "map_size", "precision", "products")
    said = {name: getattr(spec, name) for name in names}
    until = None if spec.until is None else _until(spec.until)
    said["uncorrected"] = spec.precision != Precision.FP32.value and not spec.corrected
    return {**said, **_subject(spec), "model": model, "pairs": _pairs(spec), "until": until}


def _worth(spec: WorthSpec, model: str) -> _Said:
    left = (*_INNER, "originals", "seed", "first", "arithmetic", "draws")
    said = {name: _without_digest(value) for name, value in _but(spec, *left).items()}
    if isinstance(spec, ReachSpec):
        said |= {"score": None}
        if spec.network is not None:
            network = _without_digest(spec.network)
            said["score"] = {
                "network": network,
                "name": spec.score,
                "probability": spec.probability,
            }
        del said["network"], said["probability"]
    # Independence draws nothing but its pairs.
    drawn = {} if isinstance(spec, IndependenceSpec) else {"seed": spec.draws}
    return {**said, **drawn, "model": model, "pairs": _pairs(spec)}


def _without_digest(value: object) -> object:
    """Networks as messages hold them; anything else as it is."""
    if isinstance(value, NetworkSpec):
        return say_network(value)
    if isinstance(value, tuple):
        return tuple(map(_without_digest, value))
    return value


def _subject(spec: InfluenceSpec) -> _Said:
    match spec.subject:
        case "layers":
            return {"each_layer": [each.layer for each in spec.each_layer]}
        case "channels":
            return {"each_channel": spec.indices}
        case "modules":
            return {"each_module": _labels(spec)}
        case _:
            swaps = ((EditSpec(spec.layer, x, donor=ORIGINAL2),) for x in spec.sets)
            return {
                "each_intervention": [
                    {"edits": [_edit(edit) for edit in edits]}
                    for edits in spec.interventions or swaps
                ]
            }


def _labels(spec: InfluenceSpec) -> NDArray[np.int64]:
    """(C,), the module of each channel; -1 for none."""
    labels = np.full(spec.channels, -1, dtype=np.int64)
    for module, channels in zip(spec.indices, spec.sets, strict=True):
        labels[list(channels)] = module
    return labels


def _edit(edit: EditSpec) -> _Said:
    mask = None if edit.mask is None else {"array": edit.mask}
    return {"layer": edit.layer, "channels": edit.channels, "mask": mask, **_action(edit)}


def _action(edit: EditSpec) -> _Said:
    number = edit.number or 0.0
    match edit.action:
        case "constant" | "add":
            value = {"scalar": number} if edit.array is None else {"array": edit.array}
            return {edit.action: value}
        case "prior_mean":
            return {"constant": {"prior_mean": {}}}
        case "scale":
            return {"scale": {"factor": number}}
        case "blend":
            return {"blend": {"weight": number, "donor": _donor(edit.donor or ORIGINAL2)}}
        case _:
            return {"swap": _donor(edit.donor or ORIGINAL2)}


def _donor(donor: DonorSpec) -> Mapping[str, object]:
    return donor.arrays if donor.kind == "image" else {donor.kind: donor.arrays}


def _until(rule: UntilSpec) -> _Said:
    match rule:
        case RelativeErrorSpec():
            return {rule.rule: rule.error, "together": rule.together}
        case ConfidentLabelsSpec():
            said = _but(rule, "version", "rule", "together")
            return {rule.rule: said, "together": rule.together}
        case StableLabelsSpec():
            return {rule.rule: _but(rule, "version", "rule")}


def _pairs(spec: InfluenceSpec | MagnitudeSpec | WorthSpec) -> _Said:
    originals = spec.originals
    return {
        "seed": spec.seed,
        "count": spec.pairs,
        "first": spec.first,
        "originals": {originals.kind: _given(originals)},
        "share": originals.share,
        "fix": originals.latents("fix"),
        "stratified": originals.stratified,
    }


def _given(originals: OriginalsSpec) -> Mapping[str, object]:
    """The arrays of originals as their message holds them."""
    if originals.kind == "latents":
        return {name: originals.latents(name) for name in ("latents1", "latents2")}
    return {name: ref for name, ref in originals.arrays.items() if "/" not in name}
