"""Frozen dataclasses to plain JSON types and back, by the dataclasses' own annotations."""

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_plain(value: object) -> object:
    """Turn a dataclass (or what one holds) into dictionaries, lists, strings and numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def from_plain(kind: type[T], plain: object) -> T:
    """Build a dataclass from what `to_plain` made of it.

    Raises:
        ValueError: If a field is missing, unknown, or not of its annotated type.
    """
    if not isinstance(plain, Mapping):
        raise ValueError(f"{kind.__name__} is not an object but {plain!r}")
    hints = get_type_hints(kind)
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if names != set(plain):
        odd = ", ".join(sorted(names ^ set(plain)))
        raise ValueError(f"{kind.__name__} has missing or unknown fields: {odd}")
    return kind(**{name: _value(name, hints[name], plain[name]) for name in names})


def _value(name: str, hint: object, plain: object) -> object:
    if get_origin(hint) is UnionType:
        return None if plain is None else _value(name, _without_none(hint), plain)
    if get_origin(hint) is tuple and isinstance(plain, list):
        return tuple(_value(name, get_args(hint)[0], item) for item in plain)
    if get_origin(hint) is Mapping and isinstance(plain, Mapping):
        return {key: _value(name, get_args(hint)[1], item) for key, item in plain.items()}
    if isinstance(hint, type):
        return _plain_value(name, hint, plain)
    raise ValueError(f"{name} cannot be {plain!r}")


def _plain_value(name: str, kind: type, plain: object) -> object:
    if is_dataclass(kind):
        return from_plain(kind, plain)
    if issubclass(kind, Enum):
        return kind(plain)
    if kind is float and type(plain) is int:
        return float(plain)
    # bool is an int to isinstance, but a JSON true is not a number.
    if type(plain) is kind:
        return plain
    raise ValueError(f"{name} cannot be {plain!r}")


def _without_none(union: object) -> object:
    """Return T of `T | None`, the only unions that the room's dataclasses have."""
    (kind,) = (option for option in get_args(union) if option is not NoneType)
    return kind
