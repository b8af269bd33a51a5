"""From a URL to the place that it names."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from graftscope.server.blobs._blobs import Blobs
from graftscope.server.blobs._folder import FolderBlobs
from graftscope.server.errors import InvalidInput

SCHEMES = ("file", "s3", "gs", "az", "memory")
"""What a storage's URL may begin with."""


def open_blobs(storage: Path | str, kind: str) -> Blobs:
    """The place of one kind of bytes.

    Args:
        storage: a folder, or a URL: file:///PATH, s3://BUCKET/PREFIX, gs://…, az://… or memory:///.
        kind: what the bytes are, such as artifacts; a folder below the storage.

    Raises:
        InvalidInput: no such URL, or `obstore` is needed and not installed.
        StorageFailed: the folder cannot be made.
    """
    if isinstance(storage, Path):
        return FolderBlobs(storage / kind)
    url = urlsplit(storage)
    is_bucket = url.scheme not in ("file", "memory")
    if url.scheme not in SCHEMES or is_bucket != bool(url.netloc):
        # Not the URL itself, which may hold a key; nor who asks, whose password it may be.
        place = url.netloc.rpartition("@")[2]
        raise InvalidInput(
            f"storage begins with {url.scheme + '://' + place!r}; it must be a URL: "
            "file:///PATH, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or "
            "memory:///",
            field="storage",
        )
    if (folder := folder_of(storage)) is not None:
        return FolderBlobs(folder / kind)
    return _object_blobs(storage, kind)


def folder_of(storage: Path | str) -> Path | None:
    """The folder that a storage is; None for an object store. Takes what `open_blobs` does."""
    if isinstance(storage, Path):
        return storage
    url = urlsplit(storage)
    return Path(url2pathname(url.path)) if url.scheme == "file" else None


def _object_blobs(url: str, kind: str) -> Blobs:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url

        from graftscope.server.blobs._object_store import ObjectBlobs
    except ImportError as error:
        raise InvalidInput(
            "storage in an object store needs obstore: pip install 'graftscope[objectstore]'",
            field="storage",
        ) from error
    try:
        return ObjectBlobs(from_url(url), kind)
    except (BaseError, ValueError) as error:
        raise InvalidInput(
            f"storage cannot be opened: {str(error).splitlines()[0].replace(url, 'its URL')}",
            field="storage",
        ) from error
