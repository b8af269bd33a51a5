"""Values of inputs that a user gives: numbers, and arrays in files.

They are cast without loss, and checked.
"""

import math
import zlib
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from graftscope.exporter._input_choices import InputChoice
from graftscope.exporter._known_input import KnownInput
from graftscope.exporter.errors import SourceError, one_line
from graftscope.training.archives import check_inflation

_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    BadZipFile,
    zlib.error,
    RuntimeError,
    MemoryError,
    OverflowError,
)
"""What numpy and zipfile raise for damaged files; RuntimeError is an encrypted member's, and the
last two those of a header that claims more than there can be."""


def constant_value(known: KnownInput, choice: InputChoice) -> NDArray[np.generic]:
    """Return the value that every sample shares.

    Args:
        known: The input.
        choice: A constant: a file's array, or a number, which fills the input, or as many as it
            has elements.

    Returns:
        (1, ...), of the input's datatype.

    Raises:
        SourceError: If a file cannot be read, or the value does not fit the input.
    """
    if choice.path is not None:
        return read_values(known, choice.path, constant=True)
    size = math.prod(known.shape)
    if len(choice.numbers) not in (1, size):
        raise SourceError(
            f"{known}: constant takes one number{f', or {size}' if size > 1 else ''}; "
            f"{len(choice.numbers)} are given"
        )
    values = _checked(known, f"{choice} gives", np.array(choice.numbers))
    filled = np.broadcast_to(values, size).reshape(1, *known.shape)
    return np.ascontiguousarray(filled)


def require_fitting(known: KnownInput, choice: InputChoice) -> None:
    """Refuse numbers that an input cannot hold, such as 0.5 where it takes labels."""
    _checked(known, f"{choice} gives", np.array(choice.numbers))


def read_values(known: KnownInput, path: Path, *, constant: bool) -> NDArray[np.generic]:
    """Read an input's values from a NumPy file.

    Args:
        known: The input.
        path: An .npy file, or an .npz file with an array of the input's name, or with one array.
        constant: Whether it is one value, with or without an axis of 1 in front; else it is
            several, (count, ...).

    Returns:
        (1, ...) or (count, ...), of the input's datatype.

    Raises:
        SourceError: If the file cannot be read, or its values are of another shape, not finite,
            not of the datatype, or no labels that the input takes.
    """
    array = load_array(known.name, path)
    if constant and array.shape == known.shape:
        array = array[None]
    if array.shape[1:] != known.shape or array.ndim == 0 or (constant and len(array) != 1):
        first = 1 if constant else "count"
        wanted = ", ".join([str(first), *(str(extent) for extent in known.shape)])
        raise SourceError(f"{known}: {path} holds shape {array.shape}, not ({wanted})")
    if len(array) == 0:
        raise SourceError(f"{known}: {path} holds no values")
    return np.ascontiguousarray(_checked(known, f"{path} holds", array))


def load_array(name: str, path: Path) -> NDArray[np.generic]:
    """Read an array from a NumPy file, as it is.

    Args:
        name: The input's name.
        path: An .npy file, or an .npz file with an array of that name, or with one array.

    Raises:
        SourceError: If the file cannot be read, or has no such array.
    """
    try:
        if is_zipfile(path):
            check_inflation(path)
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            return np.asarray(loaded)
        with loaded as arrays:
            names = list(arrays)
            key = names[0] if len(names) == 1 else name
            if key not in names:
                raise SourceError(
                    f"input {name!r}: {path} has no array {key!r}; it has: "
                    f"{', '.join(names) or 'none'}"
                )
            return np.asarray(arrays[key])
    except _UNREADABLE as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"input {name!r}: {path} cannot be read: {one_line(error)}") from error


def _checked(known: KnownInput, what: str, array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Change the datatype where no value is lost but for the rounding of floats."""
    if array.dtype.kind not in "biuf":
        raise SourceError(f"{known}: {what} {array.dtype}, which is no number")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise SourceError(f"{known}: {what} numbers that are not finite")
    with np.errstate(all="ignore"):
        values = array.astype(known.dtype)
    lossless = np.isfinite(values).all() if known.real else (values == array).all()
    if not lossless:
        raise SourceError(f"{known}: {what} {array.dtype} values that are no {known.dtype}")
    _require_labels(known, what, values)
    return values


def _require_labels(known: KnownInput, what: str, values: NDArray[np.generic]) -> None:
    if known.classes is None:
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= known.classes:
        raise SourceError(
            f"{known}: {what} labels from {low} to {high}; allowed are 0 to {known.classes - 1}"
        )
