"""How an artifact is read: checked as a whole once, then piece by piece; and who reads it.

It must not know where artifacts lie.
"""

import hashlib
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from graftscope.server.blobs import BlobReader
from graftscope.server.errors import Damaged

BLOCK_BYTES = 2**20

_ASKED_S = 600.0
"""For how long an artifact that a request named is in use: its job may not be stored yet."""


@dataclass(frozen=True)
class Verified:
    """What was found when all of an artifact was read, or written.

    Attributes:
        version: of the bytes.
        sha256: of all bytes.
        blocks: CRC-32 of every `BLOCK_BYTES`.
    """

    version: str
    sha256: str
    blocks: tuple[int, ...]


class Blocks:
    """CRC-32 of every `BLOCK_BYTES` of what comes in pieces of any size."""

    def __init__(self) -> None:
        self._checksums: list[int] = []
        self._size = 0

    def add(self, data: bytes | memoryview) -> None:
        """Takes the next bytes."""
        view = memoryview(data)
        view = view.cast("B") if view.nbytes else view
        while view.nbytes:
            begun = self._size % BLOCK_BYTES
            piece = view[: BLOCK_BYTES - begun]
            before = self._checksums.pop() if begun else 0
            self._checksums.append(zlib.crc32(piece, before))
            self._size += len(piece)
            view = view[len(piece) :]

    def checksums(self) -> tuple[int, ...]:
        """Of all blocks so far, the last one as far as it goes."""
        return tuple(self._checksums)


def verified(blob: BlobReader) -> Verified:
    """Reads all bytes, a block at a time."""
    whole, blocks = hashlib.sha256(), Blocks()
    for offset in range(0, blob.info.size, BLOCK_BYTES):
        data = blob.read(offset, BLOCK_BYTES)
        whole.update(data)
        blocks.add(data)
    return Verified(blob.info.version, whole.hexdigest(), blocks.checksums())


class ArtifactReader:
    """Reads an artifact, every byte of it compared with what was there when all was checked.

    Args:
        blob: its bytes.
        known: what they were when they were checked.
        damaged: sets them aside, and gives the error that says so.

    Attributes:
        size: how many bytes there are.
    """

    def __init__(self, blob: BlobReader, known: Verified, damaged: Callable[[], Damaged]) -> None:
        self._blob, self._known, self._damaged = blob, known, damaged
        self.size = blob.info.size

    def read(self, offset: int, size: int) -> bytes:
        """Some of the bytes; fewer at the end.

        Raises:
            Damaged: they are not what they were.
        """
        first, last = offset // BLOCK_BYTES, -(-min(offset + size, self.size) // BLOCK_BYTES)
        data = b"".join(self._block(i) for i in range(first, last))
        start = offset - first * BLOCK_BYTES
        return data[start : start + size]

    def _block(self, index: int) -> bytes:
        data = self._blob.read(index * BLOCK_BYTES, BLOCK_BYTES)
        if zlib.crc32(data) != self._known.blocks[index]:
            raise self._damaged()
        return data


class Uses:
    """Which artifacts are read now, and which were asked for a moment ago. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: Counter[str] = Counter()
        self._asked_s: dict[str, float] = {}
        self._awaited: set[str] = set()

    @contextmanager
    def reading(self, sha256: str) -> Iterator[None]:
        """Counts a reader for as long as the block lasts."""
        with self._lock:
            self._readers[sha256] += 1
        try:
            yield
        finally:
            with self._lock:
                self._readers[sha256] -= 1
                if not self._readers[sha256]:
                    del self._readers[sha256]

    def asked(self, sha256: str) -> None:
        """Remembers that a request named the artifact."""
        now = time.monotonic()
        with self._lock:
            self._asked_s = {x: at for x, at in self._asked_s.items() if now - at < _ASKED_S}
            self._asked_s[sha256] = now

    def is_used(self, sha256: str) -> bool:
        """Whether somebody reads it, or a request named it a moment ago."""
        with self._lock:
            asked_s = self._asked_s.get(sha256)
            recently = asked_s is not None and time.monotonic() - asked_s < _ASKED_S
            return recently or sha256 in self._readers

    @property
    def awaited(self) -> set[str]:
        """What is to go once it is not in use any more."""
        with self._lock:
            return set(self._awaited)

    def await_removal(self, sha256: str) -> None:
        """Says that the artifact is to go once it is not in use any more."""
        with self._lock:
            self._awaited.add(sha256)

    def wanted(self, sha256: str) -> None:
        """Says that the artifact is written anew, so that it is not to go."""
        with self._lock:
            self._awaited.discard(sha256)

    def may_go(self, sha256: str) -> bool:
        """Whether its removal is awaited and it is not in use; said to be so once."""
        if self.is_used(sha256):
            return False
        with self._lock:
            awaited = sha256 in self._awaited
            self._awaited.discard(sha256)
            return awaited
