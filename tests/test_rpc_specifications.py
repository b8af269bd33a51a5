"""A job tells all of the request that would give it again: no field of the contract is left out."""

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import Message

from graftscope.server.jobs import (
    ArrayRef,
    ConfidentLabelsSpec,
    FaithfulnessSpec,
    IndependenceSpec,
    Job,
    LayerSpec,
    NetworkSpec,
    OriginalsSpec,
    ProbeSpec,
    ReachSpec,
    RelativeErrorSpec,
    Spec,
    StableLabelsSpec,
)
from graftscope.server.jobs._job import Estimate
from graftscope.server.jobs._specification import canonical, identity
from graftscope.server.rpc._specifications import specify
from graftscope.server.rpc._stopping_rules import until
from graftscope.v1 import analysis_service_pb2
from test_jobs_specification import (
    EDIT,
    GROUPS,
    INFLUENCE,
    LATENTS,
    MAGNITUDE,
    MODULES,
    PRODUCTS,
    STABILITY,
)

# How a caller names a call, and whether it starts anything, is not what a job computes.
OF_THE_CALL = {"request_id", "dry_run"}

# Originals with everything that can be said of them.
ORIGINALS = OriginalsSpec("prior", {"fix/y": LATENTS}, share=("z",), stratified=True)
SURE = ConfidentLabelsSpec(0.9, 3, "nmf", 1, 3, 75.0, together=True)
RULES = (RelativeErrorSpec(0.1), StableLabelsSpec(3, "nmf", 1, 3, 75.0), SURE)
WHOLE: dict[str, Any] = {"originals": ORIGINALS, "seed": 2, "first": 32, "pairs": 64}

INDEPENDENCE = IndependenceSpec(
    model="d" * 64,
    originals=OriginalsSpec("prior", {}),
    seed=1,
    first=0,
    pairs=64,
    arithmetic=1,
    layer="conv1",
    labels=ArrayRef("a" * 64, "INT64", (4,)),
    features=NetworkSpec(name="celeba", sha256="b" * 64),
    templates=ArrayRef("c" * 64, "FP64", (2, 8, 8)),
)
REACH = ReachSpec(
    model="d" * 64,
    originals=OriginalsSpec("prior", {}),
    seed=1,
    first=0,
    pairs=8,
    arithmetic=1,
    layers=("conv1",),
    region=ArrayRef("a" * 64, "FP64", (8, 8)),
)
LOOKER = NetworkSpec(name="celeba", sha256="b" * 64)
NETWORK = NetworkSpec(sha256=LATENTS.sha256, file=LATENTS, title="mine", attributes=True)
PROBE = ProbeSpec(
    model=MAGNITUDE.model,
    layer="conv1",
    labels=LATENTS,
    classifiers=(NETWORK,),
    draws=5,
    arithmetic=1,
    **WHOLE,
)
FAITHFULNESS = FaithfulnessSpec(
    model="d" * 64,
    originals=OriginalsSpec("prior", {}),
    seed=1,
    first=0,
    pairs=64,
    arithmetic=1,
    layer="conv1",
    labels=ArrayRef("a" * 64, "INT64", (4,)),
    features=NetworkSpec(name="encoder"),
    data=ArrayRef("b" * 64, "UINT8", (64, 8, 8, 3)),
    individual=ArrayRef("c" * 64, "FP64", (4,)),
    templates=ArrayRef("e" * 64, "FP64", (2, 8, 8)),
)

EVERY: list[list[Spec]] = [
    [
        replace(INFLUENCE, **WHOLE, products=True, precision="bf16", until=RULES[0]),
        replace(INFLUENCE, subject="channels", until=RULES[1]),
        replace(INFLUENCE, subject="layers", each_layer=(LayerSpec("conv1", 4),)),
        replace(INFLUENCE, subject="interventions", interventions=((EDIT,),)),
    ],
    [replace(MODULES, products=PRODUCTS, min_purity=0.5, **GROUPS)],
    [replace(STABILITY, products=PRODUCTS, seed=3)],
    [replace(MAGNITUDE, **WHOLE, method_seed=4, method="kmeans")],
    [
        replace(REACH, **WHOLE, draws=5),
        replace(REACH, region=None, network=LOOKER, score="bright", probability=True),
    ],
    [PROBE],
    [replace(FAITHFULNESS, **WHOLE, draws=5)],
    [replace(INDEPENDENCE, **WHOLE)],
]


def told(spec: Spec) -> Message:
    """The request that a job of the specification tells of."""
    job = Job(
        id="1",
        analysis=spec.analysis,
        specification=canonical(spec),
        identity=identity(spec),
        model="toy",
        plan={},
        estimate=Estimate(0.0, 0, 0),
        shards_total=1,
    )
    metadata = analysis_service_pb2.AnalysisMetadata()
    specify(metadata, job)
    request: Message = getattr(metadata, spec.analysis)
    return request


def unsaid(messages: list[Message]) -> set[str]:
    """Fields that none of some messages of one kind has."""
    said = {field.name for message in messages for field, _ in message.ListFields()}
    return {field.name for field in messages[0].DESCRIPTOR.fields} - said


@pytest.mark.parametrize("specs", EVERY, ids=lambda specs: str(specs[0].analysis))
def test_a_job_tells_every_field_of_the_request_for_it(specs: list[Spec]) -> None:
    assert unsaid([told(spec) for spec in specs]) <= OF_THE_CALL


OF_PAIRS = {
    "influence": EVERY[0][0],
    "magnitude": EVERY[3][0],
    "reach": EVERY[4][0],
    "probe": PROBE,
    "independence": EVERY[6][0],
}


@pytest.mark.parametrize("spec", OF_PAIRS.values(), ids=OF_PAIRS)
def test_a_job_tells_every_field_of_its_pairs(spec: Spec) -> None:
    request = told(spec)
    assert unsaid([request.pairs]) == set()  # type: ignore[attr-defined]


def test_a_job_tells_every_field_of_its_stopping_rule() -> None:
    rules = [told(replace(INFLUENCE, until=rule)).until for rule in RULES]  # type: ignore[attr-defined]
    assert unsaid(rules) == set()
    assert unsaid([rules[1].stable_labels]) == set()
    assert unsaid([rules[2].confident_labels]) == set()


@pytest.mark.parametrize("version", [1, 2])
def test_a_rule_of_errors_tells_whether_all_maps_go_on_together(version: int) -> None:
    rule = told(replace(INFLUENCE, until=RelativeErrorSpec(0.1, version))).until  # type: ignore[attr-defined]
    assert rule.together == (version == 1)
    assert until(rule) == RelativeErrorSpec(0.1, version)
