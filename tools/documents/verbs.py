"""The reference of the command line: every verb with its options, from the commands themselves.

In a page of MyST, a block that begins with ``{verbs}`` becomes one section a verb.
"""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.core import TyperArgument, TyperCommand, TyperOption

from graftscope.client.cli._commands import Verb, command_of
from graftscope.client.cli._main import EPILOG, GROUPS, VERBS

OWN_OPTIONS = "Options"
"""The heading of options that belong to no panel of the help."""


def all_verbs() -> Iterator[tuple[str, Verb]]:
    """Every verb by what is typed after `graftscope`, in the order of the help."""
    yield from VERBS.items()
    for group, (_, verbs) in GROUPS.items():
        yield from ((f"{group} {name}", verb) for name, verb in verbs.items())


def reference() -> str:
    """The whole reference, as Markdown."""
    return "\n\n".join([*(section(name, verb) for name, verb in all_verbs()), EPILOG])


def section(name: str, verb: Verb) -> str:
    """One verb: what it does, how it is called, an example, and a table a panel of options."""
    command = command_of(name.rsplit(maxsplit=1)[-1], verb)
    arguments = [each for each in command.params if isinstance(each, TyperArgument)]
    usage = " ".join(["graftscope", name, *map(_argument_in_usage, arguments), "[OPTIONS]"])
    parts = [f"## {name}", _markdown(command.help or ""), f"```text\n{usage}\n```"]
    parts += [f"For example:\n\n```console\n$ {verb.example}\n```"]
    if arguments:
        rows = [(f"`{_metavar(each)}`", each.help or "") for each in arguments]
        parts.append(_table(("Argument", "What it is"), rows))
    for panel, options in _panels(command).items():
        rows = [(_spelling(each), each.help or "") for each in options]
        parts.append(_table((panel, "What it does"), rows))
    return "\n\n".join(parts)


def _panels(command: TyperCommand) -> dict[str, list[TyperOption]]:
    found: dict[str, list[TyperOption]] = {}
    for each in command.params:
        if isinstance(each, TyperOption) and not each.hidden:
            found.setdefault(each.rich_help_panel or OWN_OPTIONS, []).append(each)
    return found


def _spelling(option: TyperOption) -> str:
    """`--layer NAME`, with every other name that the option has."""
    names = [*option.opts, *option.secondary_opts]
    value = f" {option.metavar}" if option.metavar else ""
    return ", ".join(f"`{name}{value}`" for name in sorted(names, key=len, reverse=True))


def _metavar(argument: TyperArgument) -> str:
    return argument.metavar or (argument.name or "").upper()


def _argument_in_usage(argument: TyperArgument) -> str:
    return _metavar(argument) if argument.required else f"[{_metavar(argument).strip('[]')}]"


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    for name, told in rows:
        # A column of a table ends at a stroke, also within backquotes.
        escaped = name.replace("|", r"\|")
        lines.append(f"| {escaped} | {_markdown(told)} |")
    return "\n".join(lines)


def _markdown(told: str) -> str:
    """The text of a help as Markdown: what is quoted and flags are code, and nothing else is."""
    parts = told.replace("\\[", "[").replace("|", r"\|").split("`")
    parts[::2] = [_prose(each) for each in parts[::2]]
    return "`".join(parts)


def _prose(told: str) -> str:
    said = re.sub(r"([*_])", r"\\\1", told).replace("<", "&lt;")
    return re.sub(r"(?<![\w-])(--?[a-z][\w-]*)", r"`\1`", said)


class VerbsDirective(SphinxDirective):
    """All verbs, at the place of the directive."""

    def run(self) -> list[nodes.Node]:
        """Write the reference, and parse it as the page that it is in."""
        return self.parse_text_to_nodes(reference(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("verbs", VerbsDirective)
    return {"parallel_read_safe": True}
