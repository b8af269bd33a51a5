"""What the contract has and the server has not, or newer clients alone know, is refused by name."""

from collections.abc import Iterator
from typing import NamedTuple

import grpc
import pytest
from google.protobuf.message import Message

from graftscope.v1 import (
    analysis_service_pb2,
    intervention_pb2,
)
from request_toys import (
    IMAGES,
    LAYER,
    Z,
    channels,
    edit,
    encode,
    generate,
    hybridize,
    influence,
    inline,
    latents,
    magnitude,
    modules,
    pairs,
    stability,
)
from server_toys import Stubs, call_for, refused

NEWER = 77
"""A number that no version so far gives to an enum's value."""

# Field 99, a varint, of value 1.
NEWER_FIELD = bytes([0x98, 0x06, 0x01])


class Missing(NamedTuple):
    """A request, the name that its refusal tells, and the field to blame."""

    name: str
    request: Message
    told: str
    field: str


def precisions() -> Iterator[Missing]:
    told = (
        f"precision number {NEWER} is not implemented yet; implemented are fp32, bf16, tf32, fp16, "
        "auto"
    )
    yield Missing("newer", influence(precision=NEWER), told, "precision")
    swap = edit(channels=channels(0))
    for request in (
        generate(samples=pairs(), precision=NEWER),
        encode(inline(IMAGES), precision=NEWER),
        hybridize(swap, precision=NEWER),
    ):
        yield Missing(request.DESCRIPTOR.name, request, told, "precision")


def encodings() -> Iterator[Missing]:
    swap = edit(channels=channels(0))
    newer = f"encoding number {NEWER} is not"
    yield Missing("newer encoding", hybridize(swap, encoding=NEWER), newer, "encoding")


def methods() -> Iterator[Missing]:
    told = (
        f"method number {NEWER} is not implemented yet; implemented are nmf, kmeans, pca, spectral"
    )
    for request in (modules(method=NEWER), stability(methods=[NEWER]), magnitude(method=NEWER)):
        yield Missing(f"newer method, {request.DESCRIPTOR.name}", request, told, "method")


def rules() -> Iterator[Missing]:
    """Of stopping rules only a method of a later version is not there."""
    labels = analysis_service_pb2.StableLabels(method=NEWER)  # type: ignore[arg-type]
    rule = analysis_service_pb2.StoppingRule(stable_labels=labels)
    told = f"method number {NEWER} is not implemented yet"
    yield Missing("until", influence(until=rule), told, "method")


def newer_fields() -> Iterator[Missing]:
    """Fields of a later version, which protobuf keeps aside."""
    request = influence()
    request.MergeFromString(NEWER_FIELD)
    yield Missing("field", request, "field number 99 of InfluenceRequest is not known", "")
    inside = hybridize(edit(channels=channels(0)))
    inside.intervention.edits[0].MergeFromString(NEWER_FIELD)
    yield Missing("in a list", inside, "field number 99 of Edit is not known", "")
    mapped = generate(latents=latents(Z))
    mapped.latents.inputs["z"].tensor.MergeFromString(NEWER_FIELD)
    yield Missing("in a map", mapped, "field number 99 of Tensor is not known", "")


MISSING = [
    *precisions(),
    *encodings(),
    *methods(),
    *rules(),
    *newer_fields(),
]


@pytest.mark.parametrize("missing", MISSING, ids=[missing.name for missing in MISSING])
def test_what_is_not_implemented_is_refused_by_name(toy_server: Stubs, missing: Missing) -> None:
    told = refused(call_for(toy_server, missing.request))
    assert told.code is grpc.StatusCode.UNIMPLEMENTED, told
    assert told.reason == "NOT_IMPLEMENTED"
    assert told.field == missing.field
    assert missing.told in told.message
    toy_server.goes_on()


def test_a_swap_may_be_left_to_the_defaults(toy_server: Stubs) -> None:
    spoken = edit(
        layer=LAYER,
        channels=channels(0),
        swap=intervention_pb2.Swap(original2=intervention_pb2.Original2()),
    )
    silent = edit(layer=LAYER, channels=channels(0))
    first, second = (toy_server.models.Hybridize(hybridize(each)) for each in (spoken, silent))
    assert first == second
