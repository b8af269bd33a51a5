"""Bundles on disk: opened only if they are whole; and those that come with the package."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from graftscope.bundle._manifest import MANIFEST_FILE, digest, manifest_from_json
from graftscope.bundle.errors import BundleError, BundleNotFoundError, CorruptBundleError
from graftscope.v1 import bundle_pb2

_SHIPPED = Path(__file__).parent / "shipped"


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
        CorruptBundleError: If a file is missing or changed, or the digest is another.
    """
    folder = Path(path)
    manifest = _read_manifest(folder)
    for file in manifest.files:
        _verify_file(folder, file)
    if manifest.digest != (found := digest(manifest)):
        raise CorruptBundleError(
            f"bundle {str(folder)!r}: the digest in {MANIFEST_FILE} is {manifest.digest!r}, "
            f"but the files, inputs, image and layers that it lists have {found!r}"
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
    if not path.is_file():
        raise BundleNotFoundError(f"{str(folder)!r} is not a bundle: it has no {MANIFEST_FILE}")
    try:
        return manifest_from_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise CorruptBundleError(f"{path} is not text in UTF-8: {error}") from error
    except BundleError as error:
        raise type(error)(f"{path}: {error}") from error


def _verify_file(folder: Path, file: bundle_pb2.File) -> None:
    path = folder / file.name
    if not path.is_file():
        raise CorruptBundleError(f"bundle {str(folder)!r} lacks its file {file.name!r}")
    if (found := file_sha256(path)) != file.sha256:
        raise CorruptBundleError(
            f"bundle {str(folder)!r}: file {file.name!r} is damaged or truncated: "
            f"its sha256 is {found}, it was exported with {file.sha256}"
        )
