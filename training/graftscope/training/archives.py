"""Zip files of arrays, which are read only if they inflate to little more than their size."""

import zipfile
from pathlib import Path

INFLATED_BYTES = 2**30
"""What a file's members may inflate to together, however small it is; a larger one to more."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those that are read: of the others a few bytes may inflate to gigabytes at once."""

_EXPANSION = 8


def check_inflation(path: Path) -> None:
    """Check what a zip file's members inflate to; `zipfile` gives no byte more than it says.

    Raises:
        ValueError: If it is more than 1 GiB and eight times the file's size, or they are
            compressed by another method than deflation.
        OSError, zipfile.BadZipFile: If it cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    inflated = sum(each.file_size for each in members)
    allowed = max(INFLATED_BYTES, _EXPANSION * path.stat().st_size)
    if inflated > allowed:
        raise ValueError(f"it inflates to {inflated:,} bytes; at most {allowed:,} are read")
    if any(each.compress_type not in METHODS for each in members):
        raise ValueError("a member is neither stored nor deflated")
