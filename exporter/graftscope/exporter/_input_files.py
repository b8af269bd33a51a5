"""Values of inputs that a user gives as a file: read, cast without loss, checked.

It knows neither graphs nor distributions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from graftscope.exporter.errors import SourceError

_DTYPES: Final = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}


@dataclass(frozen=True)
class KnownInput:
    """What is known of a generator's input before anybody says how its values come about.

    Attributes:
        name: Its name.
        datatype: One of `graftscope.bundle.DATATYPES`.
        shape: Extents behind the batch.
        classes: Labels are below this number, where the generator tells; else None.
        noise: Whether it stands for random numbers that the graph drew by itself.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    classes: int | None = None
    noise: bool = False

    def __str__(self) -> str:
        """Return name, datatype and shape, as messages begin."""
        extents = ", ".join(["B", *(str(extent) for extent in self.shape)])
        return f"input {self.name!r} {self.datatype} ({extents}{'' if self.shape else ','})"


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
    values = _cast(known, path, array)
    _require_labels(known, path, values)
    return np.ascontiguousarray(values)


def load_array(name: str, path: Path) -> NDArray[np.generic]:
    """Read an array from a NumPy file, as it is.

    Args:
        name: The input's name.
        path: An .npy file, or an .npz file with an array of that name, or with one array.

    Raises:
        SourceError: If the file cannot be read, or has no such array.
    """
    try:
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
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        if isinstance(error, SourceError):
            raise
        reason = " ".join(str(error).split())
        raise SourceError(f"input {name!r}: {path} cannot be read: {reason}") from error


def _cast(known: KnownInput, path: Path, array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Change the datatype where no value is lost but for the rounding of floats."""
    dtype = _DTYPES[known.datatype]
    if array.dtype.kind not in "biuf":
        raise SourceError(f"{known}: {path} holds {array.dtype}, which is no number")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise SourceError(f"{known}: {path} holds numbers that are not finite")
    with np.errstate(all="ignore"):
        values = array.astype(dtype)
    lossless = np.isfinite(values).all() if dtype.kind == "f" else (values == array).all()
    if not lossless:
        raise SourceError(f"{known}: {path} holds {array.dtype} values that are no {dtype}")
    return values


def _require_labels(known: KnownInput, path: Path, values: NDArray[np.generic]) -> None:
    if known.classes is None:
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= known.classes:
        raise SourceError(
            f"{known}: {path} holds labels from {low} to {high}; allowed are 0 to "
            f"{known.classes - 1}"
        )
