"""What can go wrong in the server, as one tree.

    ServerError
    ├── InvalidInput (ValueError)      a value that is not allowed; names the field
    ├── NotFound (LookupError)         a model, layer, operation or artifact that is not there
    ├── Unauthenticated                a caller who does not show who they are
    │   ├── NoToken                    no token, where one is needed
    │   ├── BadToken                   a token that this server does not know
    │   ├── ExpiredToken               a token whose time is over
    │   ├── RevokedToken               a token that was revoked
    │   └── BadCertificate             a client's certificate that names nobody
    ├── RegistrationOff                a server that takes no models over the wire
    ├── ModelRefused (ValueError)      a model that is damaged, or not to be opened here
    ├── NameTaken                      a model of that name is served already
    ├── PermissionDenied               a caller who may not do this
    ├── Unsupported                    part of the contract that is not implemented yet
    ├── Conflict                       a request_id that was used for something else
    ├── NotReady                       the result of an operation that has none
    ├── DeviceUnavailable              a device that this machine or this build does not have
    ├── ClusterUnavailable             a cluster that is not there, or not as this server needs it
    ├── PrecisionUnavailable           a precision that this device cannot compute in
    ├── Corrupt                        stored or sent bytes that do not match their checksum
    │   └── Damaged                    stored bytes that do not match their name; they are set aside
    ├── StorageFailed (OSError)        what is kept cannot be read or written
    │   └── StorageFull                no room where results are kept
    ├── UploadIdle                     an upload that has sent nothing for too long
    ├── StateInUse                     a state folder that another server holds
    ├── StoreUnavailable               the database is held, full, read-only or gone for now
    ├── StoreDamaged                   a database whose file is damaged
    ├── StoreTooNew                    a database of a later version
    ├── LeaseLost                      a job that another server has taken up meanwhile
    ├── KeepsCrashing                  a job that ended its process whenever it ran
    ├── AddressInUse                   a port that cannot be listened on
    ├── ServerStopping                 the server stops; what was asked for can be asked again
    ├── Overloaded                     more than is taken on at a time; says when to ask again
    ├── TooLarge                       more memory than the server may ever use for one request
    ├── TimedOut                       a deadline that had passed, or a stream that stood still
    ├── WorkerLost                     a process that computed for a job was ended from outside
    └── Cancelled                      the job was cancelled while it ran

Every error has a stable `reason`, which clients get in google.rpc.ErrorInfo.
"""


class ServerError(Exception):
    """Base of the tree.

    Args:
        message: what was wrong, which value, and what is allowed.
        field: the request's field, in the contract's spelling, where one is to blame.
        retry_after_s: after how many seconds the same request may succeed; None where it will not.
    """

    reason = "INTERNAL"

    def __init__(
        self, message: str, *, field: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.field = field
        self.retry_after_s = retry_after_s


class InvalidInput(ServerError, ValueError):
    """A value that is not allowed."""

    reason = "INVALID_INPUT"


class NotFound(ServerError, LookupError):
    """A model, layer, operation or artifact that is not there."""

    reason = "NOT_FOUND"


class Unauthenticated(ServerError):
    """A caller who does not show who they are."""

    reason = "UNAUTHENTICATED"


class NoToken(Unauthenticated):
    """No token, where one is needed."""

    reason = "NO_TOKEN"


class BadToken(Unauthenticated):
    """A token that this server does not know."""

    reason = "BAD_TOKEN"


class ExpiredToken(Unauthenticated):
    """A token whose time is over."""

    reason = "EXPIRED_TOKEN"


class RevokedToken(Unauthenticated):
    """A token that was revoked."""

    reason = "REVOKED_TOKEN"


class BadCertificate(Unauthenticated):
    """A client's certificate that names nobody."""

    reason = "BAD_CERTIFICATE"


class PermissionDenied(ServerError):
    """A caller who may not do this; names the role that is needed and the one they have."""

    reason = "PERMISSION_DENIED"


class RegistrationOff(ServerError):
    """A server that takes no models over the wire."""

    reason = "REGISTRATION_OFF"


class ModelRefused(ServerError, ValueError):
    """A model that is damaged, or not to be opened here.

    Args:
        message: what is wrong with it.
        reason: of `graftscope.sandbox.Reason`, where it was tried.
    """

    reason = "MODEL_REFUSED"

    def __init__(self, message: str, *, reason: str = "", field: str = "") -> None:
        super().__init__(message, field=field)
        self.reason = reason or type(self).reason


class NameTaken(ServerError):
    """A model of that name is served already, with another digest or from elsewhere."""

    reason = "MODEL_NAME_TAKEN"


class Unsupported(ServerError):
    """Part of the contract that is not implemented yet."""

    reason = "NOT_IMPLEMENTED"


class Conflict(ServerError):
    """A request_id that was used for something else."""

    reason = "REQUEST_ID_REUSED"


class NotReady(ServerError):
    """The result of an operation that has none: it goes on, failed or was cancelled."""

    reason = "OPERATION_NOT_DONE"


class DeviceUnavailable(ServerError):
    """A device that this machine or this build of ONNX Runtime does not have."""

    reason = "DEVICE_UNAVAILABLE"


class ClusterUnavailable(ServerError):
    """A cluster that cannot be reached or started, or whose machines would give other bits."""

    reason = "CLUSTER_UNAVAILABLE"


class PrecisionUnavailable(ServerError):
    """A precision that this device cannot compute in."""

    reason = "PRECISION_UNAVAILABLE"


class Corrupt(ServerError):
    """Stored or sent bytes that do not match their checksum."""

    reason = "CHECKSUM_MISMATCH"


class Damaged(Corrupt):
    """Stored bytes that do not match their name; they are set aside."""

    reason = "ARTIFACT_DAMAGED"


class StorageFailed(ServerError, OSError):
    """What is kept cannot be read or written."""

    reason = "STORAGE_FAILED"


class StorageFull(StorageFailed):
    """There is no room where results are kept."""

    reason = "STORAGE_FULL"


class UploadIdle(ServerError):
    """An upload that has sent nothing for too long; it can be sent again."""

    reason = "UPLOAD_IDLE"


class StateInUse(ServerError):
    """A state folder that another server holds."""

    reason = "STATE_IN_USE"


class StoreUnavailable(ServerError):
    """The server's database is held, full, read-only or gone for now; ask again."""

    reason = "STORE_UNAVAILABLE"


class StoreDamaged(ServerError):
    """A database of jobs that is damaged, or whose tables something else has changed."""

    reason = "STORE_DAMAGED"


class StoreTooNew(ServerError):
    """A database of jobs that a later version has written."""

    reason = "STORE_TOO_NEW"


class LeaseLost(ServerError):
    """A job that another server has taken up meanwhile; what was computed here is dropped."""

    reason = "LEASE_LOST"


class KeepsCrashing(ServerError):
    """A job that ended its process whenever it ran, and is not taken up any more."""

    reason = "JOB_KEEPS_CRASHING"


class AddressInUse(ServerError):
    """A port that cannot be listened on."""

    reason = "ADDRESS_IN_USE"


class ServerStopping(ServerError):
    """The server stops; jobs go on at its next start, and a client may ask again then."""

    reason = "SERVER_STOPPING"


class Overloaded(ServerError):
    """More than the server takes on at a time; `retry_after_s` says when to ask again."""

    reason = "OVERLOADED"


class TooLarge(ServerError):
    """More memory than the server may ever use for one request."""

    reason = "MEMORY_LIMIT"


class TimedOut(ServerError):
    """A call whose deadline had passed before its turn, or a stream that stood still for long."""

    reason = "TIMED_OUT"


class WorkerLost(ServerError):
    """A process that computed for a job was ended from outside: most often, memory ran out."""

    reason = "WORKER_LOST"


class Cancelled(ServerError):
    """The job was cancelled while it ran."""

    reason = "CANCELLED"
