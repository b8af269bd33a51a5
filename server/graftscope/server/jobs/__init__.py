"""Durable jobs: specifications, the database, artifacts, checkpoints, and what runs them.

It knows the engine and the analyses; it must not know gRPC or protobuf.
"""

from graftscope.server.jobs._artifacts import (
    ArrayRef,
    ArtifactStore,
    ArtifactWriter,
    Scratch,
    array_bytes,
    check_sha256,
    decode_array,
)
from graftscope.server.jobs._lifecycle import JobSettings
from graftscope.server.jobs._live_job import Snapshot
from graftscope.server.jobs._resolver import Resolver
from graftscope.server.jobs._runner import JobRunner
from graftscope.server.jobs._specification import (
    DonorSpec,
    EditSpec,
    InfluenceSpec,
    InterventionSpec,
    LayerSpec,
    MagnitudeSpec,
    ModulesSpec,
    OriginalsSpec,
    RelativeErrorSpec,
    Spec,
    StabilitySpec,
    StableLabelsSpec,
    UntilSpec,
    canonical,
    identity,
    input_arrays,
    parse_spec,
)
from graftscope.server.jobs._stopping import (
    LEAST_PAIRS,
    LEAST_STABLE_PAIRS,
    LEAST_STRATIFIED_PAIRS,
    least_error_pairs,
)
from graftscope.server.jobs._store import (
    Checkpoint,
    Estimate,
    Failure,
    Job,
    JobState,
    JobStore,
    Json,
    Result,
)
from graftscope.server.jobs._sums import CheckpointFolder, Looks, Sums

__all__ = [
    "LEAST_PAIRS",
    "LEAST_STABLE_PAIRS",
    "LEAST_STRATIFIED_PAIRS",
    "ArrayRef",
    "ArtifactStore",
    "ArtifactWriter",
    "Checkpoint",
    "CheckpointFolder",
    "DonorSpec",
    "EditSpec",
    "Estimate",
    "Failure",
    "InfluenceSpec",
    "InterventionSpec",
    "Job",
    "JobRunner",
    "JobSettings",
    "JobState",
    "JobStore",
    "Json",
    "LayerSpec",
    "Looks",
    "MagnitudeSpec",
    "ModulesSpec",
    "OriginalsSpec",
    "RelativeErrorSpec",
    "Resolver",
    "Result",
    "Scratch",
    "Snapshot",
    "Spec",
    "StabilitySpec",
    "StableLabelsSpec",
    "Sums",
    "UntilSpec",
    "array_bytes",
    "canonical",
    "check_sha256",
    "decode_array",
    "identity",
    "input_arrays",
    "least_error_pairs",
    "parse_spec",
]
