"""What a user writes after an option, read as the value that the option's rule wants.

It must not know which options there are, nor typer.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    Check,
    Flag,
    Listed,
    Several,
    Whole,
    names,
    read_values,
    whole_number,
)
from graftscope.client.errors import InputError

MOST_MODULES = 10_000
"""No layer has more channels: a range of numbers of modules ends here."""


def read_option(flag: Flag, rule: Check | None, said: Any) -> Any:
    """Read what an option was given, and check it under the option's name.

    Args:
        flag: The option.
        rule: What its value must be; None for whatever was said.
        said: A text; a list of them where the option may be repeated or takes a list; or a switch.

    Raises:
        InputError: If it is not of the option's kind, or not allowed.
    """
    if flag.repeated:
        return parse_fix(said)
    if rule is None:
        return said
    if isinstance(rule, Several) and isinstance(rule.each, Whole):
        return rule.checked(flag.name, _numbers(flag, ",".join(said)))
    if isinstance(rule, Listed):
        return rule.checked(flag.name, split(",".join(said)))
    if isinstance(rule, Whole):
        return rule.checked(flag.name, _whole(said))
    return rule.checked(flag.name, said)


def split(text: str) -> list[str]:
    """Take apart what stands between commas."""
    return [part.strip() for part in text.split(",")]


def _whole(text: str) -> int | str:
    """Read an integer; a text that is none is for the rule to refuse."""
    return int(text) if re.fullmatch(r"\s*[+-]?\d+\s*", text) else text


def _numbers(flag: Flag, text: str) -> Sequence[int]:
    """Read integers with commas, and ranges where the option takes them; an empty text is none."""
    if not text.strip():
        return []
    if "-" in flag.metavar:
        return [number for part in split(text) for number in _range(flag.name, part, text)]
    if not all(part.isdecimal() for part in split(text)):
        raise InputError(f"{flag.name} {text!r} is not integers from 0 with commas, like 0,1,2")
    return [int(part) for part in split(text)]


def _range(option: str, part: str, text: str) -> range:
    found = re.fullmatch(r"(\d+)\s*(?:-\s*(\d+))?", part)
    if found is None:
        raise InputError(f"{option} {text!r} is not a range like 2-10, nor integers like 2,3,4")
    low, high = (
        whole_number(option, int(each or found[1]), high=MOST_MODULES) for each in found.groups()
    )
    if low > high:
        raise InputError(f"{option} {text!r}: the range {part} ends before it begins")
    return range(low, high + 1)


def parse_fix(texts: Iterable[str]) -> dict[str, float | NDArray[np.generic]] | None:
    """Read the values that `--fix` gives, by the inputs' names.

    Raises:
        NotFoundError: If a file that is named is not there.
        InputError: If a text is not NAME=VALUE, or a name is given twice.
    """
    pairs = [_named(text) for text in texts]
    names("--fix", [name for name, _ in pairs])
    return {name: _fixed(name, value) for name, value in pairs} or None


def _named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(f"--fix {text!r} is not NAME=VALUE, such as label=3 or z=FILE.npy")
    return name, value


def _fixed(name: str, value: str) -> float | NDArray[np.generic]:
    if Path(value).suffix in (".npy", ".npz"):
        return read_values(value, name)
    try:
        return float(value)
    except ValueError:
        raise InputError(
            f"--fix {name}={value}: {value!r} is neither a number nor a file ending in .npy or .npz"
        ) from None
