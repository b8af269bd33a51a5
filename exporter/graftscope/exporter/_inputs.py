"""What a user says of a generator's inputs: `z=truncated:0.7`, `label=classes:10`, `w=file:W.npz`.

    choices = parse_inputs(["z=normal", "label=classes:10"])
    known = [KnownInput("z", "FP32", (100,)), KnownInput("label", "INT64", ())]
    chosen = make_inputs(known, choices)

It knows neither graphs nor PyTorch: what is known of an input comes as a `KnownInput`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graftscope.exporter._input_files import KnownInput, read_values
from graftscope.exporter.errors import SourceError
from graftscope.v1 import bundle_pb2

FORMS: Final = (
    "NAME=normal, NAME=uniform:LOW,HIGH, NAME=truncated:T, NAME=classes:N, NAME=constant:FILE or "
    "NAME=file:FILE (FILE: .npz or .npy)"
)
"""What may follow --input, for messages."""

_MOST_CLASSES: Final = 2**31 - 1
_MOST_ELEMENTS: Final = 2**28
"""A GiB of float32 for one sample of one input."""
_FLOATS: Final = ("FP32", "FP64")
_INTEGERS: Final = ("UINT8", "INT32", "INT64")

Stored = Mapping[str, Mapping[str, NDArray[np.generic]]]
"""Arrays (1, ...) or (count, ...) by the bundle's file and the input's name."""


class InputKind(Enum):
    """How an input's values come about; the values are the words after NAME=."""

    NORMAL = "normal"
    UNIFORM = "uniform"
    TRUNCATED = "truncated"
    CLASSES = "classes"
    CONSTANT = "constant"
    FILE = "file"


_COUNTS: Final = {InputKind.UNIFORM: 2, InputKind.TRUNCATED: 1, InputKind.CLASSES: 1}


@dataclass(frozen=True)
class InputChoice:
    """The distribution of one input.

    Attributes:
        name: The input's name.
        kind: Which distribution.
        numbers: Bounds (low, high), a threshold (T,) or a number of classes (N,); else empty.
        path: The file of a constant or of stored values; else None.
    """

    name: str
    kind: InputKind
    numbers: tuple[float, ...] = ()
    path: Path | None = None

    def __str__(self) -> str:
        """Return the form that `parse_input` reads."""
        numbers = (int(each) if each.is_integer() else each for each in self.numbers)
        given = self.path or ",".join(map(str, numbers))
        return f"{self.name}={self.kind.value}" + (f":{given}" if given else "")


@dataclass(frozen=True)
class ChosenInputs:
    """A generator's inputs as the manifest states them.

    Attributes:
        inputs: One for each that is known, in order.
        stored: What is to be written beside the graphs; may be empty.
    """

    inputs: tuple[bundle_pb2.Input, ...]
    stored: Stored


def parse_inputs(texts: Sequence[str]) -> dict[str, InputChoice]:
    """Read what a user says of several inputs.

    Args:
        texts: Each of the form that `parse_input` reads.

    Returns:
        Choices by the input's name.

    Raises:
        SourceError: If one cannot be read, or an input is named twice.
    """
    choices: dict[str, InputChoice] = {}
    for text in texts:
        choice = parse_input(text)
        if choice.name in choices:
            raise SourceError(f"--input is given twice for {choice.name!r}; once is allowed")
        choices[choice.name] = choice
    return choices


def parse_input(text: str) -> InputChoice:
    """Read what a user says of one input.

    Args:
        text: `NAME=normal`, `NAME=uniform:LOW,HIGH`, `NAME=truncated:T`, `NAME=classes:N`,
            `NAME=constant:FILE` or `NAME=file:FILE`.

    Raises:
        SourceError: If it has another form; it says what is wrong and which forms there are.
    """
    name, equals, distribution = text.partition("=")
    word, colon, rest = distribution.partition(":")
    if not (name and equals):
        raise _unreadable(text, "it names no input")
    try:
        kind = InputKind(word)
    except ValueError as error:
        raise _unreadable(text, f"there is no distribution {word!r}") from error
    if kind in (InputKind.CONSTANT, InputKind.FILE):
        if Path(rest).suffix not in (".npz", ".npy"):
            raise _unreadable(text, f"{rest!r} is no .npz or .npy file")
        return InputChoice(name, kind, path=Path(rest))
    numbers = _numbers(text, rest) if colon else ()
    if problem := _problem(kind, numbers):
        raise _unreadable(text, problem)
    return InputChoice(name, kind, numbers)


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


def _unreadable(text: str, problem: str) -> SourceError:
    return SourceError(f"--input {text!r} cannot be read: {problem}; allowed: {FORMS}")


def _numbers(text: str, rest: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in rest.split(","))
    except ValueError as error:
        raise _unreadable(text, f"{rest!r} is no list of numbers") from error


def _problem(kind: InputKind, numbers: tuple[float, ...]) -> str:
    """Say what is wrong with a distribution's numbers; empty where nothing is."""
    wanted = _COUNTS.get(kind, 0)
    if len(numbers) != wanted:
        return f"{kind.value!r} takes {wanted} numbers, not {len(numbers)}"
    if not all(math.isfinite(number) for number in numbers):
        return "its numbers must be finite"
    if kind is InputKind.UNIFORM and not numbers[0] < numbers[1]:
        return f"LOW must be less than HIGH, but {numbers[0]:g} is not less than {numbers[1]:g}"
    if kind is InputKind.TRUNCATED and not numbers[0] > 0:
        return f"T must be greater than 0, not {numbers[0]:g}"
    if kind is InputKind.CLASSES and not (
        numbers[0].is_integer() and 1 <= numbers[0] <= _MOST_CLASSES
    ):
        return f"N must be a whole number from 1 to {_MOST_CLASSES}, not {numbers[0]:g}"
    return ""


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
