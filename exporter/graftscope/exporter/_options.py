"""What a caller says of a source beyond where it lies; a kind of source may take a part of it.

    --input z=truncated:0.7 --input label=classes:10 --input w=file:W.npz --shape z=100,1,1

It knows neither graphs nor PyTorch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from graftscope.exporter.errors import SourceError

FORMS: Final = (
    "NAME=normal, NAME=uniform:LOW,HIGH, NAME=truncated:T, NAME=classes:N, NAME=constant:FILE or "
    "NAME=file:FILE (FILE: .npz or .npy)"
)
"""What may follow --input, for messages."""

_MOST_CLASSES: Final = 2**31 - 1
_OPTIONS: Final = {
    "inputs": "--input",
    "shapes": "--shape",
    "output": "--output",
    "image_range": "--range",
    "weights": "--weights",
}

Shape = tuple[int, ...]
"""Extents behind the batch."""


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
class Options:
    """What a caller says of a source.

    Attributes:
        inputs: Distributions by the input's name; may be empty.
        shapes: Shapes behind the batch by the input's name; may be empty.
        output: The output that is the image; None leaves it to the source.
        image_range: The least and the largest value of an image's pixel; None likewise.
        weights: FILE or FILE:KEY of weights; None where the source holds its own.
    """

    inputs: Mapping[str, InputChoice] = field(default_factory=dict)
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    output: str | None = None
    image_range: tuple[float, float] | None = None
    weights: str | None = None

    def refuse(self, source: str, *options: str) -> None:
        """Refuse what a kind of source has no use for.

        Args:
            source: The kind, for the message.
            options: Names of attributes that must not be given.

        Raises:
            SourceError: If one is given.
        """
        given = [_OPTIONS[name] for name in options if getattr(self, name)]
        if given:
            raise SourceError(f"{', '.join(given)} cannot be given for {source}, which tells it")


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


def parse_shapes(texts: Sequence[str]) -> dict[str, Shape]:
    """Read what a user says of shapes.

    Args:
        texts: Each `NAME=EXTENT,EXTENT`, such as `z=100,1,1`, without the batch; `NAME=` for an
            input of one number a sample.

    Raises:
        SourceError: If one has another form, or an input is named twice.
    """
    shapes: dict[str, Shape] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        extents = rest.split(",") if rest else []
        fitting = all(each.isascii() and each.isdigit() and int(each) > 0 for each in extents)
        if not (name and equals and fitting):
            raise SourceError(
                f"--shape {text!r} cannot be read; allowed: NAME=EXTENT,EXTENT without the batch, "
                "such as z=100,1,1"
            )
        if name in shapes:
            raise SourceError(f"--shape is given twice for {name!r}; once is allowed")
        shapes[name] = tuple(map(int, extents))
    return shapes


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
