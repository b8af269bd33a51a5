"""Places that keep bytes, of every kind."""

from collections.abc import Callable
from pathlib import Path

from obstore.store import LocalStore, MemoryStore

from graftscope.server.blobs import Blobs, FolderBlobs
from graftscope.server.blobs._object_store import ObjectBlobs

PLACES: dict[str, Callable[[Path], Blobs]] = {
    "folder": FolderBlobs,
    "memory": lambda folder: ObjectBlobs(MemoryStore(), "kind"),
    "objects": lambda folder: ObjectBlobs(LocalStore(folder, mkdir=True), "kind"),
}


def put(blobs: Blobs, name: str, data: bytes) -> None:
    """Keeps bytes under a name."""
    with blobs.incoming() as incoming:
        incoming.write(data)
        incoming.sync()
        incoming.keep(name)


def whole(blobs: Blobs, name: str) -> bytes:
    """All bytes under a name."""
    with blobs.reader(name) as reader:
        return reader.read(0, reader.info.size)
