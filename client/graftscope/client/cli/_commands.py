"""Commands of typer from verbs, and groups of them that load a verb only when it is called.

It must not know which verbs there are.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from graftscope.client.cli._failures import call_by_options
from graftscope.client.cli._quiet import QuietOption
from graftscope.client.errors import GraftscopeError, StoppedError, UsageError

SETTINGS = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True)
class Verb:
    """A verb as help lists it, whose function is loaded when it is called.

    Args:
        module: Below `graftscope.client.cli`.
        function: Its name there.
        told: What it does: the first paragraph of the function's docstring.
        example: A command line.
    """

    module: str
    function: str
    told: str
    example: str

    def load(self) -> Callable[..., None]:
        """Import the function."""
        function: Callable[..., None] = getattr(
            import_module(f"graftscope.client.cli.{self.module}"), self.function
        )
        return function


class _Listed(TyperCommand):
    """What help lists of a verb."""

    def __init__(self, name: str, verb: Verb) -> None:
        super().__init__(name, help=verb.told)
        self._verb = verb

    def loaded(self) -> TyperCommand:
        """Make the command."""
        return command_of(self.name or "", self._verb)


class _Plain:
    """Help without the types of switches."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option --help, whose value needs no name."""
        option = super().get_help_option(ctx)  # type: ignore[misc]  # of the class beside this one
        return _without_type(option)


class Verbs(_Plain, TyperGroup):
    """A group that loads a verb only when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is called."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.loaded() if isinstance(command, _Listed) else command, rest


def group_of(app: typer.Typer, verbs: Mapping[str, Verb]) -> Verbs:
    """Make the group of an application and its verbs."""
    group = get_command(app)
    assert isinstance(group, Verbs)
    group.commands = {name: _Listed(name, verb) for name, verb in verbs.items()}
    for option in group.params:
        _without_type(option)
    return group


def command_of(name: str, verb: Verb) -> TyperCommand:
    """Load a verb and make its command."""
    from graftscope.client.cli._request_options import expanded, options_of  # what it needs is slow

    function = verb.load()
    made = _spoken(expanded(function), options_of(function))
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.command(
        name,
        cls=_NothingDropped,
        help=_unwrapped(inspect.getdoc(function) or ""),
        epilog=f"Example: {verb.example}",
        context_settings=SETTINGS,
    )(_with_quiet(made))
    command = get_command(app)
    assert isinstance(command, TyperCommand)
    for option in command.params:
        _without_type(option)
    return command


class _NothingDropped(_Plain, TyperCommand):
    """A command that drops no value: an option that takes one is refused where it has several."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look at every value that was given, before anything is read."""
        single = [
            each
            for each in self.params
            if isinstance(each, TyperOption) and not (each.multiple or each.is_flag or each.count)
        ]
        for option in single:
            option.multiple = True  # The parser then keeps every value.
        try:
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        finally:
            for option in single:
                option.multiple = False
        for option in single:
            values = given.get(option.name) or ()
            if len(values) > 1:
                raise UsageError(
                    f"{option.opts[-1]} is given {len(values)} times, and takes one value:"
                    f" {', '.join(values)}"
                )
        return super().parse_args(ctx, args)


def _without_type(option: Any) -> Any:
    """Let help say nothing of a switch's value, which it does not take."""
    if isinstance(option, TyperOption) and option.is_flag and option.metavar is None:
        option.metavar = ""
    return option


def _unwrapped(text: str) -> str:
    """Make each paragraph one line: the terminal's width is for typer to mind."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _with_quiet(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the option --quiet, which acts by itself."""
    signature = inspect.signature(verb)
    quiet = inspect.Parameter(
        "quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=QuietOption
    )
    # Both are needed: typer reads the one for order and defaults, the other for types.
    signature = signature.replace(parameters=[*signature.parameters.values(), quiet])
    setattr(verb, "__signature__", signature)  # noqa: B010
    verb.__annotations__ = {**verb.__annotations__, "quiet": QuietOption}
    return verb


def _spoken(verb: Callable[..., None], options: Mapping[str, str]) -> Callable[..., None]:
    """Have errors name options, and make an interruption one of them; typer would swallow it."""

    @wraps(verb)
    def call(**values: object) -> None:
        try:
            verb(**values)
        except GraftscopeError as error:
            call_by_options(error, options)
            raise
        except KeyboardInterrupt as error:
            # Whoever interrupts twice still wants to know what the first interruption said.
            first = error.__context__
            told = first if isinstance(first, StoppedError) else StoppedError("interrupted")
            raise told from None

    return call
