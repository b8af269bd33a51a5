"""Options from values: what the command line offers of a request, and what a user said of it.

A verb's argument may be a group of options, a frozen dataclass, or `Given[Request]`: then the
request's own fields say which options there are, by the flags they were declared with. typer, which
knows neither, sees single options::

    def stability(asked: Given[StabilityTask], ...):       # --k, --method, --repeats, ...
        task = asked(maps=maps)                            # a StabilityTask

Every field is checked as soon as it is read, before any work.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import typer
from numpy.typing import NDArray

from graftscope.client.arrays import (
    Flag,
    Names,
    Several,
    Whole,
    check_field,
    flags,
    names,
    read_values,
    rule_of,
    whole_number,
)
from graftscope.client.errors import InputError
from graftscope.client.values import STRATIFIED_PAIRS

Request = TypeVar("Request")

MOST_MODULES = 10_000
"""No layer has more channels: a range of numbers of modules ends here."""


@dataclass(frozen=True)
class As:
    """How one verb offers a field, where that is not as it was declared.

    Args:
        name: Of the option; None as declared, and so the others.
        metavar: What stands for its value.
        help: What it is.
        default: As text.
    """

    name: str | None = None
    metavar: str | None = None
    help: str | None = None
    default: str | int | None = None

    def over(self, flag: Flag) -> Flag:
        """Change what was declared."""
        return replace(
            flag,
            name=self.name or flag.name,
            metavar=self.metavar or flag.metavar,
            help=self.help or flag.help,
        )


@dataclass(frozen=True)
class Offer:
    """Which of a request's fields a verb offers.

    Args:
        only: Their names; None for all that have a flag.
        without: Names of those that it does not.
        changed: How it offers some of them.
    """

    only: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    changed: Mapping[str, As] = field(default_factory=dict)

    def of(self, kind: type) -> dict[str, Flag]:
        """The offered fields and their flags."""
        declared = flags(kind)
        wanted = [name for name in self.only or declared if name not in self.without]
        return {name: self.changed.get(name, As()).over(declared[name]) for name in wanted}


class Given(Generic[Request]):
    """What a user said of a request: checked, but not yet whole.

    Args:
        kind: The request's class.
        said: Checked values by the fields' names; what was not said is not there.
        texts: What was said, as it was read.
        flags: How the verb asks for each field.
    """

    def __init__(
        self,
        kind: type[Request],
        said: Mapping[str, Any] | None = None,
        texts: Mapping[str, Any] | None = None,
        flags: Mapping[str, Flag] | None = None,
    ) -> None:
        self._kind = kind
        self.said = dict(said or {})
        self.texts = dict(texts or {})
        self.flags = dict(flags or {})
        if self.said.get("stratified") and "pairs" not in self.said:
            self.said["pairs"] = STRATIFIED_PAIRS

    def __call__(self, **rest: Any) -> Request:
        """Make the request with what the verb knows beside."""
        return self._kind(**{**self.said, **rest})

    def __getitem__(self, name: str) -> Any:
        """A field as it was said, or its default."""
        return self.said.get(name, self._defaults()[name])

    def changed(self) -> list[str]:
        """The fields that were said, and otherwise than by default."""
        defaults = self._defaults()
        return [name for name, value in self.said.items() if value != defaults[name]]

    def _defaults(self) -> dict[str, Any]:
        return {each.name: each.default for each in fields(self._kind)}  # type: ignore[arg-type]


def expanded(verb: Callable[..., None]) -> Callable[..., None]:
    """Replace a function's arguments that stand for several options by those.

    Args:
        verb: Its arguments' annotations are types, dataclasses whose fields are options, or
            `Given[Request]`, which `Annotated[..., Offer(...)]` may narrow.

    Returns:
        A function of the single options that calls `verb` with the groups.
    """
    signature = inspect.signature(verb, eval_str=True)
    takers: dict[str, Callable[[dict[str, Any]], object]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        kind, offer = _asked(parameter.annotation)
        if kind is not None:
            made, take = _of_request(parameter.name, kind, offer)
        elif is_dataclass(parameter.annotation):
            made, take = _of_group(parameter.annotation)  # type: ignore[arg-type]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        parameters += made
        takers[parameter.name] = take

    def call(**values: Any) -> None:
        given = {name: take(values) for name, take in takers.items()}
        verb(**given, **values)

    call.__name__, call.__doc__, call.__module__ = verb.__name__, verb.__doc__, verb.__module__
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    # Both are needed: typer reads the one for order and defaults, the other for types.
    setattr(call, "__signature__", inspect.Signature(parameters))  # noqa: B010
    return call


_Made = tuple[list[inspect.Parameter], Callable[[dict[str, Any]], object]]


def _asked(annotation: Any) -> tuple[type | None, Offer]:
    """The request that an annotation asks for, and how it is offered."""
    offer = Offer()
    if get_origin(annotation) is Annotated:
        annotation, *extras = get_args(annotation)
        offer = next((each for each in extras if isinstance(each, Offer)), offer)
    return (get_args(annotation)[0], offer) if get_origin(annotation) is Given else (None, offer)


def _of_group(group: type) -> _Made:
    """The options of a dataclass."""
    hints = get_type_hints(group, include_extras=True)
    listed = fields(group)

    def take(values: dict[str, Any]) -> object:
        return group(**{each.name: values.pop(each.name) for each in listed})

    return [_parameter(each.name, hints[each.name], _default(each)) for each in listed], take


def _of_request(group: str, kind: type, offer: Offer) -> _Made:
    """The options of a request's fields; their names here are the group's and the field's."""
    offered, by_name = offer.of(kind), {each.name: each for each in fields(kind)}
    hints = get_type_hints(kind)
    parameters = []
    for name, flag in offered.items():
        default = offer.changed.get(name, As()).default
        if default is None and name != "pairs":  # how many are usual depends on other options
            default = _shown(by_name[name].default)
        rule = rule_of(kind, name)
        is_number = isinstance(rule, Whole) or hints[name] in (bool, float)
        kept = int if isinstance(rule, Whole) else hints[name] if is_number else str
        if flag.repeated:
            kept = list[str]
        option = typer.Option(
            flag.name,
            metavar=flag.metavar or None,
            help=flag.help,
            rich_help_panel=flag.panel or None,
            min=0 if flag.refused_early else None,
        )
        wanted: Any = kept if default is not None else kept | None
        parameters.append(_parameter(f"{group}_{name}", Annotated[wanted, option], default))

    def take(values: dict[str, Any]) -> object:
        texts = {name: values.pop(f"{group}_{name}") for name in offered}
        said = {
            name: _checked(kind, name, offered[name], text)
            for name, text in texts.items()
            if text is not None
        }
        return Given(kind, said, texts, offered)

    return parameters, take


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _default(each: "Field[Any]") -> object:
    return inspect.Parameter.empty if each.default is MISSING else each.default


def _shown(default: object) -> Any:
    """A default as a user would write it."""
    if isinstance(default, StrEnum):
        return default.value
    if isinstance(default, tuple):
        return ",".join(map(str, default)) or None
    return default


def _checked(kind: type, name: str, flag: Flag, text: Any) -> Any:
    """Read an option and check it under its own name."""
    rule = rule_of(kind, name)
    value: Any = text
    if flag.repeated:
        return parse_fix(text)
    if isinstance(rule, Names):
        value = split(text)
    elif isinstance(rule, Several):
        several = isinstance(rule.each, Whole)
        value = _numbers(flag, text) if several else split(text)
    return check_field(kind, name, value, flag.name)


def split(text: str) -> list[str]:
    """Take apart what stands between commas."""
    return [part.strip() for part in text.split(",")]


def _numbers(flag: Flag, text: str) -> Sequence[int]:
    """Read integers with commas, and ranges where the option takes them."""
    if "-" in flag.metavar:
        return [number for part in split(text) for number in _range(flag.name, part, text)]
    if not all(part.isdecimal() for part in split(text)):
        raise InputError(f"{flag.name} {text!r} is not integers from 0 with commas, like 0,1,2")
    return [int(part) for part in split(text)]


def _range(option: str, part: str, text: str) -> range:
    found = re.fullmatch(r"(\d+)\s*(?:-\s*(\d+))?", part)
    if found is None:
        raise InputError(f"{option} {text!r} is not a range like 2-10, nor integers like 2,3,4")
    low, high = (
        whole_number(option, int(each or found[1]), high=MOST_MODULES) for each in found.groups()
    )
    if low > high:
        raise InputError(f"{option} {text!r}: the range {part} ends before it begins")
    return range(low, high + 1)


def parse_fix(texts: Iterable[str]) -> dict[str, float | NDArray[np.generic]] | None:
    """Read the values that `--fix` gives, by the inputs' names.

    Raises:
        NotFoundError: If a file that is named is not there.
        InputError: If a text is not NAME=VALUE, or a name is given twice.
    """
    pairs = [_named(text) for text in texts]
    names("--fix", [name for name, _ in pairs])
    return {name: _fixed(name, value) for name, value in pairs} or None


def _named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(f"--fix {text!r} is not NAME=VALUE, such as label=3 or z=FILE.npy")
    return name, value


def _fixed(name: str, value: str) -> float | NDArray[np.generic]:
    if Path(value).suffix in (".npy", ".npz"):
        return read_values(value, name)
    try:
        return float(value)
    except ValueError:
        raise InputError(
            f"--fix {name}={value}: {value!r} is neither a number nor a file ending in .npy or .npz"
        ) from None
