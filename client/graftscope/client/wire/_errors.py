"""From gRPC's status and the server's reason to the client's errors, in one table."""

import re
from dataclasses import dataclass
from typing import NamedTuple

import grpc
from google.longrunning import operations_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from graftscope.client.errors import (
    AccessError,
    DeadlineError,
    GraftscopeError,
    InputError,
    IntegrityError,
    InternalError,
    JobCancelledError,
    JobError,
    JobFailedError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
    UnsupportedError,
)

DETAILS_KEY = "grpc-status-details-bin"
"""Key of the trailing metadata under which gRPC carries a google.rpc.Status."""

_OF_PAIRS = re.compile(r"\b(pairs|samples)\.(count|seed|first|originals|share|fix|stratified)\b")
_CALLED = {"pairs.count": "pairs", "samples.count": "count"}

_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Row(NamedTuple):
    """One line of the table: a status, or a reason whatever the status, and the error it gives."""

    status: grpc.StatusCode | None
    reason: str
    error: type[GraftscopeError]


# A reason says more than a status, so the reasons come first; the first row that fits wins.
ERRORS = (
    Row(None, "NOT_IMPLEMENTED", UnsupportedError),
    Row(None, "DEVICE_UNAVAILABLE", UnsupportedError),
    Row(None, "PRECISION_UNAVAILABLE", UnsupportedError),
    Row(None, "CHECKSUM_MISMATCH", IntegrityError),
    Row(None, "UPLOAD_IDLE", UnavailableError),
    Row(None, "ADDRESS_IN_USE", UnavailableError),
    Row(None, "STATE_IN_USE", UnavailableError),
    Row(None, "STORE_UNAVAILABLE", UnavailableError),
    Row(None, "OPERATION_NOT_DONE", JobError),
    Row(None, "NOT_CONVERGED", JobFailedError),
    Row(None, "REGISTRATION_OFF", UnsupportedError),
    Row(None, "MEMORY_LIMIT", InputError),
    Row(None, "REQUEST_ID_REUSED", InputError),
    Row(None, "BAD_BUNDLE", InputError),
    Row(None, "BAD_GRAPH", InputError),
    Row(None, "INVALID_INPUT", InputError),
    Row(None, "NOT_FOUND", NotFoundError),
    Row(grpc.StatusCode.INVALID_ARGUMENT, "", InputError),
    Row(grpc.StatusCode.OUT_OF_RANGE, "", InputError),
    Row(grpc.StatusCode.ALREADY_EXISTS, "", InputError),
    Row(grpc.StatusCode.NOT_FOUND, "", NotFoundError),
    Row(grpc.StatusCode.UNAVAILABLE, "", UnavailableError),
    Row(grpc.StatusCode.DEADLINE_EXCEEDED, "", DeadlineError),
    Row(grpc.StatusCode.RESOURCE_EXHAUSTED, "", OverloadedError),
    Row(grpc.StatusCode.PERMISSION_DENIED, "", AccessError),
    Row(grpc.StatusCode.UNAUTHENTICATED, "", AccessError),
    Row(grpc.StatusCode.UNIMPLEMENTED, "", UnsupportedError),
    Row(grpc.StatusCode.FAILED_PRECONDITION, "", JobError),
    Row(grpc.StatusCode.ABORTED, "", JobFailedError),
    Row(grpc.StatusCode.CANCELLED, "", JobCancelledError),
    Row(grpc.StatusCode.DATA_LOSS, "", IntegrityError),
    Row(grpc.StatusCode.INTERNAL, "", InternalError),
    Row(grpc.StatusCode.UNKNOWN, "", InternalError),
)


def error_class(status: grpc.StatusCode | None, reason: str = "") -> type[GraftscopeError]:
    """Look up which error a status and a reason stand for.

    Args:
        status: gRPC's status; None where there was no call, as in an embedded server's start.
        reason: The reason of google.rpc.ErrorInfo, empty if there is none.

    Returns:
        The class in the tree; `GraftscopeError` itself for a reason without a status that the
        table does not hold.
    """
    for row in ERRORS:
        if row.reason == reason if row.reason else row.status is status:
            return row.error
    return GraftscopeError


@dataclass(frozen=True)
class ErrorDetails:
    """The stable reason of an error, the request's field that is to blame, and when to ask again.

    Either of the first two may be empty.

    Args:
        reason: Of google.rpc.ErrorInfo.
        field: Of google.rpc.BadRequest, the first violation.
        retry_after_s: Of google.rpc.RetryInfo; None if there is none.
    """

    reason: str = ""
    field: str = ""
    retry_after_s: float | None = None

    @classmethod
    def from_status(cls, status: status_pb2.Status) -> "ErrorDetails":
        """Read them from a status."""
        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        for detail in status.details:
            _ = detail.Unpack(info) or detail.Unpack(request) or detail.Unpack(retry)
        fields = [violation.field for violation in request.field_violations]
        delay_s = retry.retry_delay.ToMicroseconds() / 1e6
        return cls(
            reason=info.reason,
            field=_in_own_words(fields[0]) if fields else "",
            retry_after_s=delay_s if retry.HasField("retry_delay") else None,
        )

    @classmethod
    def from_trailers(cls, serialized: bytes) -> "ErrorDetails":
        """Read them from a call's trailing metadata; empty where they cannot be read."""
        try:
            return cls.from_status(status_pb2.Status.FromString(serialized))
        except DecodeError:
            return cls()


def told_in_own_words(text: str) -> str:
    """Call the fields of pairs in a server's text as requests of this client do, in backquotes."""
    return _OF_PAIRS.sub(lambda found: f"`{_in_own_words(found[0])}`", text)


def _in_own_words(field: str) -> str:
    return _OF_PAIRS.sub(lambda found: _CALLED.get(found[0], found[2]), field)


def failure_of(operation: operations_pb2.Operation) -> GraftscopeError:
    """Turn an operation's error into the tree's, through the same table as a call's."""
    status = operation.error
    details = ErrorDetails.from_status(status)
    error = error_class(_STATUS_CODES.get(status.code), details.reason)
    if error in (InternalError, IntegrityError, GraftscopeError):
        error = JobFailedError
    said = status.message or f"it ended with status {status.code} and no message"
    told = told_in_own_words(said)
    job = operation.name.removeprefix("operations/")
    return error(f"job {job}: {told}", reason=details.reason, field=details.field)
