"""Errors to gRPC statuses, in one table; what a client sees of them.

A status carries google.rpc.ErrorInfo with a stable reason, BadRequest with the field where one is
to blame, and RetryInfo where the same request may succeed later. It must not know what the methods
do.

No path of the server and no trace is told. What nobody foresaw is told by its kind and a number,
under which the server's log has the rest.
"""

import errno
import re
import secrets

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from graftscope.bundle import BundleError
from graftscope.graph import GraphError
from graftscope.server import errors
from graftscope.server.analysis import InvalidInputError, KTooLargeError, NotConvergedError
from graftscope.server.jobs import Failure
from graftscope.server.logs import get_logger

DOMAIN = "graftscope"

_STORAGE = "STORAGE_FAILED"

# Absolute ones: in quotes to the end of the quote, else to the next space or comma.
_PATH = re.compile(
    r"(?<=')(?:/|[A-Za-z]:\\)[^']+(?=')"
    r"|(?<![\w./\\-])(?:/+|[A-Za-z]:\\)[^\s/\\'\"`,;:()\[\]]+(?:[/\\]+[^\s/\\'\"`,;:()\[\]]+)*[/\\]?"
)

_log = get_logger("rpc")

_STATUSES: dict[type[errors.ServerError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.NoToken: grpc.StatusCode.UNAUTHENTICATED,
    errors.BadToken: grpc.StatusCode.UNAUTHENTICATED,
    errors.ExpiredToken: grpc.StatusCode.UNAUTHENTICATED,
    errors.RevokedToken: grpc.StatusCode.UNAUTHENTICATED,
    errors.BadCertificate: grpc.StatusCode.UNAUTHENTICATED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.RegistrationOff: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ModelRefused: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NameTaken: grpc.StatusCode.ALREADY_EXISTS,
    errors.Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.Conflict: grpc.StatusCode.ALREADY_EXISTS,
    errors.NotReady: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ClusterUnavailable: grpc.StatusCode.FAILED_PRECONDITION,
    errors.DeviceUnavailable: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PrecisionUnavailable: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Damaged: grpc.StatusCode.DATA_LOSS,
    errors.Corrupt: grpc.StatusCode.DATA_LOSS,
    errors.StorageFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StorageFailed: grpc.StatusCode.UNAVAILABLE,
    errors.UploadIdle: grpc.StatusCode.ABORTED,
    errors.StateInUse: grpc.StatusCode.FAILED_PRECONDITION,
    errors.StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.StoreDamaged: grpc.StatusCode.DATA_LOSS,
    errors.StoreTooNew: grpc.StatusCode.FAILED_PRECONDITION,
    errors.LeaseLost: grpc.StatusCode.ABORTED,
    errors.KeepsCrashing: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AddressInUse: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ServerStopping: grpc.StatusCode.UNAVAILABLE,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.TooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.TimedOut: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.WorkerLost: grpc.StatusCode.ABORTED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
}

# From the special to the general: the first entry that fits decides.
TABLE: tuple[tuple[type[Exception], grpc.StatusCode, str], ...] = (
    *((kind, status, kind.reason) for kind, status in _STATUSES.items()),
    (KTooLargeError, grpc.StatusCode.INVALID_ARGUMENT, "K_TOO_LARGE"),
    (InvalidInputError, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT"),
    (NotConvergedError, grpc.StatusCode.FAILED_PRECONDITION, "NOT_CONVERGED"),
    (BundleError, grpc.StatusCode.DATA_LOSS, "BAD_BUNDLE"),
    (GraphError, grpc.StatusCode.DATA_LOSS, "BAD_GRAPH"),
    # What generated code raises of a method that a library's service leaves out.
    (NotImplementedError, grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED"),
    # Files are all that the server itself reads and writes.
    (OSError, grpc.StatusCode.UNAVAILABLE, _STORAGE),
    (Exception, grpc.StatusCode.INTERNAL, "INTERNAL"),
)

REASONS = tuple(dict.fromkeys(reason for _, _, reason in TABLE))
"""Every reason that an error may tell, but for those of a model that is refused."""

_STATUS_OF_REASON = {reason: status for _, status, reason in TABLE}

# A message is said three times in a reply's metadata, for which gRPC has 8 KiB.
_MESSAGE_LIMIT_BYTES = 600
_FIELD_LIMIT_BYTES = 100


def classify(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The status and the reason of an error."""
    status, reason = next((s, reason) for kind, s, reason in TABLE if isinstance(error, kind))
    # Why a model is refused has many words, and one status.
    return status, error.reason if isinstance(error, errors.ModelRefused) else reason


def describe_failure(error: Exception) -> Failure:
    """What is kept of the error that ended a job."""
    error = _plain(error)
    _, reason = classify(error)
    return Failure(reason, _message(error, reason))


def status_of_failure(failure: Failure) -> status_pb2.Status:
    """What `Operation.error` holds for a failed job."""
    # An earlier version may have kept a reason that is gone.
    status = _STATUS_OF_REASON.get(failure.reason, grpc.StatusCode.INTERNAL)
    return _status(status, failure.reason, failure.message)


def status_of_error(error: Exception) -> status_pb2.Status:
    """What a call that raised this error is answered with."""
    error = _plain(error)
    code, reason = classify(error)
    retry_after_s: float | None = getattr(error, "retry_after_s", None)
    field = getattr(error, "field", "")
    return _status(code, reason, _message(error, reason), field, retry_after_s)


def reason_of(status: status_pb2.Status) -> str:
    """The stable reason that a status tells; '' where it tells none."""
    info = error_details_pb2.ErrorInfo()
    return next((info.reason for detail in status.details if detail.Unpack(info)), "")


def cancelled_status() -> status_pb2.Status:
    """What `Operation.error` holds for a cancelled job."""
    code = grpc.StatusCode.CANCELLED
    return _status(code, "CANCELLED", "the job was cancelled; the same request resumes it")


def _plain(error: Exception) -> Exception:
    """The error itself; of a file's what the system says of it, without its path."""
    if not isinstance(error, OSError) or error.strerror is None or classify(error)[1] != _STORAGE:
        return error
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return errors.Overloaded(
            "the server has as many files and connections open as it may; ask again in a second",
            retry_after_s=1.0,
        )
    return OSError(f"what the server keeps cannot be read or written: {error.strerror}")


def _message(error: Exception, reason: str) -> str:
    """One line."""
    if reason == "INTERNAL":
        number = secrets.token_hex(4)
        _log.error("unexpected error", number=number, exc_info=error)
        return f"unexpected {type(error).__name__}; the server's log tells more under {number}"
    text = " ".join(str(error).split())
    # What a caller said is told as it was.
    if not isinstance(error, errors.InvalidInput | errors.NotFound | InvalidInputError):
        text = without_paths(text)
    return _shortened(text, _MESSAGE_LIMIT_BYTES)


def without_paths(text: str) -> str:
    """The text with the last part of each path alone."""
    return _PATH.sub(lambda found: re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], text)


def _shortened(text: str, limit_bytes: int) -> str:
    """The text without its middle: what was wrong stands first, what is allowed stands last."""
    data = text.encode(errors="replace")
    if len(data) <= limit_bytes:
        return text
    half = limit_bytes // 2 - 3
    first, last = (part.decode(errors="ignore") for part in (data[:half], data[-half:]))
    return f"{first} ... {last}"


def _status(
    code: grpc.StatusCode,
    reason: str,
    message: str,
    field: str = "",
    retry_after_s: float | None = None,
) -> status_pb2.Status:
    details = [_pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))]
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_shortened(field, _FIELD_LIMIT_BYTES), description=message
        )
        details.append(_pack(error_details_pb2.BadRequest(field_violations=[violation])))
    if retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(1e3 * retry_after_s))
        details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=code.value[0], message=message, details=details)


def _pack(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
