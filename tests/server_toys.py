"""A real server on loopback, asked without the client: messages in, messages and statuses out."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import google_crc32c
import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from numpy.typing import NDArray

from graftscope.codec import encode
from graftscope.server import embedded_server
from graftscope.server.jobs import decode_array
from graftscope.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    tensor_pb2,
)

TIMEOUT_S = 60.0
_RETRY = error_details_pb2.RetryInfo.DESCRIPTOR
CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Refusal:
    """What a refused call is told."""

    code: grpc.StatusCode
    message: str
    reason: str
    field: str


class Stubs:
    """The services of a server, over one channel."""

    def __init__(self, address: str, channel: grpc.Channel, state: Path) -> None:
        self.address = address
        self.state = state
        self.channel = channel
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)
        self.analyses = analysis_service_pb2_grpc.AnalysisServiceStub(channel)
        self.artifacts = artifact_service_pb2_grpc.ArtifactServiceStub(channel)
        self.operations = operations_pb2_grpc.OperationsStub(channel)

    def wait(self, operation: operations_pb2.Operation) -> operations_pb2.Operation:
        """The operation once it is done."""
        request = operations_pb2.WaitOperationRequest(name=operation.name)
        ended = self.operations.WaitOperation(request, timeout=TIMEOUT_S)
        assert ended.done
        return ended

    def put(self, array: NDArray[np.generic]) -> tensor_pb2.Array:
        """Stores an array and names it."""
        datatype, view = encode(array)
        data = bytes(view)
        artifact = tensor_pb2.Artifact(
            sha256=hashlib.sha256(data).hexdigest(), datatype=datatype, shape=array.shape
        )
        self.artifacts.PutArtifact(iter(put_requests(artifact, data)), timeout=TIMEOUT_S)
        return tensor_pb2.Array(artifact=artifact)

    def read(self, array: tensor_pb2.Array) -> NDArray[np.generic]:
        """A response's array, inline or not."""
        if array.WhichOneof("source") == "tensor":
            tensor = array.tensor
            return decode_array(tensor.data, tensor.datatype, tuple(tensor.shape), "array")
        artifact = array.artifact
        request = artifact_service_pb2.ReadArtifactRequest(sha256=artifact.sha256)
        data = b"".join(x.chunk.data for x in self.artifacts.ReadArtifact(request))
        return decode_array(data, artifact.datatype, tuple(artifact.shape), "array")

    def numbers(self, array: tensor_pb2.Array) -> NDArray[np.float64]:
        """A response's array, whatever its type."""
        return self.read(array).astype(np.float64)

    def goes_on(self) -> None:
        """Checks that the server still answers."""
        assert self.models.ListModels(model_service_pb2.ListModelsRequest()).models


def put_requests(
    artifact: tensor_pb2.Artifact, data: bytes
) -> list[artifact_service_pb2.PutArtifactRequest]:
    """The messages that store an artifact."""
    chunks = [data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES)]
    return [
        artifact_service_pb2.PutArtifactRequest(artifact=artifact),
        *(artifact_service_pb2.PutArtifactRequest(chunk=chunk_of(chunk)) for chunk in chunks),
    ]


def chunk_of(data: bytes) -> artifact_service_pb2.Chunk:
    """Bytes with their checksum."""
    return artifact_service_pb2.Chunk(data=data, crc32c=google_crc32c.value(data))


@contextmanager
def served(bundles: Sequence[Path], state: Path) -> Iterator[Stubs]:
    """A server over a state folder for as long as the block lasts."""
    with (
        embedded_server(bundles, workers=2, state=state) as address,
        grpc.insecure_channel(address) as channel,
    ):
        yield Stubs(address, channel, state)


def refusal_of(error: grpc.RpcError) -> Refusal:
    """What a failed call was told; one line, with google.rpc details."""
    call = cast(grpc.Call, error)
    message = call.details() or ""
    assert message
    assert "\n" not in message
    status = rpc_status.from_call(call)
    return Refusal(call.code(), message, *details_of(status or status_pb2.Status()))


def details_of(status: status_pb2.Status) -> tuple[str, str]:
    """Reason and field."""
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        assert detail.Unpack(info) or detail.Unpack(request) or detail.Is(_RETRY)
    assert info.domain in ("graftscope", "")
    fields = [violation.field for violation in request.field_violations]
    return info.reason, fields[0] if fields else ""


def call_for(stubs: Stubs, request: object) -> Callable[[], object]:
    """The call that takes this kind of request."""
    services = (stubs.models, stubs.analyses, stubs.operations)
    name = type(request).__name__.removesuffix("Request")
    method = next(getattr(service, name) for service in services if hasattr(service, name))
    return lambda: method(request, timeout=TIMEOUT_S)


def refused(call: Callable[[], object]) -> Refusal:
    """Makes a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return refusal_of(caught.value)


def influence_of(operation: operations_pb2.Operation) -> analysis_service_pb2.InfluenceResponse:
    """The response of an influence operation."""
    response = analysis_service_pb2.InfluenceResponse()
    assert operation.response.Unpack(response), operation.error
    return response


def metadata_of(operation: operations_pb2.Operation) -> analysis_service_pb2.AnalysisMetadata:
    """The metadata of an operation."""
    metadata = analysis_service_pb2.AnalysisMetadata()
    assert operation.metadata.Unpack(metadata)
    return metadata
