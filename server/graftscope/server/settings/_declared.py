"""What is known of each setting beside its value: flag, variable, default, what it may be.

All of it follows from the fields. It must not know where values come from.
"""

import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from graftscope.server.settings._fields import SECTIONS, Settings, Shown

PREFIX = "GRAFTSCOPE_"
"""What the names of the environment's variables begin with."""


@dataclass(frozen=True)
class Setting:
    """One setting, as a user meets it.

    Attributes:
        name: its key in a file.
        section: the heading below which it is shown.
        flags: its options of `serve`, the first of which messages use.
        metavar: what stands for its value in help; empty for a switch.
        default: its default in words.
        allowed: what it may be, in words that follow "it must be".
        meaning: what it does, in one paragraph.
        words: the words that it may be, where it may be nothing else.
        several: whether it is a list.
        secret: whether it may hold a password.
    """

    name: str
    section: str
    flags: tuple[str, ...]
    metavar: str
    default: str
    allowed: str
    meaning: str
    words: tuple[str, ...]
    several: bool
    secret: bool

    @property
    def variable(self) -> str:
        """Its variable of the environment."""
        return PREFIX + self.name.upper()


def declared() -> tuple[Setting, ...]:
    """All settings, section by section."""
    return tuple(
        _setting(name, section.__doc__ or "", section.model_fields[name])
        for section in SECTIONS
        for name in section.__annotations__
    )


def allowed(name: str) -> str:
    """What a setting may be, in words that follow "it must be"."""
    field = Settings.model_fields[name]
    return _shown(field).allowed or _allowed(_kind(field), field.metadata)


def flag(name: str) -> str:
    """The option that messages use."""
    field = Settings.model_fields[name]
    # A unit is said by what stands for the value.
    return (_shown(field).flags or ("--" + name.removesuffix("_s").replace("_", "-"),))[0]


def is_list(name: str) -> bool:
    """Whether a setting has several values."""
    return get_origin(_kind(Settings.model_fields[name])) is tuple


def _setting(name: str, section: str, field: FieldInfo) -> Setting:
    shown, kind = _shown(field), _kind(field)
    words = tuple(_words(kind))
    return Setting(
        name=name,
        section=section,
        flags=shown.flags or (flag(name),),
        metavar=shown.metavar or _metavar(kind, words),
        default=shown.default or _said(field.default),
        allowed=allowed(name),
        meaning=" ".join((field.description or "").split()),
        words=words,
        several=is_list(name),
        secret=shown.secret,
    )


def _shown(field: FieldInfo) -> Shown:
    return next((each for each in field.metadata if isinstance(each, Shown)), Shown())


def _kind(field: FieldInfo) -> Any:
    """The type of a value that is set."""
    kind = field.annotation
    if get_origin(kind) in (UnionType, typing.Union):
        (kind,) = (each for each in get_args(kind) if each is not type(None))
    return kind


def _words(kind: Any) -> Iterator[str]:
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        yield from (each.value for each in kind)


def _metavar(kind: Any, words: tuple[str, ...]) -> str:
    if words:
        return "|".join(words)
    return {bool: "", int: "N", float: "X", Path: "PATH"}.get(kind, "TEXT")


def _allowed(kind: Any, metadata: list[object]) -> str:
    if kind is bool:
        return "true or false"
    if words := list(_words(kind)):
        *most, last = words
        return f"{', '.join(most)} or {last}" if most else last
    bounds = {name: getattr(x, name) for x in metadata for name in _BOUNDS if hasattr(x, name)}
    number = {int: "a whole number", float: "a number"}.get(kind, "a text")
    low, high = bounds.get("ge"), bounds.get("le")
    if low is not None and high is not None:
        return f"{number} from {_number(low)} to {_number(high)}"
    parts = [f"{_BOUNDS[name]} {_number(value)}" for name, value in bounds.items()]
    return " ".join([number, " and ".join(parts)]).strip()


_BOUNDS = {"ge": "of at least", "le": "of at most", "gt": "above", "lt": "below"}


def _number(value: float) -> str:
    return f"{value:g}" if value < 1e6 and value != int(value) else str(int(value))


def _said(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, Enum):
        return str(default.value)
    if isinstance(default, int | float):
        return _number(default)
    return default if isinstance(default, str) else ""


SECRETS = frozenset(name for name, field in Settings.model_fields.items() if _shown(field).secret)
"""Settings that may hold a password."""
