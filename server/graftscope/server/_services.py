"""The services of a server, joined to what they serve from."""

from dataclasses import dataclass

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from graftscope.server._one_queue import one_queue
from graftscope.server.access import Grants
from graftscope.server.engine import Catalogue
from graftscope.server.inference import SERVICE, InferenceServicer, add_to_server, described
from graftscope.server.jobs import JobRunner
from graftscope.server.rpc import (
    AnalysisServicer,
    Arrays,
    ArtifactServicer,
    Belongings,
    ClusteringRequests,
    Drain,
    InteractiveRuns,
    ModelServicer,
    OperationsServicer,
    Reading,
    Registration,
    Requests,
    WorthRequests,
)
from graftscope.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
)

SERVICES = (
    analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"].full_name,
    artifact_service_pb2.DESCRIPTOR.services_by_name["ArtifactService"].full_name,
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
    operations_pb2.DESCRIPTOR.services_by_name["Operations"].full_name,
    health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
    SERVICE,
)


@dataclass(frozen=True)
class Served:
    """What services answer from.

    Attributes:
        grants: who may read which array; None where nobody is asked.
    """

    catalogue: Catalogue
    runner: JobRunner
    runs: InteractiveRuns
    grants: Grants | None
    reading: Reading
    registration: Registration
    drain: Drain


async def add_services(server: grpc.aio.Server, served: Served) -> health.aio.HealthServicer:
    """Every service, health and reflection; health says SERVING of all of them."""
    belongings = Belongings(served.runner, served.grants)
    arrays = Arrays(served.runner, belongings)
    requests = Requests(served.catalogue, arrays)
    models = ModelServicer(
        served.catalogue, arrays, served.runs, served.reading, served.registration
    )
    handlers = one_queue(server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(models, handlers)
    analyses = AnalysisServicer(
        served.runner,
        belongings,
        requests,
        ClusteringRequests(arrays),
        WorthRequests(requests.catalogue, arrays),
        served.reading,
    )
    analysis_service_pb2_grpc.add_AnalysisServiceServicer_to_server(analyses, handlers)
    artifacts = ArtifactServicer(served.runner.artifacts, belongings)
    artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server(artifacts, handlers)
    operations_pb2_grpc.add_OperationsServicer_to_server(
        OperationsServicer(served.runner, belongings), handlers
    )
    inference = InferenceServicer(
        served.catalogue,
        arrays.memory,
        served.runs,
        served.reading,
        lambda: not served.drain.stopping,
    )
    add_to_server(inference, server)
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, handlers)
    for service in SERVICES:
        await health_servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    # It looks which kind of server it is given.
    names = [*SERVICES, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server, described(names))
    return health_servicer
