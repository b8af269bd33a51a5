"""A generator's inputs: what is known of them, and what a bundle's manifest states.

    choices = parse_inputs(["z=normal", "label=classes:10"])
    known = [KnownInput("z", "FP32", (100,)), KnownInput("label", "INT64", ())]
    chosen = make_inputs(known, choices)

Values that a user gives as a file are read, cast without loss, and checked. It knows neither graphs
nor PyTorch: what is known of an input comes as a `KnownInput`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from graftscope.codec import DATATYPES
from graftscope.exporter._options import FORMS, InputChoice, InputKind
from graftscope.exporter._subject import Stored
from graftscope.exporter.errors import SourceError, one_line
from graftscope.v1 import bundle_pb2

_MOST_ELEMENTS: Final = 2**28
"""A GiB of float32 for one sample of one input."""
_FLOATS: Final = ("FP32", "FP64")
_INTEGERS: Final = ("UINT8", "INT32", "INT64")


@dataclass(frozen=True)
class KnownInput:
    """What is known of a generator's input before anybody says how its values come about.

    Attributes:
        name: Its name.
        datatype: One of `graftscope.codec.DATATYPES`.
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


@dataclass(frozen=True)
class ChosenInputs:
    """A generator's inputs as the manifest states them.

    Attributes:
        inputs: One for each that is known, in order.
        stored: What is to be written beside the graphs; may be empty.
    """

    inputs: tuple[bundle_pb2.Input, ...]
    stored: Stored


def make_inputs(known: Sequence[KnownInput], choices: Mapping[str, InputChoice]) -> ChosenInputs:
    """State each input's distribution, and read the files that are named.

    Args:
        known: The generator's inputs, in order.
        choices: The distribution of each, by name.

    Returns:
        What goes into the manifest, and the arrays to be stored. Inputs whose values come from
        one file share a file of the bundle.

    Raises:
        SourceError: If an input has no distribution or one that does not fit, a choice is for an
            input that is not there, or a file cannot be read or holds something else.
    """
    names = [each.name for each in known]
    for name in choices:
        if name not in names:
            raise SourceError(
                f"--input is given for {name!r}, but the generator's inputs are: "
                f"{', '.join(names) or 'none'}"
            )
    files: dict[tuple[InputKind, Path], str] = {}
    stored: dict[str, dict[str, NDArray[np.generic]]] = {}
    inputs = []
    for each in known:
        if (elements := math.prod(each.shape)) > _MOST_ELEMENTS:
            raise SourceError(
                f"{each} has {elements} elements a sample; at most {_MOST_ELEMENTS} are supported"
            )
        if each.name not in choices:
            raise SourceError(f"{each} has no distribution; say which with --input {FORMS}")
        choice = choices[each.name]
        if choice.path is None:
            inputs.append(_drawn(each, choice))
            continue
        key = (choice.kind, choice.path.resolve())
        file = files.setdefault(key, f"inputs{len(files) + 1}.safetensors")
        values = read_values(each, choice.path, constant=choice.kind is InputKind.CONSTANT)
        stored.setdefault(file, {})[each.name] = values
        inputs.append(_from_file(each, choice.kind, file, len(values)))
    _require_one_count(stored, choices)
    return ChosenInputs(tuple(inputs), stored)


def latent_names(inputs: Iterable[bundle_pb2.Input]) -> tuple[str, ...]:
    """Return the names of the inputs that are layers themselves: floats that differ by meaning.

    Labels, values that every sample shares, and noise are none.
    """
    return tuple(
        each.name
        for each in inputs
        if each.datatype in _FLOATS
        and each.shape
        and not each.noise
        and each.WhichOneof("distribution") != "fixed"
    )


def constant_names(inputs: Iterable[bundle_pb2.Input]) -> tuple[str, ...]:
    """Return the names of the inputs that are the same in every sample."""
    return tuple(each.name for each in inputs if each.HasField("fixed"))


def _drawn(known: KnownInput, choice: InputChoice) -> bundle_pb2.Input:
    """State an input whose values are drawn from a distribution in closed form."""
    wanted = _INTEGERS if choice.kind is InputKind.CLASSES else _FLOATS
    if known.datatype not in wanted:
        raise SourceError(
            f"{known} cannot be {choice.kind.value!r}, which is for {' and '.join(wanted)}"
        )
    message = _plain(known)
    if choice.kind is InputKind.NORMAL:
        message.normal.SetInParent()
    elif choice.kind is InputKind.UNIFORM:
        message.uniform.low, message.uniform.high = choice.numbers
    elif choice.kind is InputKind.TRUNCATED:
        message.truncated_normal.threshold = choice.numbers[0]
    else:
        message.classes.count = _class_count(known, int(choice.numbers[0]))
    return message


def _class_count(known: KnownInput, count: int) -> int:
    if known.classes is not None and count > known.classes:
        raise SourceError(
            f"{known} takes labels below {known.classes}, so {count} classes are too many"
        )
    if known.datatype == "UINT8" and count > 256:
        raise SourceError(f"{known} holds labels below 256, so {count} classes are too many")
    return count


def _from_file(known: KnownInput, kind: InputKind, file: str, count: int) -> bundle_pb2.Input:
    message = _plain(known)
    if kind is InputKind.CONSTANT:
        message.fixed.file = file
    else:
        message.stored.file, message.stored.count = file, count
    return message


def _plain(known: KnownInput) -> bundle_pb2.Input:
    return bundle_pb2.Input(
        name=known.name, datatype=known.datatype, shape=known.shape, noise=known.noise
    )


def _require_one_count(stored: Stored, choices: Mapping[str, InputChoice]) -> None:
    """Refuse one file's arrays of different length: a sample takes the same row of each."""
    for arrays in stored.values():
        counts = {name: len(values) for name, values in arrays.items()}
        if len(set(counts.values())) > 1:
            path = choices[next(iter(arrays))].path
            told = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
            raise SourceError(f"{path} must hold as many values of each input, not {told}")


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
        raise SourceError(f"input {name!r}: {path} cannot be read: {one_line(error)}") from error


def _cast(known: KnownInput, path: Path, array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Change the datatype where no value is lost but for the rounding of floats."""
    dtype = DATATYPES[known.datatype]
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
