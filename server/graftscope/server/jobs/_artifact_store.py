"""Arrays in files that are named by their checksum; those of one call in memory.

A file appears under its name only when it is whole. It must not know jobs or gRPC.
"""

import hashlib
import math
import os
import re
import tempfile
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from graftscope import codec
from graftscope.server.errors import Corrupt, InvalidInput, NotFound
from graftscope.server.failpoints import reach

MAX_AXES = 16
MAX_ELEMENTS = 2**48
"""Beyond any array that could be sent, and within what numpy can count."""

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
    if datatype not in codec.DATATYPES:
        raise InvalidInput(
            f"{field} has datatype {datatype!r}; allowed are {', '.join(codec.DATATYPES)}",
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
    """Files below a folder, named by sha256.

    Args:
        folder: made if it is missing.

    Attributes:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, array: NDArray[np.generic], *, durable: bool = True) -> ArrayRef:
        """Stores an array; the same elements are stored once.

        Args:
            array: any of the datatypes that travel.
            durable: whether it must survive a power failure, which takes several times as long.
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
        """A file that is kept only if `finish` was called on it, else removed at the end."""
        handle, name = tempfile.mkstemp(dir=self.folder, prefix="incoming-")
        try:
            with os.fdopen(handle, "wb") as file:
                yield ArtifactWriter(file, Path(name), self.folder)
        finally:
            Path(name).unlink(missing_ok=True)

    def get(self, ref: ArrayRef, field: str = "array") -> NDArray[np.generic]:
        """Reads an array and checks its bytes.

        Raises:
            NotFound: there is no such artifact.
            Corrupt: the file's bytes do not match its name.
        """
        data = self.path(ref.sha256, field).read_bytes()
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise Corrupt(f"artifact {ref.sha256} is damaged on disk: its sha256 differs")
        return decode_array(data, ref.datatype, ref.shape, field)

    def check(self, ref: ArrayRef, field: str) -> None:
        """Checks that an array is there and that its size fits its type and shape.

        Raises:
            InvalidInput: it does not fit.
            NotFound: there is no such artifact.
        """
        size = self.path(ref.sha256, field).stat().st_size
        check_layout(size, ref.datatype, ref.shape, field)

    def is_intact(self, sha256: str) -> bool:
        """Whether the artifact is there and its bytes match its name."""
        if not self.has(sha256):
            return False
        with (self.folder / sha256).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256

    def has(self, sha256: str) -> bool:
        """Whether the artifact is there."""
        return (self.folder / sha256).is_file()

    def path(self, sha256: str, field: str = "sha256") -> Path:
        """The artifact's file.

        Raises:
            InvalidInput: not a sha256.
            NotFound: there is no such artifact.
        """
        check_sha256(sha256, field)
        if not self.has(sha256):
            raise NotFound(
                f"artifact {sha256} is not stored here; send it with PutArtifact", field=field
            )
        return self.folder / sha256

    def sweep(self, keep: Set[str], older_than_s: float) -> int:
        """Removes artifacts that nothing needs and that are older than a given age.

        Returns:
            How many files were removed.
        """
        oldest = time.time() - older_than_s
        stale = [
            path
            for path in self.folder.iterdir()
            if path.name not in keep and path.stat().st_mtime < oldest
        ]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)


class ArtifactWriter:
    """Takes an artifact's bytes piece by piece."""

    def __init__(self, file: BinaryIO, path: Path, folder: Path) -> None:
        self._file, self._path, self._folder = file, path, folder
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """sha256 of what was written so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> None:
        """Appends bytes."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def finish(self, *, durable: bool = True) -> str:
        """Gives the file its name, which is returned: the sha256 of what was written.

        Args:
            durable: whether the bytes must be on the disk by then. Where they were not and the
                power fails, whoever reads the file finds that they do not match its name.
        """
        self._file.flush()
        if durable:
            os.fsync(self._file.fileno())
        name = self.digest
        reach("artifact-written")
        self._path.replace(self._folder / name)
        reach("artifact-named")
        return name


class Scratch(ArtifactStore):
    """A store whose own arrays are gone with it; others are read from the store below it.

    Args:
        store: what is stored already.
    """

    def __init__(self, store: ArtifactStore) -> None:
        # Its folder is there already.
        self.folder = store.folder
        self._arrays: dict[ArrayRef, NDArray[np.generic]] = {}

    def put(self, array: NDArray[np.generic], *, durable: bool = True) -> ArrayRef:
        """Keeps an array for as long as the call lasts."""
        ref = array_ref(array)
        self._arrays[ref] = array
        return ref

    def get(self, ref: ArrayRef, field: str = "array") -> NDArray[np.generic]:
        """As `ArtifactStore.get`."""
        kept = self._arrays.get(ref)
        return super().get(ref, field) if kept is None else kept
