"""Private copies of the bundles that are served: what happens to the originals does not matter.

A session maps its weights. Were they mapped where a user keeps them, a file that is truncated would
end the server, and one that is rewritten would change results under the old digest. So a bundle's
files are copied into the state folder once, verified there, and read-only from then on; the source
is looked at only to tell that it has changed. It must not know jobs or gRPC.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Final
from uuid import uuid4

from filelock import FileLock, Timeout

from graftscope.bundle import (
    MANIFEST_FILE,
    MANIFEST_LIMIT_BYTES,
    BundleError,
    BundleFolder,
    manifest_from_json,
    open_own,
    read_bundle,
)
from graftscope.server.errors import Corrupt, InvalidInput
from graftscope.v1 import bundle_pb2

_CHUNK_BYTES: Final = 2**20
_CLONE: Final = 0x40049409
"""Linux's FICLONE: the copy shares the source's blocks until one of the two is written to."""
_USERS: Final = "users"
_INCOMING: Final = "incoming-"
_NOTE: Final = "copied-from.json"
"""Holds the signature of what a copy was made from."""

Signature = tuple[tuple[str, int, int, int], ...]
"""Name, size, time of the last change and number of each of a bundle's files."""


@dataclass(frozen=True)
class HeldBundle:
    """A bundle that is served.

    Attributes:
        folder: the private copy.
        source: what it was copied from.
        key: the copy's name.
        signature: of the source, when it was copied or last compared.
        mark: says that this server uses the copy.
    """

    folder: BundleFolder
    source: Path
    key: str
    signature: Signature
    mark: FileLock

    @property
    def source_changed(self) -> bool:
        """Whether the source's files are others by now, or gone."""
        return _signature(self.source, _names(self.signature)) != self.signature


class BundleCopies:
    """The copies in one folder, which several servers may share.

    Args:
        folder: where they lie; it is made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, HeldBundle] = {}
        try:
            (folder / _USERS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(
                f"state folder {str(folder.parent)!r} cannot be used: {error.strerror}",
                field="state",
            ) from error

    @property
    def held(self) -> tuple[HeldBundle, ...]:
        """What this server uses."""
        return tuple(self._held.values())

    def hold(self, source: Path) -> HeldBundle:
        """Copy a bundle, unless that was done, and keep the copy for as long as it is used.

        Args:
            source: the bundle's folder.

        Raises:
            BundleError: it is no whole bundle.
            Corrupt: it changes while it is copied.
            InvalidInput: the state folder cannot take it.
        """
        told = _manifest_bytes(source)
        key = hashlib.sha256(told).hexdigest()
        if key in self._held:
            return self._held[key]
        with self._alone():
            # Taken in one thread and given up in another.
            mark = FileLock(self._folder / _USERS / f"{key}.{uuid4().hex}", thread_local=False)
            mark.acquire()
        try:
            held = self._held_by(mark, key, source, told)
        except BaseException:
            _given_up(mark)
            raise
        self._held[key] = held
        return held

    def release(self, held: HeldBundle) -> None:
        """Say that this server no longer uses a copy; `sweep` removes it."""
        if self._held.pop(held.key, None) is not None:
            _given_up(held.mark)

    def sweep(self) -> None:
        """Remove the copies that no server uses, and what a killed one left half done."""
        with self._alone():
            used = set(self._held)
            for path in (self._folder / _USERS).iterdir():
                key, _, _ = path.name.partition(".")
                if key not in used and not _is_stale(path):
                    used.add(key)
            for path in self._folder.iterdir():
                name = path.name.removeprefix(_INCOMING)[:64]
                if len(name) == 64 and name not in used:
                    _removed(path)

    def close(self) -> None:
        """Let go of all copies; they stay for the next start."""
        for held in self.held:
            self.release(held)

    def _held_by(self, mark: FileLock, key: str, source: Path, told: bytes) -> HeldBundle:
        copy, noted = self._folder / key, _noted(self._folder / key)
        if noted and noted == _signature(source, _names(noted)):
            with suppress(BundleError):
                return HeldBundle(read_bundle(copy), source, key, noted, mark)
        listed = (MANIFEST_FILE, *(file.name for file in _manifest(source, told).files))
        noted = _signature(source, listed)
        folder = self._copied(source, copy, told, listed, noted)
        return HeldBundle(folder, source, key, noted, mark)

    def _copied(
        self, source: Path, copy: Path, told: bytes, listed: Sequence[str], noted: Signature
    ) -> BundleFolder:
        incoming = self._folder / f"{_INCOMING}{copy.name}.{uuid4().hex}"
        try:
            incoming.mkdir(mode=0o700)
            (incoming / MANIFEST_FILE).write_bytes(told)
            for name in listed[1:]:
                _copy_file(source, name, incoming / name)
            found = _verified(incoming, source)
            (incoming / _NOTE).write_text(json.dumps(noted))
            self._put(incoming, copy)
        except OSError as error:
            raise InvalidInput(
                f"bundle {str(source)!r} cannot be copied into the state folder: {error.strerror}",
                field="state",
            ) from error
        finally:
            _removed(incoming)
        return BundleFolder(copy, found.manifest)

    def _put(self, incoming: Path, copy: Path) -> None:
        """Put a copy in its place; another server may have done so, with the same files."""
        with self._alone():
            if copy.exists() and _whole(copy) is not None:
                (incoming / _NOTE).replace(copy / _NOTE)
                return
            _removed(copy)
            incoming.rename(copy)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While marks and copies are looked at together; never while files are copied."""
        with FileLock(self._folder / f"{_USERS}.lock"):
            yield


def served_digests(folder: Path) -> dict[str, str]:
    """The digests of the copies that servers use now, by the bundles' names.

    Args:
        folder: as of `BundleCopies`; nothing is changed in it.
    """
    found: dict[str, str] = {}
    for mark in sorted((folder / _USERS).glob("*.*")):
        if _is_free(mark):
            continue
        with suppress(BundleError, OSError, UnicodeDecodeError):
            copy = folder / mark.name.partition(".")[0]
            manifest = manifest_from_json((copy / MANIFEST_FILE).read_text(encoding="utf-8"))
            found[manifest.name] = manifest.digest
    return found


def _manifest_bytes(source: Path) -> bytes:
    if not (source / MANIFEST_FILE).exists():
        read_bundle(source)  # says what is wrong
    with open_own(source, MANIFEST_FILE) as file:
        # What is longer is refused when it is read.
        return file.read(MANIFEST_LIMIT_BYTES + 1)


def _whole(copy: Path) -> BundleFolder | None:
    """A copy that is as it was made; None where there is none, or it is damaged."""
    with suppress(BundleError, OSError):
        return read_bundle(copy)
    return None


def _signature(source: Path, names: Iterable[str]) -> Signature:
    """What tells that files are the same, without reading them; () where one is gone."""
    try:
        told = [(name, (source / name).stat()) for name in sorted(names)]
    except OSError:
        return ()
    return tuple((name, each.st_size, each.st_mtime_ns, each.st_ino) for name, each in told)


def _names(signature: Signature) -> tuple[str, ...]:
    return tuple(name for name, *_ in signature)


def _noted(copy: Path) -> Signature | None:
    try:
        return tuple(tuple(each) for each in json.loads((copy / _NOTE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _copy_file(source: Path, name: str, target: Path) -> None:
    with open_own(source, name) as read, target.open("xb") as written:
        if not _cloned(read, written):
            shutil.copyfileobj(read, written, _CHUNK_BYTES)
    target.chmod(0o400)


def _manifest(source: Path, told: bytes) -> bundle_pb2.Bundle:
    try:
        return manifest_from_json(told.decode())
    except (UnicodeDecodeError, BundleError):
        read_bundle(source)  # says where that is
        raise


def _verified(copy: Path, source: Path) -> BundleFolder:
    """A copy that is a whole bundle; what is wrong with it is told of its source."""
    try:
        return read_bundle(copy)
    except BundleError as error:
        read_bundle(source)
        raise Corrupt(f"bundle {str(source)!r} changes while it is copied") from error


def _cloned(read: BufferedIOBase, written: BufferedIOBase) -> bool:
    """Have the file system share the blocks; whether it did."""
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(written.fileno(), _CLONE, read.fileno())
    except OSError:
        return False
    return True


def _given_up(mark: FileLock) -> None:
    mark.release()
    Path(mark.lock_file).unlink(missing_ok=True)


def _is_free(mark: Path) -> bool:
    """Whether the server that made a mark is gone."""
    lock = FileLock(mark)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    lock.release()
    return True


def _is_stale(mark: Path) -> bool:
    """Whether the server that made a mark is gone; the mark goes then too."""
    lock = FileLock(mark)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    _given_up(lock)
    return True


def _removed(path: Path) -> None:
    """Remove a copy, whose files are read-only, which Windows minds."""
    for file in path.glob("*"):
        with suppress(OSError):
            file.chmod(0o600)
    shutil.rmtree(path, ignore_errors=True)
