"""The folder of a bundle: it appears whole or not at all, and only where nothing else is lost.

An export never deletes what it did not write.
"""

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from graftscope.bundle import MANIFEST_FILE, BundleError, manifest_from_json
from graftscope.exporter.errors import TargetExistsError

CARD_FILE: Final = "MODEL_CARD.md"
"""Part of a bundle, but not listed in its manifest."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def require_target(target: Path, *, overwrite: bool) -> None:
    """Refuse a target that must not be put there or replaced.

    An empty folder may be used; only a folder that is a bundle, and holds nothing else, may be
    replaced.

    Args:
        target: The bundle's folder; usually not there yet.
        overwrite: Whether a bundle that is there already may be replaced.

    Raises:
        TargetExistsError: If it is there and may not be replaced; it names what is in the way.
    """
    if not (target.exists() or target.is_symlink()) or _is_empty(target):
        return
    if not overwrite:
        raise TargetExistsError(
            f"{str(target)!r} exists already; choose another folder, or overwrite it (--overwrite)"
        )
    if obstacle := _obstacle(target):
        raise TargetExistsError(
            f"{str(target)!r} is not overwritten: {obstacle}; only a bundle's own folder may be"
        )


@contextmanager
def new_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder that becomes `target` when the block ends without an error.

    It lies beside the target, so that one rename puts it there; when that happens everything in
    it is on the disk. A process that is killed leaves no more than a hidden folder.

    Args:
        target: The folder to make. Folders above it are made too.
        overwrite: Whether a bundle that is there already is replaced; else it is an error.

    Raises:
        TargetExistsError: If the target is there and may not be replaced; before the block.
    """
    require_target(target, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp's folders are their owner's alone
        for path in [*folder.iterdir(), folder]:
            sync(path)
        _put(folder, target, overwrite=overwrite)
        sync(target.parent)
    finally:
        _remove(folder)


def _put(folder: Path, target: Path, *, overwrite: bool) -> None:
    # Somebody else may have made or changed the target meanwhile.
    require_target(target, overwrite=overwrite)
    if not target.exists():
        folder.rename(target)
    elif not exchange(folder, target):
        _replace(folder, target)


def exchange(first: Path, second: Path) -> bool:
    """Let two folders of one file system swap names, at once for whoever looks.

    Args:
        first: A folder that exists.
        second: Another.

    Returns:
        Whether they were exchanged; False where this system or file system cannot.
    """
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        return False
    paths = os.fsencode(first), os.fsencode(second)
    return bool(rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)


def _replace(folder: Path, target: Path) -> None:
    """Put one folder in another's place in two steps, between which the target is missing.

    So nobody ever sees half of one bundle and half of another.
    """
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        target.rename(old)
        try:
            folder.rename(target)
        except OSError:
            old.rename(target)
            raise
    finally:
        _remove(old)


def _remove(path: Path) -> None:
    """Remove what is left over, of whatever kind: an exchange brings what was at the target."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have a file's content, or a folder's list of files, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not target.is_symlink() and not any(target.iterdir())


def _obstacle(target: Path) -> str | None:
    """Say why a target may not be replaced; None where it may."""
    if target.is_symlink():
        return "it is a symbolic link"
    if not target.is_dir():
        return "it is a file"
    if not (target / MANIFEST_FILE).is_file():
        return f"it has no {MANIFEST_FILE}, but holds {min(target.iterdir()).name!r}"
    return _foreign(target)


def _foreign(folder: Path) -> str | None:
    try:
        manifest = manifest_from_json((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (BundleError, UnicodeDecodeError) as error:
        return f"its {MANIFEST_FILE} cannot be read ({error})"
    own = {MANIFEST_FILE, CARD_FILE, *(file.name for file in manifest.files)}
    for path in sorted(folder.iterdir()):
        if path.name not in own or path.is_symlink() or not path.is_file():
            return f"it holds {path.name!r}, which is no part of the bundle"
    return None
