"""A folder that appears whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graftscope.exporter._swap import exchange
from graftscope.exporter.errors import TargetExistsError


@contextmanager
def new_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder that becomes `target` when the block ends without an error.

    It lies beside the target, so that one rename puts it there; when that happens everything in
    it is on the disk. A process that is killed leaves no more than a hidden folder.

    Args:
        target: The folder to make. Folders above it are made too.
        overwrite: Whether a target that is there already is replaced; else it is an error.

    Raises:
        TargetExistsError: If the target is there and not to be overwritten; before the block.
    """
    refuse_existing(target, overwrite=overwrite)
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
        shutil.rmtree(folder, ignore_errors=True)


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Raise if the target is there and not to be overwritten.

    Raises:
        TargetExistsError: If so.
    """
    if not overwrite and (target.exists() or target.is_symlink()):
        raise TargetExistsError(
            f"{str(target)!r} exists already; choose another folder, or say to overwrite it"
        )


def _put(folder: Path, target: Path, *, overwrite: bool) -> None:
    # Somebody else may have made the target meanwhile; renaming replaces empty folders only.
    refuse_existing(target, overwrite=overwrite)
    if not target.exists():
        folder.rename(target)
    elif not exchange(folder, target):
        _replace(folder, target)


def _replace(folder: Path, target: Path) -> None:
    """Put one folder in another's place in two steps, between which the target is missing.

    So nobody ever sees half of one bundle and half of another.
    """
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    target.rename(old)
    try:
        folder.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
