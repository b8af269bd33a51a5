"""Zip files that are opened only if what they inflate to is in proportion to their size."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graftscope.client.errors import InputError

INFLATED_BYTES = 2**30
"""What a file's members may inflate to together, however small it is; a larger one to more."""

_EXPANSION = 8
_MEMBERS = 1_000_000

# Of the others a few bytes may inflate to gigabytes at once, before anybody can count them.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip file for reading.

    What a member inflates to is taken from the file's directory; `zipfile` gives no byte more.

    Args:
        path: The file.

    Raises:
        InputError: If its members would inflate to more than 1 GiB and eight times its size, or
            it is no zip file.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise InputError(f"{path} is not a readable zip file: {error}") from error
    with archive:
        members = archive.infolist()
        inflated = sum(each.file_size for each in members)
        allowed = max(INFLATED_BYTES, _EXPANSION * path.stat().st_size)
        if inflated > allowed or len(members) > _MEMBERS:
            raise InputError(
                f"{path} has {len(members):,} members that inflate to {inflated:,} bytes; of a "
                f"file of its size at most {allowed:,} bytes are read"
            )
        if other := next((each for each in members if each.compress_type not in _METHODS), None):
            raise InputError(
                f"{path}: {other.filename!r} is compressed by method {other.compress_type}; only "
                "zip files that are stored or deflated are read"
            )
        yield archive
