"""A bundle on disk: open it only if it is whole."""

from dataclasses import dataclass
from pathlib import Path

from graftscope.bundle._digest import digest, file_sha256
from graftscope.bundle._manifest import MANIFEST_FILE, manifest_from_json
from graftscope.bundle.errors import BundleError, BundleNotFoundError, CorruptBundleError
from graftscope.v1 import bundle_pb2


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
