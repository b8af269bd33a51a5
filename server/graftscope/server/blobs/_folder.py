"""Bytes in files of one folder, which servers may share.

A file is written beside its place, under a lock that the system lets go of when the writer is gone,
and then renamed. So what was left by a killed writer can be told from what another one is writing.
"""

import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graftscope.server.blobs._blobs import BlobInfo, BlobMissing, Incoming, storage_errors

if sys.platform != "win32":
    import fcntl

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,199}")
_INCOMING = "incoming-"
# Versions before 0.7 wrote checkpoints under their names with a dot in front.
_UNFINISHED = (_INCOMING, ".")

_LONGEST_WRITE_S = 3600.0
"""Where there are no locks, the age from which a file's writer is taken for gone."""

_USE_S = 60.0
"""How exactly uses are kept: a file that is read all the time is not touched all the time."""


class FolderBlobs:
    """Files below a folder.

    Args:
        folder: made if it is missing.

    Raises:
        StorageFailed: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with storage_errors():
            folder.mkdir(parents=True, exist_ok=True)

    def incoming(self) -> Incoming:
        """See `Blobs`."""
        with storage_errors():
            return _IncomingFile(self._folder)

    @contextmanager
    def reader(self, name: str) -> Iterator["_FileReader"]:
        """See `Blobs`; a file that is removed meanwhile is read to its end."""
        path = self._path(name)
        with storage_errors():
            try:
                handle = _Handle(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)))
            except FileNotFoundError as error:
                raise BlobMissing(name) from error
        try:
            with handle.held() as number:
                info = _info(name, os.fstat(number))
            yield _FileReader(handle, info)
        finally:
            handle.close()

    def info(self, name: str) -> BlobInfo | None:
        """See `Blobs`."""
        with storage_errors():
            try:
                return _info(name, self._path(name).stat())
            except FileNotFoundError:
                return None

    def list(self) -> list[BlobInfo]:
        """See `Blobs`."""
        with storage_errors(), os.scandir(self._folder) as entries:
            found = []
            for entry in entries:
                # Another server may remove a file at any moment.
                with suppress(FileNotFoundError):
                    if not entry.name.startswith(_UNFINISHED) and entry.is_file():
                        found.append(_info(entry.name, os.stat(entry.path)))
            return found

    def touch(self, name: str) -> None:
        """See `Blobs`: the time of the last access, which is set whatever the file system does."""
        with suppress(OSError), self._path(name).open("rb") as file:
            stat = os.fstat(file.fileno())
            if time.time() - stat.st_atime > _USE_S:
                target = file.fileno() if os.utime in os.supports_fd else self._path(name)
                os.utime(target, ns=(time.time_ns(), stat.st_mtime_ns))

    def rename(self, name: str, to: str) -> None:
        """See `Blobs`."""
        with storage_errors(), suppress(FileNotFoundError):
            self._path(name).replace(self._path(to))

    def remove(self, name: str) -> bool:
        """See `Blobs`."""
        with storage_errors():
            try:
                self._path(name).unlink()
                return True
            except FileNotFoundError:
                return False

    def sweep_incoming(self) -> int:
        """See `Blobs`."""
        with storage_errors():
            names = [name for name in os.listdir(self._folder) if name.startswith(_UNFINISHED)]
            return sum(_remove_unless_written(self._folder / name) for name in names)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name of bytes")
        return self._folder / name


class _Handle:
    """An open file that one thread may close while another uses it, as when a call is cancelled.

    The system gives a closed file's number to the next that is opened, so whoever used it then
    would read or write another file.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[int]:
        """The file's number, which stays its own for as long as the block lasts.

        Raises:
            ValueError: it is closed.
        """
        with self._lock:
            if self._number < 0:
                raise ValueError("the file is closed")
            yield self._number

    def close(self) -> None:
        """Closes it, unless it is closed."""
        with self._lock:
            if self._number >= 0:
                os.close(self._number)
            self._number = -1


class _IncomingFile(Incoming):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._synced = self._kept = False
        number, self._path = _locked_file(folder)
        self._handle = _Handle(number)

    def _append(self, view: memoryview) -> None:
        with self._handle.held() as number:
            while view:
                view = view[os.write(number, view) :]

    def sync(self) -> None:
        """See `Incoming`; it takes a while, in which the file may be closed."""
        with storage_errors():
            with self._handle.held() as number:
                own = os.dup(number)
            try:
                os.fsync(own)
            finally:
                os.close(own)
        self._synced = True

    def keep(self, name: str) -> None:
        """See `Incoming`."""
        with storage_errors():
            if sys.platform == "win32":  # It renames no file that is open.
                self._handle.close()
            self._path.replace(self._folder / name)
            self._kept = True
            if self._synced:
                _sync_folder(self._folder)
        self.close()

    def close(self) -> None:
        """See `Incoming`."""
        if self.closed:
            return
        super().close()
        # Windows removes no file that is open; elsewhere the lock is held for as long as there is
        # a file.
        if sys.platform == "win32":
            self._handle.close()
        if not self._kept:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        self._handle.close()


class _FileReader:
    def __init__(self, handle: _Handle, info: BlobInfo) -> None:
        self._handle, self.info = handle, info

    def read(self, offset: int, size: int) -> bytes:
        """See `BlobReader`."""
        with storage_errors(), self._handle.held() as number:
            os.lseek(number, offset, os.SEEK_SET)
            parts = []
            while size > 0 and (part := os.read(number, size)):
                parts.append(part)
                size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _info(name: str, stat: os.stat_result) -> BlobInfo:
    version = f"{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_size}"
    used_s = max(stat.st_mtime, stat.st_atime)
    return BlobInfo(name, stat.st_size, stat.st_mtime, used_s, version)


def _locked_file(folder: Path) -> tuple[int, Path]:
    """A new file that says for as long as it is open that it is being written."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=_INCOMING)
        # A sweep may come between the two: then there is another file.
        if _lock(handle) is not False and os.path.exists(name):
            return handle, Path(name)
        os.close(handle)


def _lock(handle: int) -> bool | None:
    """Whether the file is locked now; None where there are no locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_unless_written(path: Path) -> bool:
    # Gone meanwhile; or open, on Windows, which removes no such file.
    with suppress(FileNotFoundError, PermissionError):
        with path.open("rb") as file:
            locked = _lock(file.fileno())
            old = time.time() - path.stat().st_mtime > _LONGEST_WRITE_S
            if locked is True or (locked is None and sys.platform != "win32" and old):
                path.unlink()
                return True
        if sys.platform == "win32":
            path.unlink()
            return True
    return False


def _sync_folder(folder: Path) -> None:
    """Returns once the names of the files, too, will survive a power failure."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
