"""Settings in print: a configuration as TOML or for JSON, and all that can be set as a table.

Passwords are hidden here, and nowhere else.
"""

import json
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from graftscope.server.settings._configured import Configuration, Origin
from graftscope.server.settings._declared import Setting, declared

HIDDEN = "***"
"""Stands for a password."""


def printed(configuration: Configuration) -> str:
    """A configuration as a file of TOML, each value with where it comes from.

    What is not set, and what would not work without the password that is hidden, is a comment; so
    the text can be saved as a file, which gives the same settings.
    """
    return "\n".join(_sections(configuration)).lstrip("\n") + "\n"


def documented(configuration: Configuration) -> dict[str, dict[str, object]]:
    """A configuration for JSON: of each setting its value, what said it, and where that is."""
    found: dict[str, dict[str, object]] = {}
    for each in declared():
        origin = configuration.origin(each.name)
        value = getattr(configuration.settings, each.name)
        shown = hidden(value) if each.secret else _plain(value)
        found[each.name] = {"value": shown, "from": origin.kind, "place": origin.place or None}
    return found


def hidden(url: str | None) -> str | None:
    """A URL without its password, and without the values that it has after a question mark."""
    if url is None or not re.match(r"[\w+.-]+://", url):
        return url and HIDDEN  # No URL: whatever it is, part of it may be a password.
    # A password may hold what should have been escaped: it goes on to the last @ that there is. A
    # user may hold an @ too, as USER@SERVER does.
    url = re.sub(r"^([\w+.-]+://[^:/]*):.*@", rf"\1:{HIDDEN}@", url, flags=re.DOTALL)
    place, mark, query = url.partition("?")
    return place + mark + re.sub(r"(^|&)([^=&]+=)?[^&]+", rf"\1\2{HIDDEN}", query)


def _sections(configuration: Configuration) -> Iterator[str]:
    section = ""
    for each in declared():
        if each.section != section:
            section = each.section
            yield f"\n# {section}"
        yield _line(
            each, getattr(configuration.settings, each.name), configuration.origin(each.name)
        )


def _line(setting: Setting, value: object, origin: Origin) -> str:
    # An empty list that is a default stands for something, and would look like nothing.
    if value is None or (value == () and origin.kind == "default"):
        return f"# {setting.name} is not set  # default: {setting.default}"
    if setting.secret and isinstance(value, str) and (shown := hidden(value)) != value:
        return f"# {setting.name} = {_toml(shown)}  # {origin}; what is hidden is needed to use it"
    return f"{setting.name} = {_toml(_plain(value))}  # {origin}"


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _toml(value: object) -> str:
    """A value as TOML, which for these types is JSON but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
