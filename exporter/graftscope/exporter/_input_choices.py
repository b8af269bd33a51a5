"""What a caller says of how an input's values come about.

    --input noisy=normal:0,80 --input sigma=constant:80 --input label=onehot:10
    --input photo=images:faces.zip,-1,1 --input w=file:W.npz

It knows neither graphs nor PyTorch, and reads no file.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from graftscope.exporter.errors import SourceError

FORMS: Final = (
    "NAME=normal, NAME=normal:MEAN,DEVIATION, NAME=uniform:LOW,HIGH, NAME=truncated:T, "
    "NAME=choice:V1,V2,FIRST..LAST, NAME=classes:N, NAME=onehot:N, NAME=constant:NUMBER, "
    "NAME=constant:FILE, NAME=file:FILE (FILE: .npz or .npy), NAME=images:FOLDER,LOW,HIGH or "
    "NAME=count"
)
"""What may follow --input, for messages."""

_MOST_CLASSES: Final = 2**31 - 1
_MOST_NUMBERS: Final = 10_000
"""Of a choice: the manifest lists them."""
_FILES: Final = (".npz", ".npy")


class InputKind(Enum):
    """How an input's values come about; the values are the words after NAME=."""

    NORMAL = "normal"
    UNIFORM = "uniform"
    TRUNCATED = "truncated"
    CHOICE = "choice"
    CLASSES = "classes"
    ONE_HOT = "onehot"
    CONSTANT = "constant"
    FILE = "file"
    IMAGES = "images"
    COUNT = "count"


_WORDS: Final = frozenset(kind.value for kind in InputKind)


@dataclass(frozen=True)
class InputChoice:
    """The distribution of one input.

    Attributes:
        name: The input's name.
        kind: Which distribution.
        numbers: Mean and standard deviation, bounds (low, high), a threshold (T,), a number of
            classes (N,), what to choose from, or a constant; else empty.
        path: The file of a constant or of stored values, or where images lie; else None.
    """

    name: str
    kind: InputKind
    numbers: tuple[float, ...] = ()
    path: Path | None = None

    def __str__(self) -> str:
        """Return the form that `parse_input` reads."""
        return f"{self.name}={self.distribution}"

    @property
    def distribution(self) -> str:
        """What stands behind NAME= in that form."""
        numbers = (int(each) if each.is_integer() else each for each in self.numbers)
        given = ",".join(map(str, [*([self.path] if self.path else []), *numbers]))
        return self.kind.value + (f":{given}" if given else "")


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
        text: One of `FORMS`.

    Raises:
        SourceError: If it has another form; it says what is wrong and which forms there are.
    """
    name, equals, distribution = _divided(text)
    word, _, rest = distribution.partition(":")
    try:
        if not (name and equals):
            raise _UnreadableError("it names no input")
        return _parse(name, _kind(word), rest)
    except _UnreadableError as error:
        raise SourceError(f"--input {text!r} cannot be read: {error}; allowed: {FORMS}") from error


def _divided(text: str) -> tuple[str, str, str]:
    """Divide at the first = that a distribution's word follows: a name may hold others."""
    places = [place for place, each in enumerate(text) if each == "="]
    for place in places:
        if text[place + 1 :].partition(":")[0] in _WORDS:
            return text[:place], "=", text[place + 1 :]
    return text.partition("=")


class _UnreadableError(Exception):
    """What is wrong, without what was given."""


def _kind(word: str) -> InputKind:
    try:
        return InputKind(word)
    except ValueError as error:
        raise _UnreadableError(f"there is no distribution {word!r}") from error


def _parse(name: str, kind: InputKind, rest: str) -> InputChoice:
    if kind is InputKind.IMAGES:
        return _parse_images(name, rest)
    if kind is InputKind.FILE or (kind is InputKind.CONSTANT and Path(rest).suffix in _FILES):
        if Path(rest).suffix not in _FILES:
            raise _UnreadableError(f"{rest!r} is no .npz or .npy file")
        return InputChoice(name, kind, path=Path(rest))
    numbers = _numbers(rest, ranges=kind is InputKind.CHOICE)
    _require_fitting(kind, numbers)
    # The standard normal has one form, so that it has one digest.
    standard = kind is InputKind.NORMAL and numbers == (0.0, 1.0)
    return InputChoice(name, kind, () if standard else numbers)


def _parse_images(name: str, rest: str) -> InputChoice:
    path, *bounds = rest.rsplit(",", 2)
    if not path or len(bounds) != 2:
        raise _UnreadableError(
            "it must say which numbers black and white are, such as "
            f"images:{rest or 'FOLDER'},-1,1 or {rest or 'FOLDER'},0,255"
        )
    numbers = _numbers(",".join(bounds))
    _require_fitting(InputKind.IMAGES, numbers)
    return InputChoice(name, InputKind.IMAGES, numbers, Path(path))


def _numbers(text: str, *, ranges: bool = False) -> tuple[float, ...]:
    """Read numbers with commas; FIRST..LAST is every whole number from one to the other."""
    numbers: list[float] = []
    try:
        for part in text.split(",") if text else []:
            first, dots, last = part.partition("..")
            if dots and ranges:
                numbers += map(float, range(int(first), int(last) + 1)[: _MOST_NUMBERS + 1])
            else:
                numbers.append(float(part))
    except ValueError as error:
        raise _UnreadableError(f"{text!r} is no list of numbers") from error
    if not all(map(math.isfinite, numbers)):
        raise _UnreadableError("its numbers must be finite")
    return tuple(numbers)


_COUNTS: Final[Mapping[InputKind, tuple[int, ...]]] = {
    InputKind.NORMAL: (0, 2),
    InputKind.UNIFORM: (2,),
    InputKind.TRUNCATED: (1,),
    InputKind.CLASSES: (1,),
    InputKind.ONE_HOT: (1,),
    InputKind.IMAGES: (2,),
    InputKind.COUNT: (0,),
}
"""How many numbers each takes; what is not listed takes at least one."""


def _require_fitting(kind: InputKind, numbers: tuple[float, ...]) -> None:
    counts = _COUNTS.get(kind)
    if counts is not None and len(numbers) not in counts:
        wanted = " or ".join(map(str, counts))
        raise _UnreadableError(f"{kind.value!r} takes {wanted} numbers, not {len(numbers)}")
    if counts is None and not 1 <= len(numbers) <= _MOST_NUMBERS:
        raise _UnreadableError(
            f"{kind.value!r} takes 1 to {_MOST_NUMBERS} numbers, not {len(numbers)}"
        )
    if problem := _problem(kind, numbers):
        raise _UnreadableError(problem)


def _problem(kind: InputKind, numbers: tuple[float, ...]) -> str:
    """Say what is wrong with as many numbers as there should be; empty where nothing is."""
    match kind, numbers:
        case ((InputKind.UNIFORM | InputKind.IMAGES), (low, high)) if not low < high:
            return f"LOW must be less than HIGH, but {low:g} is not less than {high:g}"
        case InputKind.NORMAL, (_, deviation) if not deviation > 0:
            return f"DEVIATION must be greater than 0, not {deviation:g}"
        case InputKind.TRUNCATED, (threshold,) if not threshold > 0:
            return f"T must be greater than 0, not {threshold:g}"
        case ((InputKind.CLASSES | InputKind.ONE_HOT), (count,)) if not (
            count.is_integer() and 1 <= count <= _MOST_CLASSES
        ):
            return f"N must be a whole number from 1 to {_MOST_CLASSES}, not {count:g}"
        case _:
            return ""
