"""Durable jobs: specifications, the database, artifacts, checkpoints, and what runs them.

It knows the engine and the analyses; it must not know gRPC or protobuf.
"""

from graftscope.server.jobs._artifact_store import (
    ArrayRef,
    ArtifactStore,
    ArtifactWriter,
    Scratch,
    array_bytes,
    check_sha256,
    decode_array,
    missing,
)
from graftscope.server.jobs._beside import Asked, Attempt, Beside
from graftscope.server.jobs._checkpoints import (
    CheckpointFolder,
    Sums,
)
from graftscope.server.jobs._expiry import Retention
from graftscope.server.jobs._influence import result_arrays, result_bytes, result_scalars
from graftscope.server.jobs._job import Failure, Job, JobState, Result
from graftscope.server.jobs._lifecycle import CHECKPOINT_S, MOST_CRASHES, JobSettings
from graftscope.server.jobs._live_job import Live, Snapshot
from graftscope.server.jobs._measurements import MeasurementStore
from graftscope.server.jobs._modules_so_far import (
    Layer,
    LayerModules,
    Material,
    ModulesQuestion,
    ModulesSoFar,
    layer_names,
)
from graftscope.server.jobs._networks import ENCODER
from graftscope.server.jobs._originals_spec import OriginalsSpec
from graftscope.server.jobs._peers import LEASE_S
from graftscope.server.jobs._preparation import check_readable
from graftscope.server.jobs._racing import LEAST_CONFIDENT_PAIRS, LEAST_LABEL_PROBABILITY
from graftscope.server.jobs._resolver import Resolver
from graftscope.server.jobs._room import QUEUED_JOBS
from graftscope.server.jobs._rules import least_error_pairs
from graftscope.server.jobs._runner import JobRunner, no_such_job
from graftscope.server.jobs._schema import SCHEMA, schema_of
from graftscope.server.jobs._so_far import SoFar, SoFars, require_influence
from graftscope.server.jobs._specification import (
    GROUPS,
    ConfidentLabelsSpec,
    DonorSpec,
    EditSpec,
    InfluenceSpec,
    InterventionSpec,
    LabelsSpec,
    LayerSpec,
    MagnitudeSpec,
    ModulesSpec,
    RelativeErrorSpec,
    Spec,
    StabilitySpec,
    StableLabelsSpec,
    UntilSpec,
    parse_spec,
)
from graftscope.server.jobs._stopping import LEAST_STABLE_PAIRS
from graftscope.server.jobs._store import JobStore
from graftscope.server.jobs._telling import about
from graftscope.server.jobs._worth_specs import (
    FaithfulnessSpec,
    IndependenceSpec,
    NetworkSpec,
    PreprocessingSpec,
    ProbeSpec,
    ReachSpec,
    WorthSpec,
)

__all__ = [
    "CHECKPOINT_S",
    "ENCODER",
    "GROUPS",
    "LEASE_S",
    "LEAST_CONFIDENT_PAIRS",
    "LEAST_LABEL_PROBABILITY",
    "LEAST_STABLE_PAIRS",
    "MOST_CRASHES",
    "QUEUED_JOBS",
    "SCHEMA",
    "ArrayRef",
    "ArtifactStore",
    "ArtifactWriter",
    "Asked",
    "Attempt",
    "Beside",
    "CheckpointFolder",
    "ConfidentLabelsSpec",
    "DonorSpec",
    "EditSpec",
    "Failure",
    "FaithfulnessSpec",
    "IndependenceSpec",
    "InfluenceSpec",
    "InterventionSpec",
    "Job",
    "JobRunner",
    "JobSettings",
    "JobState",
    "JobStore",
    "LabelsSpec",
    "Layer",
    "LayerModules",
    "LayerSpec",
    "Live",
    "MagnitudeSpec",
    "Material",
    "MeasurementStore",
    "ModulesQuestion",
    "ModulesSoFar",
    "ModulesSpec",
    "NetworkSpec",
    "OriginalsSpec",
    "PreprocessingSpec",
    "ProbeSpec",
    "ReachSpec",
    "RelativeErrorSpec",
    "Resolver",
    "Result",
    "Retention",
    "Scratch",
    "Snapshot",
    "SoFar",
    "SoFars",
    "Spec",
    "StabilitySpec",
    "StableLabelsSpec",
    "Sums",
    "UntilSpec",
    "WorthSpec",
    "about",
    "array_bytes",
    "check_readable",
    "check_sha256",
    "decode_array",
    "layer_names",
    "least_error_pairs",
    "missing",
    "no_such_job",
    "parse_spec",
    "require_influence",
    "result_arrays",
    "result_bytes",
    "result_scalars",
    "schema_of",
]
