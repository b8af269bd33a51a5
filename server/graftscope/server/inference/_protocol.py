"""The protocol's own name for the service, in handlers and in descriptions.

Its messages are ours in a package of our own, since the protocol's clients bring `inference` with
them, and a process can hold each package once. They are the same on the wire, so only the name is
told anew.
"""

from collections.abc import Iterable
from typing import Any, cast

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from graftscope.inference.v2 import inference_service_pb2, inference_service_pb2_grpc

_PACKAGE = "inference"
_OWN = inference_service_pb2.DESCRIPTOR.package

SERVICE = f"{_PACKAGE}.GRPCInferenceService"
"""The full name by which clients call."""


class _Renamed:
    """The part of a server that generated code adds handlers to.

    Args:
        server: the server.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Leaves out what is found by the name of our own package."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Adds the same handlers under the protocol's name."""
        generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
        self._server.add_generic_rpc_handlers((generic,))


def add_to_server(
    servicer: inference_service_pb2_grpc.GRPCInferenceServiceServicer, server: grpc.aio.Server
) -> None:
    """Offers the six methods.

    Args:
        servicer: what answers.
        server: the server.
    """
    renamed = cast(grpc.aio.Server, _Renamed(server))
    inference_service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, renamed)


def described(services: Iterable[str]) -> DescriptorPool:
    """Descriptions of services and of this one, under the names by which they are called.

    Args:
        services: full names of the others, whose code is loaded.
    """
    known, told = descriptor_pool.Default(), DescriptorPool()
    added = set[str]()

    def add(file: FileDescriptor) -> None:
        if file.name not in added:
            added.add(file.name)
            for each in file.dependencies:
                add(each)
            told.AddSerializedFile(file.serialized_pb)

    for service in services:
        if service != SERVICE:
            add(known.FindServiceByName(service).file)
    told.AddSerializedFile(_renamed_file())
    return told


def _renamed_file() -> bytes:
    file = descriptor_pb2.FileDescriptorProto()
    inference_service_pb2.DESCRIPTOR.CopyToProto(file)
    # Types name each other in full.
    text = text_format.MessageToString(file).replace(_OWN, _PACKAGE)
    renamed = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
    return renamed.SerializeToString()
