"""What can go wrong in the client, as one tree, with the exit codes of the command line.

::

    GraftscopeError                                1   also what nobody foresaw
    ├── UsageError (ValueError)                    2   options that do not go together
    ├── NotFoundError (LookupError)                3   a model, job or file that is not there
    ├── InputError (ValueError)                    4   a value that is not allowed
    ├── OutputError (OSError)                      4   a file that cannot be written
    ├── ServerError                                5
    │   ├── UnavailableError (ConnectionError)     5   no server answers, or it went away
    │   ├── DeadlineError (TimeoutError)           5   it did not answer in time
    │   ├── OverloadedError                        5   it has no room for the request
    │   └── AccessError (PermissionError)          4   it does not let this client in, or do this
    ├── UnsupportedError                           6   not implemented on this server
    │   ├── VersionError                           6   client and server differ too much
    │   └── MissingExtraError (ImportError)        6   an optional part is not installed
    ├── JobError                                   7   an operation that has no result
    │   ├── JobFailedError                         7   it failed
    │   └── JobCancelledError                      7   it, or the call, was cancelled
    ├── UnsoundError                               8   `doctor` found a problem
    ├── ReplyError                                 1   a reply that makes no sense
    │   └── IntegrityError                         1   bytes that do not match their checksum
    ├── InternalError                              1   the server failed unexpectedly
    └── StoppedError                               130 the user interrupted the command

0 means that all went well, and 141 that nobody read the output any more.

Which status and which reason of a server become which of these, `graftscope.client.wire` says. This
module must not know gRPC.
"""

from typing import ClassVar

EXIT_OK = 0
EXIT_UNEXPECTED = 1
EXIT_BROKEN_PIPE = 141
"""What a shell says of a program that nobody reads from any more (128 + SIGPIPE)."""


class GraftscopeError(Exception):
    """Base of the tree.

    Args:
        message: What was wrong, which value, and what is allowed.
        reason: The server's stable word for it (google.rpc.ErrorInfo), empty if it gave none.
        field: The request's field that is to blame (google.rpc.BadRequest), empty if none.
        retry_after_s: After how many seconds the same request may succeed (google.rpc.RetryInfo);
            None if the server does not say so.
    """

    exit_code: ClassVar[int] = EXIT_UNEXPECTED

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        field: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.retry_after_s = retry_after_s


class UsageError(GraftscopeError, ValueError):
    """Options or arguments that do not go together, or are missing."""

    exit_code = 2


class NotFoundError(GraftscopeError, LookupError):
    """A model, job, artifact or file that is not there."""

    exit_code = 3


class InputError(GraftscopeError, ValueError):
    """A value that is not allowed."""

    exit_code = 4


class OutputError(GraftscopeError, OSError):
    """A file or folder that cannot be written."""

    exit_code = 4


class ServerError(GraftscopeError):
    """The server does not answer as it should, though the request may be right."""

    exit_code = 5


class UnavailableError(ServerError, ConnectionError):
    """No server answers at the address, or the connection broke."""


class DeadlineError(ServerError, TimeoutError):
    """The server did not answer within the client's `timeout_s`."""


class OverloadedError(ServerError):
    """The server has no room for the request now, or the message is too large."""


class AccessError(ServerError, PermissionError):
    """The server does not let this client in, or do what it asked for."""

    exit_code = 4


class UnsupportedError(GraftscopeError):
    """Something that this server, or this installation, cannot do."""

    exit_code = 6


class VersionError(UnsupportedError):
    """Client and server are of versions that do not understand each other."""


class MissingExtraError(UnsupportedError, ImportError):
    """An optional part of Graftscope is not installed."""


class JobError(GraftscopeError):
    """An operation that has no result."""

    exit_code = 7


class JobFailedError(JobError):
    """An operation that failed."""


class JobCancelledError(JobError):
    """An operation, or a call, that was cancelled."""


class UnsoundError(GraftscopeError):
    """`graftscope doctor` found a problem."""

    exit_code = 8


class ReplyError(GraftscopeError):
    """A reply of the server that makes no sense."""


class IntegrityError(ReplyError):
    """Bytes that do not match their checksum, however often they were sent."""


class InternalError(GraftscopeError):
    """The server failed in a way that nobody foresaw."""


class StoppedError(GraftscopeError):
    """The user interrupted the command."""

    exit_code = 130
