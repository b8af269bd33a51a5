"""Bytes under names, in a folder or in an object store; whoever keeps them need not know which.

    blobs = open_blobs("file:///srv/shared", "artifacts")
    with blobs.incoming() as incoming:
        incoming.write(b"...")
        incoming.sync()
        incoming.keep("name")

Several servers may share the place: what appears under a name is whole, and no lock is held. It
must not know jobs, arrays or gRPC.
"""

from graftscope.server.blobs._blobs import (
    DAMAGED,
    BlobInfo,
    BlobMissing,
    BlobReader,
    Blobs,
    Incoming,
    storage_errors,
)
from graftscope.server.blobs._folder import FolderBlobs
from graftscope.server.blobs._places import folder_of, open_blobs

__all__ = [
    "DAMAGED",
    "BlobInfo",
    "BlobMissing",
    "BlobReader",
    "Blobs",
    "FolderBlobs",
    "Incoming",
    "folder_of",
    "open_blobs",
    "storage_errors",
]
