"""Every field of the contract is said by some value of the client: none is mapped nowhere.

What is left out is named here with its reason, so that a new field fails until somebody maps it.
"""

from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor

from graftscope import codec
from graftscope.client import (
    Deviation,
    Estimate,
    Execution,
    FaithfulnessResult,
    FaithfulnessTask,
    HybridResult,
    ImageFormat,
    ImageNetwork,
    IndependenceResult,
    IndependenceTask,
    InfluenceResult,
    InfluenceTask,
    Intervention,
    Job,
    Layer,
    MagnitudeResult,
    MagnitudeTask,
    ModulesResult,
    ModulesTask,
    Posterior,
    Preprocessing,
    ProbedClassifier,
    ProbeResult,
    ProbeTask,
    Progress,
    ReachResult,
    ReachTask,
    RelativeError,
    Samples,
    StabilityResult,
    StabilityTask,
    StableLabels,
    StatedPreprocessing,
    Stopping,
    SuggestedK,
    TorchHook,
)
from graftscope.client import Regression as Line
from graftscope.client.interventions import Add, Blend, Constant, Edit, ModuleOf, Rectangle, Scale
from graftscope.client.values import (
    Explored,
    ExploreTask,
    HybridsTask,
    Pairs,
    PosteriorTask,
    SamplesTask,
)
from graftscope.client.wire import REQUESTS, UNIONS
from graftscope.v1 import (
    analysis_service_pb2,
    bundle_pb2,
    intervention_pb2,
    model_service_pb2,
    originals_pb2,
    precision_pb2,
    worth_pb2,
)

MAPS = np.zeros((4, 2, 2))
LABELS = np.array([0, 1, -1])
LATENTS = {"z": np.zeros((1, 2), np.float32)}

# A call's own name is for programs that repeat a call; this client's calls find the same job by
# what they ask for.
LEFT_BY_REQUESTS = {"request_id"}

TASKS: dict[type, list[Any]] = {
    SamplesTask: [SamplesTask("toy"), SamplesTask("toy", latents=LATENTS)],
    PosteriorTask: [PosteriorTask("toy", np.zeros((1, 2, 2, 3), np.uint8))],
    HybridsTask: [HybridsTask("toy", "conv1", [0])],
    ExploreTask: [ExploreTask("toy")],
    InfluenceTask: [
        InfluenceTask("toy", "conv1"),
        InfluenceTask("toy", "conv1", labels=LABELS),
        InfluenceTask("toy", layers=["conv1"]),
        InfluenceTask("toy", interventions=[Intervention([Edit("conv1", [0])])]),
    ],
    ModulesTask: [ModulesTask(MAPS)],
    StabilityTask: [StabilityTask(MAPS)],
    MagnitudeTask: [MagnitudeTask("toy")],
    IndependenceTask: [IndependenceTask("toy", "conv1", LABELS)],
    ReachTask: [ReachTask("toy", region=np.ones((2, 2)))],
    ProbeTask: [ProbeTask("toy", "conv1", LABELS)],
    FaithfulnessTask: [FaithfulnessTask("toy", "conv1", LABELS)],
}

VALUES: list[tuple[Descriptor, type, set[str]]] = [
    (originals_pb2.Pairs.DESCRIPTOR, Pairs, set()),
    (analysis_service_pb2.StableLabels.DESCRIPTOR, StableLabels, set()),
    (intervention_pb2.Edit.DESCRIPTOR, Edit, set()),
    (intervention_pb2.Module.DESCRIPTOR, ModuleOf, set()),
    (intervention_pb2.Rectangle.DESCRIPTOR, Rectangle, set()),
    (intervention_pb2.Constant.DESCRIPTOR, Constant, set()),
    (intervention_pb2.Scale.DESCRIPTOR, Scale, set()),
    (intervention_pb2.Add.DESCRIPTOR, Add, set()),
    (intervention_pb2.Blend.DESCRIPTOR, Blend, set()),
    (precision_pb2.Execution.DESCRIPTOR, Execution, set()),
    (precision_pb2.Deviation.DESCRIPTOR, Deviation, set()),
    (model_service_pb2.GenerateResponse.DESCRIPTOR, Samples, set()),
    (model_service_pb2.EncodeResponse.DESCRIPTOR, Posterior, set()),
    (model_service_pb2.HybridizeResponse.DESCRIPTOR, HybridResult, set()),
    (model_service_pb2.ExploreResponse.DESCRIPTOR, Explored, set()),
    # Results of several layers are divided by these.
    (
        analysis_service_pb2.InfluenceResponse.DESCRIPTOR,
        InfluenceResult,
        {"layers", "layer_of"},
    ),
    (analysis_service_pb2.Stopping.DESCRIPTOR, Stopping, set()),
    (analysis_service_pb2.ModulesResponse.DESCRIPTOR, ModulesResult, set()),
    (analysis_service_pb2.StabilityResponse.DESCRIPTOR, StabilityResult, set()),
    (analysis_service_pb2.SuggestedK.DESCRIPTOR, SuggestedK, set()),
    (analysis_service_pb2.MagnitudeResponse.DESCRIPTOR, MagnitudeResult, set()),
    (analysis_service_pb2.Regression.DESCRIPTOR, Line, set()),
    (worth_pb2.IndependenceResponse.DESCRIPTOR, IndependenceResult, set()),
    (worth_pb2.ReachResponse.DESCRIPTOR, ReachResult, set()),
    (worth_pb2.FaithfulnessResponse.DESCRIPTOR, FaithfulnessResult, set()),
    # Times carry their unit in a value's field.
    (analysis_service_pb2.Progress.DESCRIPTOR, Progress, {"eta"}),
    (analysis_service_pb2.Estimate.DESCRIPTOR, Estimate, {"duration"}),
    # A job tells its specification by kind, model and layer; the plan is the server's own affair.
    (
        analysis_service_pb2.AnalysisMetadata.DESCRIPTOR,
        Job,
        {
            "influence",
            "modules",
            "stability",
            "magnitude",
            "faithfulness",
            "independence",
            "reach",
            "probe",
            "plan",
            "create_time",
            "end_time",
            "expire_time",
        },
    ),
    (worth_pb2.ImageNetwork.DESCRIPTOR, ImageNetwork, set()),
    (worth_pb2.Preprocessing.DESCRIPTOR, Preprocessing, set()),
    (worth_pb2.Preprocessing.DESCRIPTOR, StatedPreprocessing, set()),
    (worth_pb2.ProbedClassifier.DESCRIPTOR, ProbedClassifier, set()),
    (worth_pb2.ProbeResponse.DESCRIPTOR, ProbeResult, set()),
    (bundle_pb2.Image.DESCRIPTOR, ImageFormat, set()),
    # Graph files are the server's.
    (bundle_pb2.Layer.DESCRIPTOR, Layer, {"upstream", "downstream"}),
    (bundle_pb2.TorchHook.DESCRIPTOR, TorchHook, set()),
]


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: str(kind.__name__))
def test_a_request_says_every_field_of_its_message(kind: type) -> None:
    said = {name for task in TASKS[kind] for name in task.request()} | {"dry_run"}
    fields = {field.name for field in REQUESTS[kind].DESCRIPTOR.fields}
    assert fields - said <= LEFT_BY_REQUESTS


@pytest.mark.parametrize(
    ("message", "kind", "elsewhere"), VALUES, ids=[kind.__name__ for _, kind, _ in VALUES]
)
def test_a_value_has_every_field_of_its_message(
    message: Descriptor, kind: type, elsewhere: set[str]
) -> None:
    assert codec.unmapped(message, kind) == elsewhere


def test_every_member_of_a_oneof_has_a_type() -> None:
    messages = [
        *(kind.DESCRIPTOR for kind in (intervention_pb2.Edit, intervention_pb2.Swap)),
        *(kind.DESCRIPTOR for kind in (intervention_pb2.Constant, intervention_pb2.Add)),
        intervention_pb2.Mask.DESCRIPTOR,
        originals_pb2.Originals.DESCRIPTOR,
        analysis_service_pb2.StoppingRule.DESCRIPTOR,
    ]
    for message in messages:
        for oneof in message.oneofs:
            members = {field.name for field in oneof.fields}
            # An edit's channels and module are fields of their own.
            assert members in (
                UNIONS.get(f"{message.name}.{oneof.name}", {}).keys(),
                {"channels", "module"},
            )
    assert RelativeError in UNIONS["StoppingRule.rule"].values()
