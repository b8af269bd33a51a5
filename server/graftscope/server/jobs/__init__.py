"""Durable jobs: specifications, the database, artifacts, checkpoints, and what runs them.

It knows the engine and the analyses; it must not know gRPC or protobuf.
"""

from graftscope.server.jobs._array_ref import ArrayRef
from graftscope.server.jobs._artifacts import (
    DATATYPES,
    ArtifactStore,
    ArtifactWriter,
    array_bytes,
    check_sha256,
    decode_array,
    encode_array,
)
from graftscope.server.jobs._checkpoints import CheckpointFolder, Sums
from graftscope.server.jobs._edits import ORIGINAL2, DonorSpec, EditSpec, InterventionSpec
from graftscope.server.jobs._execution import JobSettings
from graftscope.server.jobs._live import Snapshot
from graftscope.server.jobs._resolve import Resolver
from graftscope.server.jobs._runner import JobRunner
from graftscope.server.jobs._specification import (
    InfluenceSpec,
    MagnitudeSpec,
    ModulesSpec,
    OriginalsSpec,
    Spec,
    StabilitySpec,
    canonical,
    identity,
    input_arrays,
    parse_spec,
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

__all__ = [
    "DATATYPES",
    "ORIGINAL2",
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
    "MagnitudeSpec",
    "ModulesSpec",
    "OriginalsSpec",
    "Resolver",
    "Result",
    "Snapshot",
    "Spec",
    "StabilitySpec",
    "Sums",
    "array_bytes",
    "canonical",
    "check_sha256",
    "decode_array",
    "encode_array",
    "identity",
    "input_arrays",
    "parse_spec",
]
