"""The contract's services over engine and jobs: parse, call one function, build the reply.

It is the only room of the server that knows gRPC and protobuf's requests.
"""

from graftscope.server.rpc._analyses import AnalysisServicer
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._artifacts import ArtifactServicer
from graftscope.server.rpc._clustering import ClusteringRequests
from graftscope.server.rpc._errors import describe_failure
from graftscope.server.rpc._guard import Guard
from graftscope.server.rpc._making import Making
from graftscope.server.rpc._models import ModelServicer
from graftscope.server.rpc._operations import OperationsServicer
from graftscope.server.rpc._options import server_options
from graftscope.server.rpc._requests import Requests

__all__ = [
    "AnalysisServicer",
    "Arrays",
    "ArtifactServicer",
    "ClusteringRequests",
    "Guard",
    "Making",
    "ModelServicer",
    "OperationsServicer",
    "Requests",
    "describe_failure",
    "server_options",
]
