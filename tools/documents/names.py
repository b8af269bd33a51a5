"""The reference of Python: every public name of a package, from its docstring.

A block that begins with ``{names} graftscope.client`` and says ``:from: models arrays`` becomes the
public names that those parts of the package define. So a new name is in the reference by itself.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import OptionSpec


def names_of(package: str, parts: list[str], but: list[str]) -> list[str]:
    """The public names that parts of a package define, by part and then by name.

    Args:
        package: Such as ``graftscope.client``.
        parts: Modules or packages below it, such as ``values`` or ``values._pairs``; none for all.
        but: Parts that are left out.
    """
    places: dict[str, int] = {}
    for name in import_module(package).__all__:
        home = home_of(package, name)
        inside = [place for place, part in enumerate(parts) if _within(home, f"{package}.{part}")]
        if (inside or not parts) and not any(_within(home, f"{package}.{part}") for part in but):
            places[name] = inside[0] if inside else 0
    return sorted(places, key=lambda name: (places[name], name.lower()))


def home_of(package: str, name: str) -> str:
    """The module that defines a public name.

    Raises:
        LookupError: If no module has a docstring for it.
    """
    value = getattr(import_module(package), name)
    home = getattr(value, "__module__", "")
    known = sys.modules.get(home) if isinstance(home, str) and _within(home, package) else None
    if known is not None and getattr(known, name, None) is value:
        return home
    for module, _ in _told(package, name):
        return module
    raise LookupError(f"{package}.{name} has no docstring where it is defined")


def _told(package: str, name: str) -> Iterator[tuple[str, str]]:
    """Modules that give a value this name and, below it, a docstring; with that."""
    for module in sorted(sys.modules):
        source = getattr(sys.modules[module], "__file__", None)
        if _within(module, package) and source:
            told = _told_in(source).get(name)
            if told:
                yield module, told


@cache
def _told_in(source: str) -> dict[str, str]:
    """Names that a file assigns, with the docstrings below them."""
    statements = ast.parse(Path(source).read_text(encoding="utf-8")).body
    found = {}
    for given, told in pairwise(statements):
        targets: list[ast.expr] = []
        if isinstance(given, ast.Assign):
            targets = given.targets
        elif isinstance(given, ast.AnnAssign):
            targets = [given.target]
        for each in targets:
            if isinstance(each, ast.Name):
                found[each.id] = inspect.cleandoc(_text_of(told))
    return found


def _text_of(statement: ast.stmt) -> str:
    told = statement.value if isinstance(statement, ast.Expr) else None
    return told.value if isinstance(told, ast.Constant) and isinstance(told.value, str) else ""


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def described(package: str, name: str) -> str:
    """The directive of reStructuredText that describes a name."""
    value, whole = getattr(import_module(package), name), f"{package}.{name}"
    if isinstance(value, type):
        return f".. autoclass:: {whole}\n"
    if inspect.isroutine(value) or hasattr(value, "__wrapped__"):
        return f".. autofunction:: {whole}\n"
    (told, *_) = (told for _, told in _told(package, name))
    lines = "".join(f"   {line}\n" for line in told.splitlines())
    return f".. py:data:: {name}\n   :module: {package}\n\n{lines}"


class NamesDirective(SphinxDirective):
    """Public names of a package, at the place of the directive."""

    required_arguments = 1
    option_spec: ClassVar[OptionSpec] = {
        "from": directives.unchanged_required,
        "but": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Write what autodoc reads, and parse it."""
        (package,) = self.arguments
        parts, but = (self.options.get(word, "").split() for word in ("from", "but"))
        text = "\n".join(described(package, name) for name in names_of(package, parts, but))
        return self.parse_text_to_nodes(f"```{{eval-rst}}\n{text}\n```")


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("names", NamesDirective)
    return {"parallel_read_safe": True}
