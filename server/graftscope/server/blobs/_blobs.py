"""What is needed of a place that keeps bytes, and the errors that it ends in.

It must not know of any such place.
"""

import errno
import hashlib
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from graftscope.server.errors import StorageFailed, StorageFull

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# A file-size limit is one more way in which there is no room.
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


DAMAGED = "damaged-"
"""What the names of bytes begin with that do not match their checksum and were set aside."""


class BlobMissing(LookupError):
    """There are no bytes under the name."""


@dataclass(frozen=True)
class BlobInfo:
    """Bytes under a name, without the bytes.

    Attributes:
        name: where they are found.
        size: how many there are.
        written_s: when they were written, in seconds since 1970 by the place's clock.
        used_s: when they were last written or asked for, as far as the place can tell.
        version: another one whenever they are written again.
    """

    name: str
    size: int
    written_s: float
    used_s: float
    version: str


class Incoming(io.RawIOBase):
    """Takes bytes piece by piece; closed before `keep`, it leaves nothing.

    Attributes:
        size: bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """sha256 of the bytes so far."""
        return self._hash.hexdigest()

    def writable(self) -> bool:
        """As of any file that is written."""
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        """Appends bytes.

        Raises:
            StorageFull: there is no room for them.
            StorageFailed: they cannot be written.
        """
        view = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
        with storage_errors():
            self._append(view)
        self._hash.update(view)
        self.size += len(view)
        return len(view)

    def sync(self) -> None:
        """Returns once a power failure will not harm the bytes. Raises as `write`."""

    def keep(self, name: str) -> None:
        """Gives the bytes their name at once, in place of what had it. Raises as `write`."""
        raise NotImplementedError

    def _append(self, view: memoryview) -> None:
        raise NotImplementedError


class BlobReader(Protocol):
    """Reads the bytes that had the name when it was opened.

    Attributes:
        info: of these bytes.
    """

    info: BlobInfo

    def read(self, offset: int, size: int) -> bytes:
        """Some of the bytes; fewer at the end.

        Raises:
            StorageFailed: they cannot be read.
            BlobMissing: they were removed, and the place does not keep them for who reads.
        """
        ...


class Blobs(Protocol):
    """Bytes under names: letters, digits, dots, dashes and underscores. Every method blocks."""

    def incoming(self) -> Incoming:
        """For bytes that come; to be closed, as by a `with` block."""
        ...

    def reader(self, name: str) -> AbstractContextManager[BlobReader]:
        """For bytes that are there, read into memory piece by piece.

        Raises:
            BlobMissing: there are none.
            StorageFailed: they cannot be read.
        """
        ...

    def info(self, name: str) -> BlobInfo | None:
        """What is known of the bytes, or None where there are none."""
        ...

    def list(self) -> list[BlobInfo]:
        """Everything that has its name."""
        ...

    def touch(self, name: str) -> None:
        """Says that the bytes are in use, where the place keeps such times."""
        ...

    def rename(self, name: str, to: str) -> None:
        """Gives bytes another name; nothing happens where there are none."""
        ...

    def remove(self, name: str) -> bool:
        """Removes bytes; whether there were any, as far as the place tells."""
        ...

    def sweep_incoming(self) -> int:
        """Removes what a writer that is gone left behind; how many files that were."""
        ...


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turns the system's errors into the server's, without the names of files.

    Raises:
        StorageFull: there is no room.
        StorageFailed: any other.
    """
    try:
        yield
    except StorageFailed:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                "there is no room left where results are kept; make room there, or keep less"
            ) from error
        raise StorageFailed(
            f"what is kept cannot be read or written: {error.strerror or type(error).__name__}"
        ) from error
