"""Arrays that are stored under their checksum; those of one call in memory.

An array appears under its name only when it is whole. It must not know jobs or gRPC.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope import codec
from graftscope.server.blobs import (
    DAMAGED,
    BlobInfo,
    BlobMissing,
    BlobReader,
    Blobs,
    Incoming,
    storage_errors,
)
from graftscope.server.errors import Damaged, InvalidInput, NotFound
from graftscope.server.failpoints import reach
from graftscope.server.jobs._artifact_reading import (
    ArtifactReader,
    Blocks,
    Uses,
    Verified,
    verified,
)
from graftscope.server.logs import get_logger
from graftscope.server.tally import Tally

MAX_AXES = 16
MAX_ELEMENTS = 2**48
"""Beyond any array that could be sent, and within what numpy can count."""

_MOST_KNOWN = 4096
"""Of how many artifacts it is remembered that they were checked."""

_log = get_logger("jobs")

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class ArrayRef:
    """An array in the artifact store.

    Attributes:
        sha256: of the elements in C order, little-endian; lowercase hexadecimal.
        datatype: KServe's name, such as FP64.
        shape: extents, outermost axis first.
    """

    sha256: str
    datatype: str
    shape: tuple[int, ...]


def decode_array(
    data: bytes, datatype: str, shape: tuple[int, ...], field: str
) -> NDArray[np.generic]:
    """Elements in C order, little-endian, to an array. Raises as `check_layout`."""
    check_layout(len(data), datatype, shape, field)
    return codec.decode(data, datatype, shape)


def check_layout(size: int, datatype: str, shape: tuple[int, ...], field: str) -> None:
    """Checks that so many bytes are an array of this type and shape.

    Raises:
        InvalidInput: an unknown datatype, too many axes, or a size that does not fit the shape.
    """
    needed = array_bytes(datatype, shape, field)
    if size != needed:
        raise InvalidInput(
            f"{field} holds {size} bytes; {datatype} of shape {list(shape)} takes {needed}",
            field=field,
        )


def array_bytes(datatype: str, shape: tuple[int, ...], field: str) -> int:
    """How many bytes an array takes.

    Raises:
        InvalidInput: an unknown datatype, too many axes, or too many elements.
    """
    if datatype not in codec.ARRAY_DATATYPES:
        raise InvalidInput(
            f"{field} has datatype {datatype!r}; allowed are {', '.join(codec.ARRAY_DATATYPES)}",
            field=field,
        )
    if len(shape) > MAX_AXES or math.prod(filter(None, shape)) > MAX_ELEMENTS:
        raise InvalidInput(
            f"{field} has shape {list(shape)}; at most {MAX_AXES} axes are allowed, with extents "
            f"that multiply to at most {MAX_ELEMENTS}",
            field=field,
        )
    return codec.size_bytes(datatype, shape)


def check_sha256(sha256: str, field: str) -> None:
    """Checks that a text is a sha256, which makes it safe as a file's name.

    Raises:
        InvalidInput: it is not.
    """
    if not _SHA256.fullmatch(sha256):
        raise InvalidInput(
            f"{field} {sha256!r} is not a sha256; 64 lowercase hexadecimal digits are needed",
            field=field,
        )


def array_ref(array: NDArray[np.generic]) -> ArrayRef:
    """The name of an array: its sha256, datatype and shape."""
    datatype, data = codec.encode(array)
    return ArrayRef(hashlib.sha256(data).hexdigest(), datatype, array.shape)


class ArtifactStore:
    """Bytes that are named by their sha256.

    Args:
        blobs: where they are.

    Attributes:
        files: counts them, as this server writes and removes them.
        transfers: counts what is open, to be written or to be read.
    """

    def __init__(self, blobs: Blobs) -> None:
        self.files, self.transfers = Tally(), Tally()
        self._blobs = blobs
        self._uses = Uses()
        self._known: dict[str, Verified] = {}

    def put(self, array: NDArray[np.generic], *, durable: bool = True) -> ArrayRef:
        """Stores an array; the same elements are stored once.

        Args:
            array: any of the datatypes that travel.
            durable: whether it must survive a power failure, which takes several times as long.

        Raises:
            StorageFull: there is no room; nothing is left behind.
            StorageFailed: it cannot be written.
        """
        datatype, data = codec.encode(array)
        return ArrayRef(self.put_bytes(data, durable=durable), datatype, array.shape)

    def put_bytes(self, data: bytes | memoryview, *, durable: bool = True) -> str:
        """Stores bytes and gives their sha256; see `put`."""
        with self.writer() as writer:
            writer.write(data)
            return writer.finish(durable=durable)

    @contextmanager
    def writer(self) -> Iterator["ArtifactWriter"]:
        """What takes bytes that are kept only if `finish` was called on it."""
        with self.transfers.held(), self._blobs.incoming() as incoming:
            yield ArtifactWriter(incoming, self._named, self._kept)

    @contextmanager
    def open(self, sha256: str, field: str = "sha256") -> Iterator[ArtifactReader]:
        """Reads an artifact piece by piece; it is not removed meanwhile.

        What was not written here is checked as a whole when it is first opened, and all that has
        changed since.

        Raises:
            InvalidInput: not a sha256.
            NotFound: there is no such artifact.
            Damaged: its bytes do not match its name; they are set aside.
        """
        with self._reading(sha256, field) as blob:
            known = self._known.get(sha256)
            if known is None or known.version != blob.info.version:
                known = verified(blob)
                if known.sha256 != sha256:
                    raise self._set_aside(sha256, blob)
                self._remember(known)
            yield ArtifactReader(blob, known, lambda: self._set_aside(sha256, blob))

    def get(self, ref: ArrayRef, field: str = "array") -> NDArray[np.generic]:
        """Reads an array into memory and checks its bytes. Raises as `open`."""
        with self._reading(ref.sha256, field) as blob:
            data = blob.read(0, blob.info.size)
            if hashlib.sha256(data).hexdigest() != ref.sha256:
                raise self._set_aside(ref.sha256, blob)
        return decode_array(data, ref.datatype, ref.shape, field)

    def check(self, ref: ArrayRef, field: str) -> None:
        """Checks that an array is there and that its size fits its type and shape.

        Raises:
            InvalidInput: it does not fit.
            NotFound: there is no such artifact.
        """
        size = self.size(ref.sha256, field)
        self._uses.asked(ref.sha256)
        self._blobs.touch(ref.sha256)
        check_layout(size, ref.datatype, ref.shape, field)

    def is_intact(self, sha256: str) -> bool:
        """Whether the artifact is there and its bytes match its name; else they are set aside."""
        try:
            with self.open(sha256):
                return True
        except (NotFound, Damaged):
            return False

    def has(self, sha256: str) -> bool:
        """Whether the artifact is there, whatever its bytes."""
        return self._blobs.info(sha256) is not None

    def size(self, sha256: str, field: str = "sha256") -> int:
        """How many bytes the artifact has.

        Raises:
            InvalidInput: not a sha256.
            NotFound: there is no such artifact.
        """
        check_sha256(sha256, field)
        info = self._blobs.info(sha256)
        if info is None:
            raise self._missing(sha256, field)
        return info.size

    def list(self) -> list[BlobInfo]:
        """Everything that is stored, by name."""
        return self._blobs.list()

    def remove(self, sha256: str, written_until_s: float) -> None:
        """Removes an artifact, as soon as it is not in use here any more.

        Args:
            sha256: the artifact.
            written_until_s: one that somebody has written later stays, in seconds since 1970.
        """
        info = self._blobs.info(sha256)
        if info is not None and info.written_s <= written_until_s:
            self._uses.await_removal(sha256)
            self._remove_awaited(sha256)

    def remove_awaited(self, keep: Set[str]) -> None:
        """Removes what was in use when `remove` was called, but for what is needed now."""
        for sha256 in self._uses.awaited - keep:
            self._remove_awaited(sha256)

    def remove_unless_used(self, info: BlobInfo) -> bool:
        """Removes what was listed, unless somebody here reads it or has asked for it since.

        Several servers may do so at a time: what any of them has written or touched since stays.
        """
        now = self._blobs.info(info.name)
        if self._uses.is_used(info.name) or now is None or now != info:
            return False
        self._remove(info.name)
        return True

    def sweep_incoming(self) -> int:
        """Removes what uploads left that ended with their process; how many files that were."""
        return self._blobs.sweep_incoming()

    @contextmanager
    def _reading(self, sha256: str, field: str) -> Iterator[BlobReader]:
        check_sha256(sha256, field)
        try:
            reading = self._uses.reading(sha256)
            with reading, self.transfers.held(), self._blobs.reader(sha256) as blob:
                self._blobs.touch(sha256)
                yield blob
        except BlobMissing as error:
            raise self._missing(sha256, field) from error
        finally:
            self._remove_awaited(sha256)

    def _remove_awaited(self, sha256: str) -> None:
        if self._uses.may_go(sha256):
            self._remove(sha256)

    def _remove(self, name: str) -> None:
        if self._blobs.remove(name):
            self.files.release()

    def _missing(self, sha256: str, field: str) -> NotFound | Damaged:
        """Why there are no bytes of this name."""
        if self._blobs.info(f"{DAMAGED}{sha256}") is not None:
            return _damaged(sha256, field)
        return missing(sha256, field)

    def _named(self, sha256: str) -> None:
        """What is about to be kept under this name is in use, and one file more if it is new."""
        self._uses.wanted(sha256)
        if self._blobs.info(sha256) is None:
            self.files.create()

    def _kept(self, sha256: str, blocks: Blocks) -> None:
        """What was just written need not be read to know what it is."""
        info = self._blobs.info(sha256)
        if info is not None:
            self._remember(Verified(info.version, sha256, blocks.checksums()))

    def _remember(self, known: Verified) -> None:
        self._known[known.sha256] = known
        while len(self._known) > _MOST_KNOWN:
            self._known.pop(next(iter(self._known)), None)

    def _set_aside(self, sha256: str, blob: BlobReader) -> Damaged:
        """Takes damaged bytes out of the way, so that they can be stored or computed anew."""
        self._known.pop(sha256, None)
        now = self._blobs.info(sha256)
        if now is not None and now.version == blob.info.version:
            self._blobs.rename(sha256, f"{DAMAGED}{sha256}")
        _log.error("artifact damaged and set aside", sha256=sha256, bytes=blob.info.size)
        return _damaged(sha256)


class ArtifactWriter:
    """Takes an artifact's bytes piece by piece.

    Args:
        incoming: what keeps them.
        before: told of the sha256 before the bytes get it for a name.
        after: told of it once they have it, and of what they are.
    """

    def __init__(
        self,
        incoming: Incoming,
        before: Callable[[str], None],
        after: Callable[[str, Blocks], None],
    ) -> None:
        self._incoming, self._before, self._after = incoming, before, after
        self._blocks = Blocks()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._incoming.size

    @property
    def digest(self) -> str:
        """sha256 of what was written so far."""
        return self._incoming.digest

    def write(self, data: bytes | memoryview) -> None:
        """Appends bytes; raises as `ArtifactStore.put`."""
        self._incoming.write(data)
        self._blocks.add(data)

    def finish(self, *, durable: bool = True) -> str:
        """Gives the bytes their name, which is returned: the sha256 of what was written.

        Args:
            durable: whether the bytes must be on the disk by then. Where they were not and the
                power fails, whoever reads them finds that they do not match their name.
        """
        name = self.digest
        if durable:
            self._incoming.sync()
        with storage_errors():
            reach("artifact-written")
        self._before(name)
        self._incoming.keep(name)
        reach("artifact-named")
        self._after(name, self._blocks)
        return name


class Scratch(ArtifactStore):
    """A store whose own arrays are gone with it; others are read from the store below it.

    Args:
        store: what is stored already; the arrays of another call that it knows are known here too.
    """

    def __init__(self, store: ArtifactStore) -> None:
        # Its readers are counted together with those of the store.
        self._blobs, self._uses, self._known = store._blobs, store._uses, store._known
        self.files, self.transfers = store.files, store.transfers
        known = store._arrays if isinstance(store, Scratch) else {}
        self._arrays: dict[ArrayRef, NDArray[np.generic]] = dict(known)

    def put(self, array: NDArray[np.generic], *, durable: bool = True) -> ArrayRef:
        """Keeps an array for as long as the call lasts."""
        ref = array_ref(array)
        self._arrays[ref] = array
        return ref

    def get(self, ref: ArrayRef, field: str = "array") -> NDArray[np.generic]:
        """As `ArtifactStore.get`."""
        kept = self._arrays.get(ref)
        return super().get(ref, field) if kept is None else kept


def missing(sha256: str, field: str) -> NotFound:
    """What says that there is no such artifact, or none that the caller may know of."""
    return NotFound(f"artifact {sha256} is not stored here; send it with PutArtifact", field=field)


def _damaged(sha256: str, field: str = "") -> Damaged:
    return Damaged(
        f"artifact {sha256} is damaged on disk: its sha256 differs; it was set aside, so send it "
        "again, or ask again for what computes it",
        field=field,
    )
