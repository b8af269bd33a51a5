"""Files: `.npz` read with the names that are needed, all of them written whole or not at all."""

import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays._zip import open_zip
from graftscope.client.errors import InputError, NotFoundError, OutputError

_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    MemoryError,
    OverflowError,
)
"""What numpy and zipfile raise for damaged files; RuntimeError is an encrypted member's, and the
last two those of a header that claims more than there can be."""


def write_npz(
    path: str | Path, arrays: Mapping[str, NDArray[np.generic]], comment: bytes = b""
) -> None:
    """Write arrays under their names.

    Args:
        path: The file; it is replaced if it exists.
        arrays: What it holds.
        comment: What the archive says beside them, at most 65,535 bytes.

    Raises:
        OutputError: If the file cannot be written, or the comment is longer.
    """
    if len(comment) > zipfile.ZIP_MAX_COMMENT:
        raise OutputError(
            f"cannot write {path}: {len(comment):,} bytes of description are too many: the "
            f"comment of an .npz file holds {zipfile.ZIP_MAX_COMMENT:,}"
        )

    def fill(file: BinaryIO) -> None:
        np.savez(file, allow_pickle=False, **arrays)
        if comment:
            with zipfile.ZipFile(file, "a") as archive:
                archive.comment = comment

    _write(Path(path), fill)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file.

    Args:
        path: The file; it is replaced if it exists.
        data: What it holds.

    Raises:
        OutputError: If the file cannot be written.
    """
    _write(Path(path), lambda file: file.write(data))


def read_bytes(path: str | Path) -> bytes:
    """Read a file.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If it cannot be read.
    """
    if not os.path.isfile(path):
        raise NotFoundError(f"there is no file {path}")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _write(target: Path, fill: Callable[[BinaryIO], object]) -> None:
    # A temporary name first: whoever reads the file never meets half of it. It says nothing of the
    # target's name, which may be as long as names can be.
    part = target.with_name(f".{uuid4().hex}.part")
    try:
        with part.open("x+b") as file:
            fill(file)
        part.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def check_writable(path: str | Path) -> Path:
    """Make sure that a file can be written, before the work that it is meant to hold starts.

    Args:
        path: The file.

    Returns:
        The path.

    Raises:
        OutputError: If its folder is missing or does not let this user write, it is a folder, or
            the file system does not take its name.
    """
    target = Path(path)
    try:
        target.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {target}: there is no folder {target.parent}")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise OutputError(f"cannot write {target}: permission denied")
    return target


def prepare_folder(path: Path) -> None:
    """Make a folder, unless it is there, and make sure that it can be written to.

    Raises:
        OutputError: If it cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder {path}: {error.strerror or error}") from error
    if not os.access(path, os.W_OK):
        raise OutputError(f"cannot write to folder {path}: permission denied")


def read_npz(path: str | Path) -> dict[str, NDArray[np.generic]]:
    """Read every array of a file.

    Args:
        path: An `.npz` file.

    Returns:
        The arrays by their names.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If it is not an `.npz` file, is damaged, holds Python objects, claims more than
            the memory holds, or inflates to far more than its size.
    """
    source = _archive(path)
    try:
        with open_zip(source), np.load(source, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"{source} is not a readable .npz file: {error}") from error


def read_comment(path: str | Path) -> bytes:
    """Read what a file says beside its arrays.

    Args:
        path: An `.npz` file.

    Returns:
        The archive's comment, empty if there is none.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If it is not an `.npz` file, or is damaged.
    """
    source = _archive(path)
    try:
        with zipfile.ZipFile(source) as archive:
            return archive.comment
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{source} is not a readable .npz file: {error}") from error


def read_values(path: str | Path, name: str, *, insist: bool = False) -> NDArray[np.generic]:
    """Read an array of a file that holds one, or that names it.

    Args:
        path: An `.npy` file, or an `.npz` file.
        name: The array's name in an `.npz` file.
        insist: Whether it must have that name; else a file's only array will do.

    Returns:
        The array.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If the file is damaged, or has no such array.
    """
    if Path(path).suffix == ".npy":
        return _read_npy(Path(path))
    arrays = read_npz(path)
    if name not in arrays and len(arrays) == 1 and not insist:
        return next(iter(arrays.values()))
    return _named(path, arrays, name)


def _named(
    path: str | Path, arrays: Mapping[str, NDArray[np.generic]], name: str
) -> NDArray[np.generic]:
    if name not in arrays:
        held = ", ".join(arrays) or "no arrays"
        raise InputError(f"{path} has no array {name!r}; it has: {held}")
    return arrays[name]


def _read_npy(path: Path) -> NDArray[np.generic]:
    if not os.path.isfile(path):
        raise NotFoundError(f"there is no file {path}")
    try:
        array: NDArray[np.generic] = np.lib.format.read_array(
            BytesIO(path.read_bytes()), allow_pickle=False
        )
    except _UNREADABLE as error:
        raise InputError(f"{path} is not a readable .npy file: {error}") from error
    return array


def _archive(path: str | Path) -> Path:
    source = Path(path)
    if not os.path.isfile(source):
        raise NotFoundError(f"there is no file {source}")
    if not zipfile.is_zipfile(source):
        raise InputError(f"{source} is not an .npz file, or its end is missing")
    return source


def read_array(path: str | Path, name: str) -> NDArray[np.generic]:
    """Read one array of a file.

    Args:
        path: An `.npz` file.
        name: The array's name.

    Returns:
        The array.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If the file is damaged, or has no array of that name.
    """
    return _named(path, read_npz(path), name)
