"""Links of the pages that Sphinx does not follow by itself, and names that docstrings speak of.

Pages link to files of the repository, so that they can be read there too. On the site those become
links to the page that holds the same text, or the file's name; one that is not there is a warning,
and so an error of the strict build.
"""

import re
from pathlib import Path
from posixpath import normpath, relpath

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

ROOT = Path(__file__).parents[2]

PAGES = {
    "CHANGELOG.md": "docs/project/changes.md",
    "CONTRIBUTING.md": "docs/project/contributing.md",
    "README.md": "docs/index.md",
    "SECURITY.md": "docs/project/security.md",
}
"""Files of the repository, and the pages that show them."""

_INCLUDED = re.compile(r"^```\{include\} (?P<path>\S+)\n```$", re.M)
_LINK = re.compile(r"(?<!!)\[(?P<text>[^][]+)\]\((?P<path>[^):#\s]+)(?P<anchor>#[^)\s]*)?\)")

_log = logging.getLogger(__name__)


def followed(text: str, written_in: str, shown_in: str) -> str:
    """Make links within the repository ones within the site.

    Args:
        text: Markdown.
        written_in: The file that it is from; its links are relative to that.
        shown_in: The page that it is on.

    Returns:
        The text, whose links are relative to the page.
    """

    def replaced(link: re.Match[str]) -> str:
        target = normpath(f"{Path(written_in).parent.as_posix()}/{link['path']}")
        page = PAGES.get(target, target)
        if page.startswith("docs/"):
            return f"[{link['text']}]({_relative(page, shown_in)}{link['anchor'] or ''})"
        if not (ROOT / target).exists():
            _log.warning("%s links to %s, which is not there", written_in, target)
        return f"{link['text']} (`{target}`)"

    return _LINK.sub(replaced, text)


def _relative(page: str, shown_in: str) -> str:
    return relpath(page, Path(shown_in).parent.as_posix())


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    """Put in what a page includes, and make its links lead somewhere."""
    here = f"docs/{name}.md"
    if not (ROOT / here).exists():  # a notebook
        return

    def included(found: re.Match[str]) -> str:
        path = normpath(f"{Path(here).parent.as_posix()}/{found['path']}")
        app.env.note_dependency(str(ROOT / path))
        return followed((ROOT / path).read_text(encoding="utf-8"), path, here)

    source[0] = _INCLUDED.sub(included, followed(source[0], here, here))


def _named(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Find what a docstring speaks of by the module that it is in, or by its last name alone."""
    domain = env.domains["py"]
    if node.get("refdomain") != "py" or not isinstance(domain, PythonDomain):
        return None
    names = node["reftarget"].strip("~.").split(".")
    for kept in (2, 1):
        ends = "." + ".".join(names[-kept:])
        found = [name for name in domain.objects if name.endswith(ends)]
        if len(found) == 1:
            return domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", found[0], node, content
            )
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Listen for pages that are read and names that are looked up."""
    app.connect("source-read", _read)
    app.connect("missing-reference", _named)
    return {"parallel_read_safe": True}
