"""Dataclasses from what JSON keeps of them: the inverse of `dataclasses.asdict`, by type hints.

Tuples come back from lists, enumerations from their values, and each of several rules by the word
that it carries in its field `rule`. It must not know what the values mean.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache, partial
from types import UnionType
from typing import Any, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

Value = TypeVar("Value")

_TAG = "rule"

# A page of jobs reads thousands of values of a few kinds: how is found once.
_Make: TypeAlias = Callable[[Any], Any]


def from_plain(kind: type[Value], value: Mapping[str, Any]) -> Value:
    """Makes a dataclass of its fields as JSON holds them.

    Args:
        kind: the dataclass, with its parameters where it is generic.
        value: its fields by their names; those that are not there keep their defaults.

    Raises:
        TypeError: there is a field that the dataclass, or one inside it, does not have. Left out,
            it would make another value that is taken for this one.
    """
    return cast(Value, _maker(cast(Hashable, kind))(value))


@cache
def _maker(hint: Any) -> _Make:
    """What makes values of a type; `_same` where they are as JSON holds them."""
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(origin or hint):
        return _unless_none(partial(_dataclass, origin or hint, inner))
    if origin in (Union, UnionType):
        return _unless_none(_one_of(tuple(each for each in inner if each is not type(None))))
    if origin is tuple:
        return _unless_none(partial(_tuple, _maker(inner[0])))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _unless_none(partial(_mapping, _maker(inner[1])))
    is_enumeration = isinstance(hint, type) and issubclass(hint, Enum)
    return _unless_none(hint) if is_enumeration else _same


def _same(value: Any) -> Any:
    return value


def _unless_none(make: _Make) -> _Make:
    return lambda value: None if value is None else make(value)


def _tuple(make: _Make, value: Any) -> Any:
    # Thousands of numbers need nothing.
    if not isinstance(value, list | tuple):
        return value
    return tuple(value) if make is _same else tuple(map(make, value))


def _mapping(make: _Make, value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: make(each) for key, each in value.items()}


def _one_of(hints: Sequence[Any]) -> _Make:
    """What stands in the place of one of several types: rules are told apart by their word."""
    if len(hints) == 1:
        return _maker(hints[0])
    tagged = {each.rule: each for each in hints if hasattr(each, _TAG)}
    return (lambda value: _maker(tagged[value[_TAG]])(value)) if tagged else _same


def _dataclass(kind: Any, inner: Sequence[Any], value: Mapping[str, Any]) -> Any:
    makers = _makers(kind, inner)
    unknown = value.keys() - makers.keys()
    if unknown:
        raise TypeError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return kind(**{name: makers[name](each) for name, each in value.items()})


@cache
def _makers(kind: Any, inner: Sequence[Any]) -> dict[str, _Make]:
    """What makes each field of a dataclass."""
    bound = dict(zip(getattr(kind, "__parameters__", ()), inner, strict=False))
    hints = get_type_hints(kind)
    return {each.name: _maker(_bound(hints[each.name], bound)) for each in fields(kind)}


def _bound(hint: Any, bound: Mapping[Any, Any]) -> Any:
    """A hint with its type variables replaced."""
    if hint in bound:
        return bound[hint]
    parameters = getattr(hint, "__parameters__", ())
    return hint[tuple(bound.get(each, each) for each in parameters)] if parameters else hint
