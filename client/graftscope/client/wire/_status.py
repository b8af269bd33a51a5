"""What a status says beyond its code: google.rpc.ErrorInfo and BadRequest."""

from dataclasses import dataclass

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DETAILS_KEY = "grpc-status-details-bin"
"""Key of the trailing metadata under which gRPC carries a google.rpc.Status."""


@dataclass(frozen=True)
class ErrorDetails:
    """The stable reason of an error, and the request's field that is to blame; either may be empty.

    Args:
        reason: Of google.rpc.ErrorInfo.
        field: Of google.rpc.BadRequest, the first violation.
    """

    reason: str = ""
    field: str = ""

    @classmethod
    def from_status(cls, status: status_pb2.Status) -> "ErrorDetails":
        """Read them from a status."""
        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.BadRequest()
        for detail in status.details:
            _ = detail.Unpack(info) or detail.Unpack(request)
        fields = [violation.field for violation in request.field_violations]
        return cls(reason=info.reason, field=fields[0] if fields else "")

    @classmethod
    def from_trailers(cls, serialized: bytes) -> "ErrorDetails":
        """Read them from a call's trailing metadata; empty where they cannot be read."""
        try:
            return cls.from_status(status_pb2.Status.FromString(serialized))
        except DecodeError:
            return cls()
