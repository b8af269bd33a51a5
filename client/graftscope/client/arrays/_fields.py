"""What is known of a value's field: its range, its axes, and how the command line asks for it.

It is said once, where the field is declared::

    @dataclass(frozen=True)
    class Smoothing(Checked):
        window: Annotated[int, Whole(1, odd=True), Flag("--window", "N", "...")] = 3

Values that are made from `Checked` check themselves; the command line makes its options from the
flags; readers of replies check the axes. It must not know what the fields are of.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cache
from typing import (
    Annotated,
    Any,
    Protocol,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays._checks import (
    UINT32_MAX,
    finite_number,
    listed,
    names,
    switch,
    text,
    told,
    whole_number,
)
from graftscope.client.arrays._frozen import ByValue
from graftscope.client.errors import InputError, ReplyError


@runtime_checkable
class Check(Protocol):
    """A rule about a field's value."""

    def checked(self, name: str, value: Any) -> Any:
        """Give the value as it is kept; an InputError where it is not allowed."""


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`, both included."""

    low: int = 0
    high: int = UINT32_MAX
    odd: bool = False

    def checked(self, name: str, value: Any) -> int:
        """As `Check`."""
        number = whole_number(name, value, self.low, self.high)
        if self.odd and number % 2 == 0:
            raise InputError(f"{name} {number} is not allowed: it must be odd", field=name)
        return number


@dataclass(frozen=True)
class Real:
    """A finite number from `low` to `high`; both excluded where it is `inside`."""

    low: float
    high: float
    inside: bool = False

    def checked(self, name: str, value: Any) -> float:
        """As `Check`."""
        number = finite_number(name, value)
        if self.inside and not self.low < number < self.high:
            raise InputError(
                f"{name} {number:g} is not allowed: it must lie above {self.low:g} and below"
                f" {self.high:g}",
                field=name,
            )
        if not self.low <= number <= self.high:
            raise InputError(
                f"{name} {number:g} is not allowed: it must be from {self.low:g} to {self.high:g}",
                field=name,
            )
        return number


@dataclass(frozen=True)
class Word:
    """One of an enumeration's words."""

    kind: type[StrEnum]

    def checked(self, name: str, value: Any) -> StrEnum:
        """As `Check`."""
        try:
            return self.kind(value)
        except ValueError:
            allowed = ", ".join(self.kind)
            raise InputError(
                f"{name} {told(value)} is unknown; there are: {allowed}", field=name
            ) from None


class Listed:
    """A rule about a list: the command line takes one with commas, piece by piece, or both."""


@dataclass(frozen=True)
class Several(Listed):
    """Some of something, kept as a tuple; at least one, where none would be the default."""

    each: Check
    least: int = 1

    def checked(self, name: str, value: Any) -> tuple[Any, ...]:
        """As `Check`."""
        single = name.removesuffix("s")
        kept = tuple(self.each.checked(single, each) for each in listed(name, value))
        if len(kept) < self.least:
            raise InputError(f"no {name}: name at least one", field=name)
        return kept


@dataclass(frozen=True)
class Names(Listed):
    """Names in a list, none twice, kept as a tuple; `least` of them."""

    least: int = 0

    def checked(self, name: str, value: Any) -> tuple[str, ...]:
        """As `Check`."""
        kept = names(name, value)
        if len(kept) < self.least:
            raise InputError(f"no {name}: name at least one", field=name)
        return kept


@dataclass(frozen=True)
class Flag:
    """How the command line asks for a field.

    Args:
        name: Of the option.
        metavar: What stands for its value; empty for a switch.
        help: What it is, in the command line's words.
        panel: Under which heading of the help; empty for none.
        repeated: Whether it may be given several times.
    """

    name: str
    metavar: str
    help: str
    panel: str = ""
    repeated: bool = False


@dataclass(frozen=True)
class Axes:
    """The axes of an array of a result, a letter each: arrays of one result agree in them.

    Args:
        letters: With spaces between.
        in_files: Whether files alone hold it, documents never.
        optional: Whether it may be missing.
    """

    letters: str
    in_files: bool = False
    optional: bool = False
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Take the letters apart."""
        object.__setattr__(self, "names", tuple(self.letters.split()))


class Checked(ByValue):
    """A base for frozen dataclasses whose fields are checked when they are made."""

    def __post_init__(self) -> None:
        """Check every field that is said, and keep it as its rule wants it."""
        for name, rule in {**_by_type(type(self)), **rules(type(self))}.items():
            value = getattr(self, name)
            if value is not None or name not in _may_be_none(cast(Hashable, type(self))):
                object.__setattr__(self, name, rule.checked(name, value))


def check_field(kind: type, name: str, value: object, called: str = "") -> Any:
    """Check one field's value before the whole is known.

    Args:
        kind: The value's class.
        name: The field's name.
        value: What it would hold.
        called: What messages call it; empty for its name.
    """
    rule = rule_of(kind, name)
    return value if rule is None or value is None else rule.checked(called or name, value)


def rule_of(kind: type, name: str) -> Check | None:
    """The rule of a field, if it has one."""
    return rules(kind).get(name)


def rules(kind: type) -> dict[str, Check]:
    """The rules of a value's fields, by their names."""
    return {name: extra for name, extra in _extras(kind) if isinstance(extra, Check)}


def flags(kind: type) -> dict[str, Flag]:
    """How the command line asks for a value's fields, by their names."""
    return {name: extra for name, extra in _extras(kind) if isinstance(extra, Flag)}


def annotated(hint: object) -> tuple[Flag | None, Check | None]:
    """How the command line asks for what is annotated so, and its rule, where there are any."""
    extras = _annotations(hint)
    flag = next((extra for extra in extras if isinstance(extra, Flag)), None)
    return flag, next((extra for extra in extras if isinstance(extra, Check)), None)


def check_axes(value: object) -> None:
    """Check that a reply's arrays have their axes, and that these agree.

    Raises:
        ReplyError: If one does not.
    """
    if problem := misfit(value):
        raise ReplyError(f"the server's reply is inconsistent: {problem}")


def misfit(value: object) -> str:
    """Say which array of a result lacks its axes, or has others than the rest; empty if none."""
    sizes: dict[str, tuple[int, str]] = {}
    for name, axes in axes_of(type(value)).items():
        array: NDArray[np.generic] | None = getattr(value, name)
        if array is None:
            if axes.optional:
                continue
            return f"there is no array {name!r}"
        if array.ndim != len(axes.names):
            return f"{name!r} has {array.ndim} axes, not {len(axes.names)}"
        for letter, size in zip(axes.names, array.shape, strict=True):
            known, first = sizes.setdefault(letter, (size, name))
            if size != known:
                return (
                    f"{name!r} of shape {array.shape} does not go with {first!r}: {letter} is"
                    f" {known} there"
                )
    return ""


@dataclass(frozen=True)
class By:
    """A check that is a function."""

    check: Callable[[str, Any], Any]

    def checked(self, name: str, value: Any) -> Any:
        """As `Check`."""
        return self.check(name, value)


def _by_type(kind: type) -> dict[str, Check]:
    """What a field's bare type demands, where no rule does."""
    return _checks_by_type(cast(Hashable, kind))


@cache
def _checks_by_type(kind: Any) -> dict[str, Check]:
    known = {str: By(text), bool: By(switch)}
    hints = {each.name: get_type_hints(kind)[each.name] for each in fields(kind)}
    return {name: known[hint] for name, hint in hints.items() if hint in known}


@cache
def _may_be_none(kind: Any) -> frozenset[str]:
    """The fields of a value that may be None."""
    hints = get_type_hints(kind)
    return frozenset(name for name, hint in hints.items() if type(None) in get_args(hint))


def axes_of(kind: type) -> dict[str, Axes]:
    """The axes of a result's arrays, by their names."""
    return {name: extra for name, extra in _extras(kind) if isinstance(extra, Axes)}


def _extras(kind: type) -> tuple[tuple[str, Any], ...]:
    """All that is said of fields, field by field."""
    return _read_once(cast(Hashable, kind))


@cache
def _read_once(kind: Any) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple(
        (each.name, extra) for each in fields(kind) for extra in _annotations(hints[each.name])
    )


def _annotations(hint: Any) -> tuple[Any, ...]:
    """The extras of an annotation, or of the one that may also be None."""
    if get_origin(hint) is Annotated:
        return get_args(hint)[1:]
    return tuple(extra for part in get_args(hint) for extra in _annotations(part))
