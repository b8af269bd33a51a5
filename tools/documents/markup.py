"""What readers see of signatures, and what those hear who do not see the page."""

import re
from functools import cache
from typing import Any, get_type_hints

from sphinx.application import Sphinx

from graftscope import client

_ARRAY = re.compile(r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(?P<of>[\w.]+)\]\]")
_LINES = re.compile(
    r'<dl>\n(?P<lines>(?:<dd><em class="sig-param">.*?</em>,</dd>\n)+)</dl>', re.DOTALL
)
_CAPTION = '<p class="caption" role="heading">'


def _plain_types(app: Sphinx, described: Any, bound: bool) -> None:
    """Leave out what types say to the command line: ranges, flags and help (`Annotated`)."""
    function = getattr(described, "__func__", described)
    if getattr(function, "__annotations__", None):
        try:
            function.__annotations__ = get_type_hints(function, localns=_public())
        except NameError:  # of something optional, which is imported for type checkers alone
            return


@cache
def _public() -> dict[str, object]:
    """What aliases of types speak of by name alone."""
    return {name: getattr(client, name) for name in client.__all__}


def _arrays(
    app: Sphinx,
    what: str,
    name: str,
    described: Any,
    options: Any,
    given: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Call arrays by the name that they are imported by."""
    return _short(given), _short(returned)


def _short(signature: str | None) -> str | None:
    return signature and _ARRAY.sub(r"NDArray[\g<of>]", signature)


def _accessible(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Mend the page for keyboards and screen readers.

    Code and tables that are wider than the page are reached by a key, captions say their level, and
    parameters, one a line, are no list of definitions without a term.
    """
    body = context.get("body", "")
    for wide in ("<pre", '<div class="table-wrapper', '<div class="gs-tiles'):
        body = body.replace(wide, f'{wide[:4]} tabindex="0"{wide[4:]}')
    context["body"] = _LINES.sub(_as_lines, body)
    navigation = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = navigation.replace(
        _CAPTION, _CAPTION[:-1] + ' aria-level="2">'
    )


def _as_lines(found: re.Match[str]) -> str:
    lines = found["lines"].replace("<dd>", "<span>").replace("</dd>", "</span>")
    return f'<span class="sig-lines">{lines}</span>'


def setup(app: Sphinx) -> dict[str, bool]:
    """Listen for signatures and for pages."""
    app.connect("autodoc-before-process-signature", _plain_types)
    app.connect("autodoc-process-signature", _arrays)
    app.connect("html-page-context", _accessible, priority=900)  # after the theme
    return {"parallel_read_safe": True}
