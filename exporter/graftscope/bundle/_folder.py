"""Bundles on disk: opened only if they are whole; and those that come with the package."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from graftscope.bundle._manifest import (
    MANIFEST_FILE,
    MANIFEST_LIMIT_BYTES,
    digest,
    manifest_from_json,
)
from graftscope.bundle.errors import (
    BundleError,
    BundleNotFoundError,
    CorruptBundleError,
    ManifestError,
)
from graftscope.v1 import bundle_pb2

_SHIPPED = Path(__file__).parent / "shipped"

# None of them is there on Windows but the last, which is there alone.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class BundleFolder:
    """A bundle whose files are those that were exported.

    Attributes:
        path: The folder.
        manifest: What it holds.
    """

    path: Path
    manifest: bundle_pb2.Bundle

    def file(self, name: str) -> Path:
        """Return the path of one of the manifest's files."""
        return self.path / name


def read_bundle(path: str | Path) -> BundleFolder:
    """Open a bundle and verify every file's hash and the digest.

    Args:
        path: The bundle's folder.

    Returns:
        The bundle.

    Raises:
        BundleNotFoundError: If there is no such folder, or no manifest in it.
        UnknownFormatError: If the manifest is of another version of the format.
        ManifestError: If the manifest is not JSON, or says what cannot be.
        CorruptBundleError: If a file is missing, changed, or a link, or the digest is another.
    """
    folder = Path(path)
    manifest = _read_manifest(folder)
    for file in manifest.files:
        _verify_file(folder, file)
    if manifest.digest != (found := digest(manifest)):
        raise CorruptBundleError(
            f"bundle {str(folder)!r}: the digest in {MANIFEST_FILE} is {manifest.digest!r}, "
            f"but what it lists has {found!r}"
        )
    return BundleFolder(folder, manifest)


def shipped() -> dict[str, Path]:
    """Return the folders of the bundles that come with the package, by name."""
    manifests = sorted(_SHIPPED.glob(f"*/{MANIFEST_FILE}"))
    return {manifest.parent.name: manifest.parent for manifest in manifests}


def find_shipped(name: str) -> Path:
    """Return the folder of a bundle that comes with the package.

    Args:
        name: The bundle's name.

    Raises:
        BundleNotFoundError: If there is none of that name; the message lists the names.
    """
    known = shipped()
    if name not in known:
        names = ", ".join(known) or "none"
        raise BundleNotFoundError(f"no bundle {name!r} comes with the package; there are: {names}")
    return known[name]


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes in lowercase hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_manifest(folder: Path) -> bundle_pb2.Bundle:
    path = folder / MANIFEST_FILE
    if not folder.is_dir():
        raise BundleNotFoundError(f"bundle {str(folder)!r} does not exist or is not a folder")
    if not path.exists():
        raise BundleNotFoundError(f"{str(folder)!r} is not a bundle: it has no {MANIFEST_FILE}")
    with open_own(folder, MANIFEST_FILE) as stream:
        data = stream.read(MANIFEST_LIMIT_BYTES + 1)
    try:
        if len(data) > MANIFEST_LIMIT_BYTES:
            raise ManifestError(f"it holds more than the {MANIFEST_LIMIT_BYTES} bytes allowed")
        return manifest_from_json(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CorruptBundleError(f"{path} is not text in UTF-8: {error}") from error
    except BundleError as error:
        raise type(error)(f"{path}: {error}") from error


def _verify_file(folder: Path, file: bundle_pb2.File) -> None:
    with open_own(folder, file.name) as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != file.sha256:
        raise CorruptBundleError(
            f"bundle {str(folder)!r}: file {file.name!r} is damaged or truncated: "
            f"its sha256 is {found}, it was exported with {file.sha256}"
        )


@contextmanager
def open_own(folder: Path, name: str) -> Iterator[BufferedReader]:
    """Open a bundle's file for reading, if it is its own: no link, no device, of no other name.

    What is looked at is what is opened, so that nobody can put another file there in between.

    Args:
        folder: The bundle.
        name: The file's.

    Raises:
        CorruptBundleError: If it is missing, cannot be read, or is not the bundle's own.
    """
    if not _NO_LINK and (folder / name).is_symlink():
        raise _foreign(folder, name, "is a symbolic link")
    try:
        # A pipe that nobody writes to would be waited for.
        handle = os.open(folder / name, os.O_RDONLY | _NO_LINK | _NO_WAIT | _BINARY)
        with os.fdopen(handle, "rb") as stream:
            _require_own(folder, name, os.fstat(handle))
            yield stream
    except FileNotFoundError as error:
        raise CorruptBundleError(f"bundle {str(folder)!r} lacks its file {name!r}") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _foreign(folder, name, "is a symbolic link") from error
        raise CorruptBundleError(
            f"bundle {str(folder)!r}: file {name!r} cannot be read: {error.strerror}"
        ) from error


def _require_own(folder: Path, name: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _foreign(folder, name, "is no regular file")
    # Installers link the files of a package to those in their cache.
    if status.st_nlink > 1 and folder.parent != _SHIPPED:
        raise _foreign(folder, name, f"has {status.st_nlink} names (hard links)")


def _foreign(folder: Path, name: str, what: str) -> CorruptBundleError:
    return CorruptBundleError(
        f"bundle {str(folder)!r}: file {name!r} {what}; a bundle's files must be its own: copy it"
    )
