"""Dataclasses from what JSON keeps of them: the inverse of `dataclasses.asdict`, by type hints.

Tuples come back from lists, enumerations from their values, and each of several rules by the word
that it carries in its field `rule`. It must not know what the values mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

Value = TypeVar("Value")

_TAG = "rule"

# A page of jobs reads thousands of values of a few kinds.
_hints = cache(get_type_hints)


def from_plain(kind: type[Value], value: Mapping[str, Any]) -> Value:
    """Makes a dataclass of its fields as JSON holds them.

    Args:
        kind: the dataclass, with its parameters where it is generic.
        value: its fields by their names; those that are not there keep their defaults.

    Raises:
        TypeError: there is a field that the dataclass, or one inside it, does not have. Left out,
            it would make another value that is taken for this one.
    """
    return cast(Value, _made(kind, value))


def _made(hint: Any, value: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if value is None:
        return None
    if is_dataclass(origin or hint):
        return _dataclass(origin or hint, inner, value)
    if origin in (Union, UnionType):
        return _one_of([each for each in inner if each is not type(None)], value)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_made(inner[0], each) for each in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _made(inner[1], each) for key, each in value.items()}
    return hint(value) if isinstance(hint, type) and issubclass(hint, Enum) else value


def _one_of(hints: Sequence[Any], value: Any) -> Any:
    """What stands in the place of one of several types: rules are told apart by their word."""
    if len(hints) == 1:
        return _made(hints[0], value)
    tagged = {each.rule: each for each in hints if hasattr(each, _TAG)}
    return _made(tagged[value[_TAG]], value) if tagged else value


def _dataclass(kind: Any, inner: Sequence[Any], value: Mapping[str, Any]) -> Any:
    bound = dict(zip(getattr(kind, "__parameters__", ()), inner, strict=False))
    hints = {name: _bound(hint, bound) for name, hint in _hints(kind).items()}
    unknown = set(value) - {each.name for each in fields(kind)}
    if unknown:
        raise TypeError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return kind(**{name: _made(hints[name], each) for name, each in value.items()})


def _bound(hint: Any, bound: Mapping[Any, Any]) -> Any:
    """A hint with its type variables replaced."""
    if hint in bound:
        return bound[hint]
    parameters = getattr(hint, "__parameters__", ())
    return hint[tuple(bound.get(each, each) for each in parameters)] if parameters else hint
