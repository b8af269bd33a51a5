"""Flows that move arrays: uploads, and downloads that go on where they broke off; and the patience
that both have.
"""

from collections.abc import Mapping

from graftscope.client.calls._flow import Flow, Sleep, open_stream, send
from graftscope.client.errors import (
    GraftscopeError,
    IntegrityError,
    NotFoundError,
    OverloadedError,
    ReplyError,
    UnavailableError,
)
from graftscope.client.wire import (
    AnyArray,
    Assembly,
    Outbox,
    Packed,
    unpack,
    upload_requests,
)
from graftscope.v1 import artifact_service_pb2, tensor_pb2

TRANSIENT = (UnavailableError, IntegrityError, OverloadedError)
"""What may be better the next time."""

DELAYS_S = (0.1, 0.3, 1.0, 3.0, 5.0, 10.0)
"""Waits before the tries that follow a failure; together, time enough to restart a server."""


class Patience:
    """Counts failures in a row."""

    def __init__(self) -> None:
        self._failures = 0

    def reset(self) -> None:
        """Take note that something got ahead."""
        self._failures = 0

    def wait(self, error: GraftscopeError) -> Flow[None]:
        """Wait before the next try.

        Args:
            error: Why the last try failed.

        Raises:
            GraftscopeError: `error` itself, once there were too many failures in a row.
        """
        if isinstance(error, OverloadedError) and error.retry_after_s is None:
            raise error  # It is too large, or the disk is full: that does not pass by itself.
        if self._failures == len(DELAYS_S):
            raise error
        yield Sleep(max(DELAYS_S[self._failures], error.retry_after_s or 0.0))
        self._failures += 1


def send_large(outbox: Outbox) -> Flow[None]:
    """Store the arrays that a request is too small for, unless the server has them already."""
    for packed in outbox.large:
        if not (yield from _is_stored(packed)):
            yield from _upload(packed)


def _is_stored(packed: Packed) -> Flow[bool]:
    """Ask for an artifact's bytes from its end on: none, or that there is no such artifact."""
    request = artifact_service_pb2.ReadArtifactRequest(
        sha256=packed.sha256, offset=packed.data.nbytes
    )
    patience = Patience()
    while True:
        try:
            stream = yield from open_stream(lambda stubs: stubs.artifacts.ReadArtifact, request)
            while (yield from stream.receive()) is not None:
                pass
        except NotFoundError:
            return False
        except OverloadedError as error:
            yield from patience.wait(error)
        else:
            return True


def _upload(packed: Packed) -> Flow[None]:
    patience = Patience()
    while True:
        try:
            reply = yield from send(
                "PutArtifact",
                lambda stubs: stubs.artifacts.PutArtifact,
                upload_requests(packed),
            )
        except TRANSIENT as error:
            yield from patience.wait(error)
            continue
        if reply.artifact.sha256 != packed.sha256:
            raise IntegrityError(
                f"the server stored artifact {reply.artifact.sha256[:12]} for {packed.sha256[:12]}"
            )
        return


def fetch_all(arrays: Mapping[str, tensor_pb2.Array]) -> Flow[dict[str, AnyArray]]:
    """Read all arrays of a reply, whether they lie in it or on the server."""
    found: dict[str, AnyArray] = {}
    for name, array in arrays.items():
        found[name] = yield from _fetch(name, array)
    return found


def _fetch(name: str, array: tensor_pb2.Array) -> Flow[AnyArray]:
    match array.WhichOneof("source"):
        case "tensor":
            held = array.tensor
            return unpack(held.data, held.datatype, held.shape)
        case "artifact":
            return (yield from _download(array.artifact))
        case other:
            raise ReplyError(f"the server sent {name!r} as {other}, not as a tensor or artifact")


def _download(artifact: tensor_pb2.Artifact) -> Flow[AnyArray]:
    assembly, patience = Assembly(artifact), Patience()
    while not assembly.complete:
        before = assembly.received
        try:
            yield from _read_on(assembly, artifact.sha256)
        except TRANSIENT as error:
            if assembly.received > before:
                patience.reset()
            yield from patience.wait(error)
    return assembly.array()


def _read_on(assembly: Assembly, sha256: str) -> Flow[None]:
    """Read an artifact from where the last download left off, as far as it gets."""
    request = artifact_service_pb2.ReadArtifactRequest(sha256=sha256, offset=assembly.received)
    stream = yield from open_stream(lambda stubs: stubs.artifacts.ReadArtifact, request)
    while (reply := (yield from stream.receive())) is not None:
        assembly.add(reply)
    if not assembly.complete:
        raise UnavailableError(
            f"the server stopped sending artifact {sha256[:12]} after {assembly.received} bytes"
        )
