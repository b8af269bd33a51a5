"""What each method takes: a role of its caller, and a kind of work of the server.

The one table of them. A method that is not in it is refused.
"""

from dataclasses import dataclass
from enum import Enum

from graftscope.server.access._principal import Role


class Work(Enum):
    """What a call takes of the server, by which its limits are chosen."""

    CONTROL = "control"
    """Answered at once, whatever else goes on: looking things up, stopping them."""
    INTERACTIVE = "interactive"
    """Computed while the caller waits."""
    EXPLORE = "explore"
    """Open for as long as its caller likes, and computes now and then."""
    JOB = "job"
    """Starts a job, which is computed later."""
    TRANSFER = "transfer"
    """Sends or receives an array."""
    WATCH = "watch"
    """Waits for as long as a job goes on."""


@dataclass(frozen=True)
class Method:
    """What a method takes.

    Attributes:
        role: the least role of its caller; None where nobody is asked.
        work: what it takes of the server.
    """

    role: Role | None
    work: Work


_V1 = "/graftscope.v1."
_OPERATIONS = "/google.longrunning.Operations/"
_INFERENCE = "/inference.GRPCInferenceService/"
_HEALTH = "/grpc.health.v1.Health/"
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/"

METHODS = {
    f"{_V1}ModelService/ListModels": Method(Role.READER, Work.CONTROL),
    f"{_V1}ModelService/GetModel": Method(Role.READER, Work.CONTROL),
    f"{_V1}ModelService/Generate": Method(Role.READER, Work.INTERACTIVE),
    f"{_V1}ModelService/Encode": Method(Role.READER, Work.INTERACTIVE),
    f"{_V1}ModelService/Hybridize": Method(Role.READER, Work.INTERACTIVE),
    f"{_V1}ModelService/Explore": Method(Role.READER, Work.EXPLORE),
    f"{_V1}ModelService/RegisterModel": Method(Role.ADMIN, Work.TRANSFER),
    f"{_V1}ModelService/DeleteModel": Method(Role.ADMIN, Work.CONTROL),
    f"{_V1}AnalysisService/Influence": Method(Role.ANALYST, Work.JOB),
    f"{_V1}AnalysisService/Modules": Method(Role.ANALYST, Work.JOB),
    f"{_V1}AnalysisService/Stability": Method(Role.ANALYST, Work.JOB),
    f"{_V1}AnalysisService/Magnitude": Method(Role.ANALYST, Work.JOB),
    f"{_V1}AnalysisService/Faithfulness": Method(Role.ANALYST, Work.JOB),
    f"{_V1}AnalysisService/Independence": Method(Role.ANALYST, Work.JOB),
    f"{_V1}AnalysisService/Reach": Method(Role.ANALYST, Work.JOB),
    f"{_V1}AnalysisService/Probe": Method(Role.ANALYST, Work.JOB),
    f"{_V1}AnalysisService/WatchOperation": Method(Role.READER, Work.WATCH),
    f"{_V1}AnalysisService/PartialResult": Method(Role.READER, Work.INTERACTIVE),
    f"{_V1}AnalysisService/ShareOperation": Method(Role.ANALYST, Work.CONTROL),
    f"{_V1}ArtifactService/PutArtifact": Method(Role.READER, Work.TRANSFER),
    f"{_V1}ArtifactService/ReadArtifact": Method(Role.READER, Work.TRANSFER),
    f"{_OPERATIONS}ListOperations": Method(Role.READER, Work.CONTROL),
    f"{_OPERATIONS}GetOperation": Method(Role.READER, Work.CONTROL),
    f"{_OPERATIONS}CancelOperation": Method(Role.ANALYST, Work.CONTROL),
    f"{_OPERATIONS}DeleteOperation": Method(Role.ANALYST, Work.CONTROL),
    f"{_OPERATIONS}WaitOperation": Method(Role.READER, Work.WATCH),
    f"{_INFERENCE}ServerLive": Method(Role.READER, Work.CONTROL),
    f"{_INFERENCE}ServerReady": Method(Role.READER, Work.CONTROL),
    f"{_INFERENCE}ModelReady": Method(Role.READER, Work.CONTROL),
    f"{_INFERENCE}ServerMetadata": Method(Role.READER, Work.CONTROL),
    f"{_INFERENCE}ModelMetadata": Method(Role.READER, Work.CONTROL),
    f"{_INFERENCE}ModelInfer": Method(Role.READER, Work.INTERACTIVE),
    f"{_HEALTH}Check": Method(None, Work.CONTROL),
    f"{_HEALTH}List": Method(None, Work.CONTROL),
    f"{_HEALTH}Watch": Method(None, Work.WATCH),
    f"{_REFLECTION}ServerReflectionInfo": Method(Role.READER, Work.CONTROL),
}
"""By the method's path."""


def method_of(path: str) -> Method | None:
    """What the method of this path takes; None where there is none of this path."""
    return METHODS.get(path)
