"""A folder that appears whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graftscope.exporter._swap import exchange
from graftscope.exporter._target import require_target


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
            _sync(path)
        _put(folder, target, overwrite=overwrite)
        _sync(target.parent)
    finally:
        _remove(folder)


def _put(folder: Path, target: Path, *, overwrite: bool) -> None:
    # Somebody else may have made or changed the target meanwhile.
    require_target(target, overwrite=overwrite)
    if not target.exists():
        folder.rename(target)
    elif not exchange(folder, target):
        _replace(folder, target)


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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
