"""Values as JSON documents and back, by their types: what a result's file says beside its arrays.

What is not there takes its default, and what is unknown is passed over: a file is read by earlier
and later versions than the one that wrote it. It must not know what the values are of.
"""

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

Value = TypeVar("Value")

KIND = "kind"
"""Where a document says of which class it is."""


def to_plain(value: Any) -> Any:
    """Turn a value into what JSON knows; numbers that it does not know become words."""
    if is_dataclass(value) and not isinstance(value, type):
        told = {each.name: to_plain(getattr(value, each.name)) for each in fields(value)}
        return {KIND: type(value).__name__, **told}
    if isinstance(value, np.generic):
        value = value.item()
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return str(value)
        case tuple() | list():
            return [to_plain(each) for each in value]
        case Mapping():
            return {str(name): to_plain(each) for name, each in value.items()}
        case _:
            raise TypeError(f"{type(value).__name__} has no place in a document")


def from_plain(hint: Any, told: Any) -> Any:
    """Make a value of its document.

    Args:
        hint: The value's type.
        told: The document.

    Raises:
        ValueError: If it is not one of such a value.
    """
    origin = get_origin(hint)
    if origin is Annotated:
        return from_plain(get_args(hint)[0], told)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(hint), told)
    if origin is tuple:
        return tuple(from_plain(get_args(hint)[0], each) for each in _a(list, told))
    return _of_class(hint, told)


def _of_class(kind: Any, told: Any) -> Any:
    if is_dataclass(kind):
        return kind(**fields_of(kind, _a(dict, told)))  # type: ignore[operator,arg-type]  # a class
    if issubclass(kind, StrEnum):
        return kind(_a(str, told))
    return float(told) if kind is float else _a(kind, told)


def fields_of(kind: type, told: Mapping[str, Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read the fields of a dataclass that a document has.

    Args:
        kind: The dataclass.
        told: The document.
        without: Fields that are said elsewhere.

    Raises:
        ValueError: If one is missing that has no default, or is of another type.
    """
    hints, found = get_type_hints(kind, include_extras=True), {}
    for each in fields(kind):
        if each.name in without or not each.init:
            continue
        if each.name in told:
            found[each.name] = from_plain(hints[each.name], told[each.name])
        elif each.default is MISSING and each.default_factory is MISSING:
            raise ValueError(f"it does not say {each.name!r}")
    return found


def _one_of(kinds: tuple[Any, ...], told: Any) -> Any:
    if told is None and type(None) in kinds:
        return None
    left = [kind for kind in kinds if kind is not type(None)]
    named = told.get(KIND) if isinstance(told, dict) else None
    chosen = [kind for kind in left if len(left) == 1 or getattr(kind, "__name__", "") == named]
    if not chosen:
        raise ValueError(f"{named or told!r} is not known to this version")
    return from_plain(chosen[0], told)


def _a(kind: type[Value], told: Any) -> Value:
    if not isinstance(told, kind) or (isinstance(told, bool) and kind is not bool):
        raise ValueError(f"it says {told!r}, which is no {kind.__name__}")
    return told
