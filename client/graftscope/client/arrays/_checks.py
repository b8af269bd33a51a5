"""What an array or a number must be; each refusal names the value and what is allowed.

It must not know protobuf. What only the server knows (layers, sizes, ranges of channels) is for
the server to refuse.
"""

import math
import operator
import os
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client.errors import InputError

# A precision below float32 is corrected by a mean difference, which may go beyond no influence: at
# most by this share of the largest.
_BELOW_NOTHING = 0.01

UINT32_MAX = (1 << 32) - 1

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80

Latents: TypeAlias = Mapping[str, NDArray[np.generic]]
"""One value for every input of the generator, by the input's name: (B, ...)."""


def told(value: object) -> str:
    """Put a value in a few words of one line, for messages."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"<{value.dtype} {value.shape}>"
    return _SHORT.repr(value).replace("\n", " ")


def whole_number(name: str, value: object, low: int = 0, high: int = UINT32_MAX) -> int:
    """Check that a value is an integer from low to high, both included; a boolean is none."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # its refusal is the check
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise InputError(f"{name} {told(value)} is not an integer", field=name)
    if not low <= number <= high:
        raise InputError(
            f"{name} {number} is not allowed: it must be from {low} to {high}", field=name
        )
    return number


def finite_number(name: str, value: object) -> float:
    """Check that a value is a number, neither NaN nor infinite; a boolean is none."""
    try:
        number = float(value)  # type: ignore[arg-type]  # its refusal is the check
    except (TypeError, ValueError):
        number = None
    if number is None or isinstance(value, bool | np.bool_):
        raise InputError(f"{name} {told(value)} is not a number", field=name)
    if not math.isfinite(number):
        raise InputError(f"{name} {number} is not allowed: it must be finite", field=name)
    return number


def file_name(path: object, *suffixes: str) -> Path:
    """Check that a value is a path, whose name ends in one of some ways; in any way without."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path {told(path)} is not a path: say it as a text or a pathlib.Path")
    target = Path(path)
    if suffixes and target.suffix not in suffixes:
        raise InputError(f"cannot write {path}: its name must end in {' or '.join(suffixes)}")
    return target


def text(name: str, value: object) -> str:
    """Check that a value is a text."""
    if not isinstance(value, str):
        raise InputError(f"{name} {told(value)} is not a text", field=name)
    return str(value)


def switch(name: str, value: object) -> bool:
    """Check that a value is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} {told(value)} is neither True nor False", field=name)
    return bool(value)


def function(name: str, value: object) -> None:
    """Check that a value can be called."""
    if not callable(value):
        raise InputError(f"{name} {told(value)} is not a function", field=name)


def by_name(name: str, value: object) -> Mapping[str, Any]:
    """Check that a value is a mapping from texts."""
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value):
        raise InputError(f"{name} {told(value)} is not a dictionary by names", field=name)
    return value


def listed(name: str, value: object) -> tuple[Any, ...]:
    """Check that a value is a list, of whatever."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InputError(f"{name} {told(value)} is not a list", field=name)
    if isinstance(value, np.ndarray) and value.ndim != 1:
        raise InputError(f"{name} {told(value)} is not a list", field=name)
    return tuple(value)


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
        raise InputError(f"{what} {told(values)} is not a list of names", field=what)
    given = tuple(values)
    for name in given:
        if not isinstance(name, str) or not name:
            raise InputError(f"{what}: {told(name)} is not a name", field=what)
        if given.count(name) > 1:
            raise InputError(f"{what}: {name!r} is named more than once", field=what)
    return given


def latents(name: str, values: Latents) -> dict[str, NDArray[np.generic]]:
    """Check latents: finite, at least one sample, as many for every input."""
    given = by_name(name, values)
    called = {key: f"{name} {key!r}" for key in given}
    arrays = {key: finite(called[key], numbers(called[key], given[key])) for key in given}
    if not arrays:
        raise InputError(f"{name} holds no array: give one for every input of the generator")
    sizes = {key: array.shape[0] if array.ndim else 0 for key, array in arrays.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        listed = ", ".join(f"{key}: {size}" for key, size in sizes.items())
        raise InputError(f"{name} must hold equally many samples, at least 1; it has {listed}")
    return arrays


def numbers(name: str, values: object) -> NDArray[np.generic]:
    """Take values as an array of numbers or booleans."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{name} {told(values)} is not an array", field=name) from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} {told(values)} is not an array of numbers", field=name)
    return array


def pictures(name: str, images: object) -> NDArray[np.uint8]:
    """Check images: (N, H, W, c) uint8, at least one."""
    array = np.asarray(images)
    if array.ndim != 4 or array.dtype != np.uint8 or array.size == 0:
        raise InputError(
            f"{name} of shape {array.shape} and type {array.dtype}: they must be (N, H, W, c)"
            " uint8",
            field=name,
        )
    return array.view(np.uint8)


def influence_maps(array: NDArray[np.generic]) -> NDArray[np.float64]:
    """Check maps: (C, H, W), finite, at least one; none below 0 but by what a correction leaves."""
    values = numbers("maps", array)
    if values.ndim != 3 or not np.issubdtype(values.dtype, np.floating) or values.size == 0:
        raise InputError(
            f"maps of shape {values.shape} and type {values.dtype}: they must be (C, H, W)"
            " floating-point numbers",
            field="maps",
        )
    found = finite("maps", values).astype(np.float64)
    negative = int(np.count_nonzero(found < -_BELOW_NOTHING * max(found.max(), 0.0)))
    if negative:
        raise InputError(
            f"maps: {negative} of {found.size} values are negative: an influence is a mean of"
            " absolute differences",
            field="maps",
        )
    return found
