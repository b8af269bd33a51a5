"""What an array or a number must be; each refusal names the value and what is allowed.

It must not know protobuf. What only the server knows (layers, sizes, ranges of channels) is for
the server to refuse.
"""

import math
import operator
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client.errors import InputError

UINT32_MAX = (1 << 32) - 1

Latents: TypeAlias = Mapping[str, NDArray[np.generic]]
"""One value for every input of the generator, by the input's name: (B, ...)."""


def whole_number(name: str, value: object, low: int = 0, high: int = UINT32_MAX) -> int:
    """Check that a value is an integer from low to high, both included."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # its refusal is the check
    except TypeError:
        raise InputError(f"{name} {value!r} is not an integer", field=name) from None
    if not low <= number <= high:
        raise InputError(
            f"{name} {number} is not allowed: it must be from {low} to {high}", field=name
        )
    return number


def finite_number(name: str, value: object) -> float:
    """Check that a value is a number, neither NaN nor infinite."""
    try:
        number = float(value)  # type: ignore[arg-type]  # its refusal is the check
    except (TypeError, ValueError):
        raise InputError(f"{name} {value!r} is not a number", field=name) from None
    if not math.isfinite(number):
        raise InputError(f"{name} {number} is not allowed: it must be finite", field=name)
    return number


def file_name(path: object, *suffixes: str) -> Path:
    """Check that a value is a path, whose name ends in one of some ways; in any way without."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path {path!r} is not a path: say it as a text or a pathlib.Path")
    target = Path(path)
    if suffixes and target.suffix not in suffixes:
        raise InputError(f"cannot write {path}: its name must end in {' or '.join(suffixes)}")
    return target


def finite(name: str, array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Check that an array of numbers holds neither NaN nor infinity."""
    values = np.asarray(array)
    if np.issubdtype(values.dtype, np.floating):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise InputError(f"{name}: {bad} of {values.size} values are NaN or infinite")
    return values


def module_labels(labels: NDArray[np.generic]) -> NDArray[np.int64]:
    """Check labels: (C,) integers from -1, at least one channel in a module."""
    array = np.asarray(labels)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"labels of shape {array.shape} and type {array.dtype}: they must be (C,) integers",
            field="labels",
        )
    if array.size == 0 or array.max() < 0 or array.min() < -1:
        raise InputError(
            "labels must hold a module from 0 for some channel, and -1 for channels of none",
            field="labels",
        )
    return array.astype(np.int64)


def names(what: str, values: object) -> tuple[str, ...]:
    """Check names: texts that are not empty, none twice, in a list."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{what} {values!r} is not a list of names", field=what)
    given = tuple(values)
    for name in given:
        if not isinstance(name, str) or not name:
            raise InputError(f"{what}: {name!r} is not a name", field=what)
        if given.count(name) > 1:
            raise InputError(f"{what}: {name!r} is named more than once", field=what)
    return given


def latents(name: str, values: Latents) -> dict[str, NDArray[np.generic]]:
    """Check latents: finite, at least one sample, as many for every input."""
    arrays = {key: finite(f"{name} {key!r}", array) for key, array in values.items()}
    if not arrays:
        raise InputError(f"{name} holds no array: give one for every input of the generator")
    sizes = {key: array.shape[0] if array.ndim else 0 for key, array in arrays.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        listed = ", ".join(f"{key}: {size}" for key, size in sizes.items())
        raise InputError(f"{name} must hold equally many samples, at least 1; it has {listed}")
    return arrays


def influence_maps(array: NDArray[np.generic]) -> NDArray[np.float64]:
    """Check maps: (C, H, W), finite, at least one."""
    values = np.asarray(array)
    if values.ndim != 3 or not np.issubdtype(values.dtype, np.floating) or values.size == 0:
        raise InputError(
            f"maps of shape {values.shape} and type {values.dtype}: they must be (C, H, W)"
            " floating-point numbers",
            field="maps",
        )
    return finite("maps", values).astype(np.float64)
