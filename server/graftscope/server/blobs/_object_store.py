"""Bytes in an object store, by `obstore`: S3, Google Cloud Storage, Azure, or this memory.

Objects are put whole, so nothing half written is ever seen. They are collected in a temporary file
that has no name, so a killed server leaves nothing.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from graftscope.server.blobs._blobs import BlobInfo, BlobMissing, Incoming, storage_errors
from graftscope.server.errors import StorageFailed
from graftscope.server.logs import get_logger

_log = get_logger("blobs")

_IN_MEMORY_BYTES = 8 * 2**20
"""What is smaller needs no temporary file."""


class ObjectBlobs:
    """Objects below a prefix.

    Args:
        store: the bucket, or the part of it that is ours.
        prefix: what the objects' names begin with.
    """

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store, self._prefix = store, prefix

    def incoming(self) -> Incoming:
        """See `Blobs`."""
        return _IncomingObject(self._store, self._prefix)

    @contextmanager
    def reader(self, name: str) -> Iterator["_ObjectReader"]:
        """See `Blobs`."""
        info = self.info(name)
        if info is None:
            raise BlobMissing(name)
        yield _ObjectReader(self._store, self._path(name), info)

    def info(self, name: str) -> BlobInfo | None:
        """See `Blobs`."""
        with _object_errors(), suppress(FileNotFoundError):
            return self._info(obstore.head(self._store, self._path(name)))
        return None

    def list(self) -> list[BlobInfo]:
        """See `Blobs`."""
        with _object_errors():
            pages = obstore.list(self._store, self._prefix)
            return [self._info(each) for page in pages for each in page]

    def touch(self, name: str) -> None:
        """Does nothing: object stores keep no times of use."""

    def rename(self, name: str, to: str) -> None:
        """See `Blobs`."""
        with _object_errors(), suppress(FileNotFoundError):
            obstore.rename(self._store, self._path(name), self._path(to))

    def remove(self, name: str) -> bool:
        """See `Blobs`; most object stores do not tell."""
        with _object_errors(), suppress(FileNotFoundError):
            obstore.delete(self._store, self._path(name))
            return True
        return False

    def sweep_incoming(self) -> int:
        """There is nothing to remove."""
        return 0

    def _path(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _info(self, meta: "obstore.ObjectMeta") -> BlobInfo:
        written_s = meta["last_modified"].timestamp()
        name = meta["path"].removeprefix(f"{self._prefix}/")
        version = f"{meta['e_tag']}-{meta['last_modified'].isoformat()}-{meta['size']}"
        return BlobInfo(name, meta["size"], written_s, written_s, version)


class _IncomingObject(Incoming):
    def __init__(self, store: ObjectStore, prefix: str) -> None:
        super().__init__()
        self._store, self._prefix = store, prefix
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - `close` ends it

    def _append(self, view: memoryview) -> None:
        self._file.write(view)

    def keep(self, name: str) -> None:
        """See `Incoming`."""
        with storage_errors(), _object_errors():
            self._file.seek(0)
            obstore.put(self._store, f"{self._prefix}/{name}", self._file)
        self.close()

    def close(self) -> None:
        """See `Incoming`."""
        super().close()
        self._file.close()


class _ObjectReader:
    def __init__(self, store: ObjectStore, path: str, info: BlobInfo) -> None:
        self._store, self._path, self.info = store, path, info

    def read(self, offset: int, size: int) -> bytes:
        """See `BlobReader`."""
        size = min(size, self.info.size - offset)
        if size <= 0:
            return b""
        with _object_errors():
            try:
                return bytes(obstore.get_range(self._store, self._path, start=offset, length=size))
            except FileNotFoundError as error:
                raise BlobMissing(self.info.name) from error


@contextmanager
def _object_errors() -> Iterator[None]:
    """The store's errors speak of addresses and paths: they are for the log alone."""
    try:
        yield
    except (BaseError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        _log.error("object store failed", error=" ".join(str(error).split())[:500])
        raise StorageFailed(
            f"the object store of results does not do what is asked of it: {type(error).__name__}"
        ) from error
