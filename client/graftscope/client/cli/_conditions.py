"""What `--share` and `--fix` say of inputs: which pairs share, and which are always the same."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.client._checks import names
from graftscope.client._files import read_values
from graftscope.client.errors import InputError


def parse_share(text: str | None) -> tuple[str, ...]:
    """Read the inputs that `--share` names."""
    if text is None:
        return ()
    return names("--share", [part.strip() for part in text.split(",")])


def parse_fix(texts: Sequence[str] | None) -> dict[str, float | NDArray[np.generic]] | None:
    """Read the values that `--fix` gives, by the inputs' names.

    Raises:
        NotFoundError: If a file that is named is not there.
        InputError: If a text is not NAME=VALUE, or a name is given twice.
    """
    if not texts:
        return None
    split = [_split(text) for text in texts]
    names("--fix", [name for name, _ in split])
    return {name: _value(name, value) for name, value in split}


def _split(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(f"--fix {text!r} is not NAME=VALUE, such as label=3 or z=FILE.npy")
    return name, value


def _value(name: str, value: str) -> float | NDArray[np.generic]:
    if Path(value).suffix in (".npy", ".npz"):
        return read_values(value, name)
    try:
        return float(value)
    except ValueError:
        raise InputError(
            f"--fix {name}={value}: {value!r} is neither a number nor a file ending in .npy or .npz"
        ) from None
