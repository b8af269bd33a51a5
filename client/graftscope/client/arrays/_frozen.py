"""Frozen values that hold arrays: equal where their contents are, and short to print.

Dataclasses compare arrays element by element, which gives no truth value.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from graftscope.client.arrays._signatures import ShortSignature

Scalar = TypeVar("Scalar", bound=np.generic)


class ByValue:
    """A base for frozen dataclasses that are made with `eq=False` and `repr=False`."""

    __signature__: ClassVar = ShortSignature()

    def __eq__(self, other: object) -> bool:
        """Whether the other one is of the same kind and holds the same, arrays included."""
        if type(other) is not type(self):
            return NotImplemented
        return contents(self) == contents(other)

    def __hash__(self) -> int:
        """Hash what it holds."""
        return hash(contents(self))

    def __repr__(self) -> str:
        """Tell what it holds, of arrays the type and the shape."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]  # subclasses are dataclasses
        told = ", ".join(
            f"{name}={_told(value)}" for name, value in held.items() if value is not None
        )
        return f"{type(self).__name__}({told})"


def contents(value: object) -> Hashable:
    """Turn a value into one that can be compared and hashed."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return tuple(sorted((name, contents(each)) for name, each in value.items()))
    if isinstance(value, tuple | list):
        return tuple(contents(each) for each in value)
    if is_dataclass(value):
        return type(value), tuple(contents(getattr(value, each.name)) for each in fields(value))
    if isinstance(value, float) and math.isnan(value):
        return "NaN"  # What is not known is as unknown elsewhere.
    assert isinstance(value, Hashable)
    return value


def frozen(values: ArrayLike, dtype: DTypeLike) -> NDArray[np.generic]:
    """Copy values to an array that cannot be changed."""
    array: NDArray[np.generic] = np.array(values, dtype)
    array.flags.writeable = False
    return array


def _told(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"<{value.dtype} {value.shape}>"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name!r}: {_told(each)}" for name, each in value.items()) + "}"
    return repr(value)
