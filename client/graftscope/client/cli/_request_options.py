"""Options from values: what the command line offers of a request, and what a user said of it.

A verb's argument may be an option, declared by its rule and its flag like a request's field; a
group of options, a frozen dataclass; or `Given[Request]`: then the request's own fields say which
options there are, by the flags they were declared with. typer, which knows none of these, sees
single options of text::

    def stability(asked: Given[StabilityTask], ...):       # --k, --method, --repeats, ...
        task = asked(maps=maps)                            # a StabilityTask

What every option was given is read and checked by its rule, before any work. A rule about a list
(`Listed`) makes an option that takes its values with commas, piece by piece, or both.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, Generic, Self, TypeVar, get_args, get_origin, get_type_hints

import typer

from graftscope.client.arrays import (
    Check,
    Flag,
    Listed,
    Several,
    Word,
    annotated,
    flags,
    rule_of,
)
from graftscope.client.cli._option_texts import read_option
from graftscope.client.values import STRATIFIED_PAIRS

Request = TypeVar("Request")


@dataclass(frozen=True)
class As:
    """How one verb offers a field, where that is not as it was declared.

    Args:
        name: Of the option; None as declared, and so the others.
        metavar: What stands for its value.
        help: What it is.
        default: The field's value where none is said.
    """

    name: str | None = None
    metavar: str | None = None
    help: str | None = None
    default: Any = None

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

    def usual(self) -> dict[str, Any]:
        """The values of fields where none is said and the request's own defaults do not hold."""
        given = {name: as_.default for name, as_ in self.changed.items()}
        return {name: value for name, value in given.items() if value is not None}


class Given(Generic[Request]):
    """What a user said of a request: checked, but not yet whole.

    Args:
        kind: The request's class.
        said: Checked values by the fields' names; what was not said is not there.
        usual: Values of what was not said, where the request's own defaults do not hold.
        texts: What was said, as it was read.
        flags: How the verb asks for each field.
    """

    def __init__(
        self,
        kind: type[Request],
        said: Mapping[str, Any] | None = None,
        usual: Mapping[str, Any] | None = None,
        texts: Mapping[str, Any] | None = None,
        flags: Mapping[str, Flag] | None = None,
    ) -> None:
        self._kind = kind
        self.said = dict(said or {})
        self._usual = dict(usual or {})
        self.texts = dict(texts or {})
        self.flags = dict(flags or {})
        if self.said.get("stratified"):
            self._usual["pairs"] = STRATIFIED_PAIRS

    def __call__(self, **rest: Any) -> Request:
        """Make the request with what the verb knows beside."""
        return self._kind(**{**self.values, **rest})

    def __getitem__(self, name: str) -> Any:
        """A field as it was said, or its default."""
        defaults = {each.name: each.default for each in fields(self._kind)}  # type: ignore[arg-type]
        return self.values.get(name, defaults[name])

    @property
    def values(self) -> dict[str, Any]:
        """All fields that differ, or may differ, from the request's own defaults."""
        return {**self._usual, **self.said}

    def unless_said(self, **usual: Any) -> Self:
        """Give fields another value where none is said; None leaves a field as it is."""
        given = {name: value for name, value in usual.items() if value is not None}
        return type(self)(self._kind, self.said, {**self._usual, **given}, self.texts, self.flags)

    def options(self, *names: str) -> list[str]:
        """The options that were said, of these fields or of all, as the user knows them."""
        return [self.flags[name].name for name in self.said if not names or name in names]


def expanded(verb: Callable[..., None]) -> Callable[..., None]:
    """Replace a function's arguments that stand for options by what typer makes options of.

    Args:
        verb: Its arguments' annotations are types; types annotated with a rule and a `Flag`;
            dataclasses whose fields are such; or `Given[Request]`, which
            `Annotated[..., Offer(...)]` may narrow.

    Returns:
        A function of the single options that calls `verb` with what they mean.
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
            made, take = _of_one(parameter.name, parameter.annotation, parameter.default)
        parameters += made
        takers[parameter.name] = take

    def call(**values: Any) -> None:
        verb(**{name: take(values) for name, take in takers.items()})

    call.__name__, call.__doc__, call.__module__ = verb.__name__, verb.__doc__, verb.__module__
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    # Both are needed: typer reads the one for order and defaults, the other for types.
    setattr(call, "__signature__", inspect.Signature(parameters))  # noqa: B010
    return call


def options_of(verb: Callable[..., None]) -> dict[str, str]:
    """What a verb's options are called, by the names of what they say."""
    called = {"address": "--server", "bundles": "--bundle", "timeout_s": "--timeout"}
    called |= {"token": "--token-file", "tls": "--ca"}
    called |= {"labels": "--modules", "intervention": "--intervene"}
    for parameter in inspect.signature(verb, eval_str=True).parameters.values():
        kind, offer = _asked(parameter.annotation)
        if kind is not None:
            called |= {name: flag.name for name, flag in offer.of(kind).items()}
        elif is_dataclass(parameter.annotation):
            hints = get_type_hints(parameter.annotation, include_extras=True)
            called |= {name: _called(hint) for name, hint in hints.items()}
        else:
            called[parameter.name] = _called(parameter.annotation)
    return {name: option for name, option in called.items() if option}


def _called(annotation: Any) -> str:
    """The option's name that an annotation declares; empty for an argument."""
    flag, _ = annotated(annotation)
    if flag is not None:
        return flag.name
    # Inside `Annotated`, typer takes the first of an option's names for its default.
    declared = [
        name
        for each in get_args(annotation)[1:]
        for name in (each.default, *(each.param_decls or ()))
        if isinstance(name, str) and name.startswith("--")
    ]
    return declared[0].partition("/")[0] if declared else ""


_Made = tuple[list[inspect.Parameter], Callable[[dict[str, Any]], object]]


def _asked(annotation: Any) -> tuple[type | None, Offer]:
    """The request that an annotation asks for, and how it is offered."""
    offer = Offer()
    if get_origin(annotation) is Annotated:
        annotation, *extras = get_args(annotation)
        offer = next((each for each in extras if isinstance(each, Offer)), offer)
    return (get_args(annotation)[0], offer) if get_origin(annotation) is Given else (None, offer)


def _of_one(name: str, annotation: Any, default: Any) -> _Made:
    """One option, by its rule and its flag; what has no flag is typer's own matter."""
    flag, rule = annotated(annotation)
    if flag is None:
        return [_parameter(name, annotation, default)], lambda values: values.pop(name)
    required = default is inspect.Parameter.empty

    def take(values: dict[str, Any]) -> object:
        said = values.pop(name)
        return default if said in (None, False) else read_option(flag, rule, said)

    return [_option(name, flag, rule, annotation, None if required else default, required)], take


def _of_group(group: type) -> _Made:
    """The options of a dataclass."""
    hints = get_type_hints(group, include_extras=True)
    made = {
        each.name: _of_one(
            each.name,
            hints[each.name],
            inspect.Parameter.empty if each.default is MISSING else each.default,
        )
        for each in fields(group)
    }

    def take(values: dict[str, Any]) -> object:
        return group(**{name: take_one(values) for name, (_, take_one) in made.items()})

    return [parameter for parameters, _ in made.values() for parameter in parameters], take


def _of_request(group: str, kind: type, offer: Offer) -> _Made:
    """The options of a request's fields; their names here are the group's and the field's."""
    offered, hints = offer.of(kind), get_type_hints(kind)
    usual = {each.name: each.default for each in fields(kind)} | offer.usual()
    parameters = [
        _option(f"{group}_{name}", flag, rule_of(kind, name), hints[name], usual[name])
        for name, flag in offered.items()
    ]

    def take(values: dict[str, Any]) -> object:
        texts = {name: values.pop(f"{group}_{name}") for name in offered}
        said = {
            name: read_option(offered[name], rule_of(kind, name), text)
            for name, text in texts.items()
            if text not in (None, False)
        }
        return Given(kind, said, offer.usual(), texts, offered)

    return parameters, take


def _option(
    name: str, flag: Flag, rule: Check | None, hint: Any, usual: Any, required: bool = False
) -> inspect.Parameter:
    """Make what typer makes an option of: text, texts, or a switch."""
    switch = hint is bool or (get_origin(hint) is Annotated and get_args(hint)[0] is bool)
    kept: Any = bool if switch else list[str] if _is_list(flag, rule) else str
    # A help that says more of the default than its value has said it.
    told = "" if switch or "Default: " in flag.help else _told(usual)
    option = typer.Option(
        flag.name,
        metavar=flag.metavar,
        help=flag.help + (f" Default: {told}." if told else ""),
        rich_help_panel=flag.panel or None,
        autocompletion=completing(_words(rule)),
    )
    if required:
        return _parameter(name, Annotated[kept, option], inspect.Parameter.empty)
    default = False if switch else None
    return _parameter(name, Annotated[kept if switch else kept | None, option], default)


def _words(rule: Check | None) -> list[str]:
    """The words that a rule allows, if they are few."""
    each = rule.each if isinstance(rule, Several) else rule
    return [word.value for word in each.kind] if isinstance(each, Word) else []


def completing(words: Iterable[str]) -> Callable[[str], list[str]] | None:
    """Complete one of some words, also the last of several with commas; None without words."""
    listed = list(words)

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [before + comma + word for word in listed if word.startswith(last)]

    return complete if listed else None


def _is_list(flag: Flag, rule: Check | None) -> bool:
    return flag.repeated or isinstance(rule, Listed)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _told(usual: object) -> str:
    """A default as a user would write it; empty where there is none to tell."""
    if isinstance(usual, StrEnum):
        return usual.value
    if isinstance(usual, tuple):
        return ",".join(map(str, usual))
    return "" if usual is None else f"{usual:g}" if isinstance(usual, float) else str(usual)
