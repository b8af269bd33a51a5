"""The contract's services over engine and jobs: parse, call one function, build the reply.

It is the only room of the server that knows gRPC and protobuf's requests.
"""

from graftscope.server.rpc._admission import FEWEST_QUEUED, QUEUE_A_WORKER, Admission, Limits
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._artifact_service import ArtifactServicer
from graftscope.server.rpc._belongings import Belongings
from graftscope.server.rpc._calls import Call, Calls, Observer, Opening, note
from graftscope.server.rpc._clustering import ClusteringRequests
from graftscope.server.rpc._draining import Drain
from graftscope.server.rpc._errors import REASONS, describe_failure
from graftscope.server.rpc._guard import VERSION_KEY, Context, Guard
from graftscope.server.rpc._interactive_runs import InteractiveRuns
from graftscope.server.rpc._models import ModelServicer
from graftscope.server.rpc._operations import AnalysisServicer, OperationsServicer
from graftscope.server.rpc._reading import EXPLORE_IDLE_S, Reading
from graftscope.server.rpc._registration import Registration, registered
from graftscope.server.rpc._requests import Requests
from graftscope.server.rpc._worth import WorthRequests

__all__ = [
    "EXPLORE_IDLE_S",
    "FEWEST_QUEUED",
    "QUEUE_A_WORKER",
    "REASONS",
    "VERSION_KEY",
    "Admission",
    "AnalysisServicer",
    "Arrays",
    "ArtifactServicer",
    "Belongings",
    "Call",
    "Calls",
    "ClusteringRequests",
    "Context",
    "Drain",
    "Guard",
    "InteractiveRuns",
    "Limits",
    "ModelServicer",
    "Observer",
    "Opening",
    "OperationsServicer",
    "Reading",
    "Registration",
    "Requests",
    "WorthRequests",
    "describe_failure",
    "note",
    "registered",
]
