"""Writes what others know of a server's settings from their declarations.

A setting is declared once, in `graftscope.server.settings._fields`. Written from there are the
client's list of settings, which makes the options of `graftscope serve` and knows the variables'
names where no server is installed, and the table in docs/operations.md::

    python tools/settings.py          # writes them
    python tools/settings.py check    # fails if what is committed differs
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from graftscope.server.settings import Setting, declared

ROOT: Final = Path(__file__).parents[1]
LIST: Final = ROOT / "client/graftscope/client/calls/server_settings.json"
PAGE: Final = ROOT / "docs/operations.md"
_TABLES = re.compile(r"(?<=<!-- by tools/settings.py -->\n).*?(?=<!-- to here -->)", re.S)


def problems(settings: Sequence[Setting]) -> Iterator[str]:
    """What a declaration does not say."""
    flags = [flag for each in settings for flag in each.flags]
    yield from (f"{flag} is declared twice" for flag in set(flags) if flags.count(flag) > 1)
    for each in settings:
        if not each.meaning:
            yield f"{each.name}: its docstring does not say what it means"
        if not each.default:
            yield f"{each.name}: say its default in words, with Shown(default=...)"


def listed(settings: Sequence[Setting]) -> str:
    """The client's list, as JSON."""
    flags = {each.name: each.flags[0] for each in settings}
    found = [
        {
            "name": each.name,
            "flags": _options(each),
            "metavar": each.metavar,
            "panel": _panel(each),
            "words": each.words,
            "several": each.several,
            "help": _help(each, flags),
        }
        for each in settings
    ]
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def tables(settings: Sequence[Setting]) -> str:
    """The page's tables, one a section."""
    parts = [
        f"### {section}\n\n| setting | flag | variable | default | allowed | meaning |\n"
        "| --- | --- | --- | --- | --- | --- |\n" + "".join(map(_row, group))
        for section, group in groupby(settings, lambda each: each.section)
    ]
    return "\n" + "\n".join(parts) + "\n"


def _options(setting: Setting) -> tuple[str, ...]:
    if setting.metavar:
        return setting.flags
    return tuple(f"{flag}/--no-{flag.removeprefix('--')}" for flag in setting.flags)


def _panel(setting: Setting) -> str:
    """The first section's options are shown with the verb's own."""
    return "" if setting.section == declared()[0].section else setting.section


def _help(setting: Setting, flags: dict[str, str]) -> str:
    range_ = re.fullmatch(r"a (?:whole )?number (?:from )?(.*\d.*)", setting.allowed)
    told = setting.meaning
    if range_:
        told += f" Allowed: {range_[1]}."
    elif setting.words and setting.metavar != "|".join(setting.words):
        told += f" Allowed: {setting.allowed}."
    told += f" Default: {setting.default}."
    return re.sub(r"`(\w+)`", lambda found: flags.get(found[1], found[0]), told)


def _row(setting: Setting) -> str:
    flags = ", ".join(f"`{each}`" for each in _options(setting))
    # What is said in words is no value to write.
    in_words = setting.default == "none" or re.search(r"[ `]", setting.default)
    default = setting.default if in_words else f"`{setting.default}`"
    cells = (f"`{setting.name}`", flags, f"`{setting.variable}`", default, setting.allowed)
    return "| " + " | ".join([*cells, setting.meaning]) + " |\n"


def main(arguments: Sequence[str]) -> int:
    """Write the files, or compare them with what is there."""
    settings, stale = declared(), []
    if wrong := list(problems(settings)):
        sys.stderr.write("\n".join(wrong) + "\n")
        return 1
    page = _TABLES.sub(lambda _: tables(settings), PAGE.read_text(encoding="utf-8"))
    for path, text in ((LIST, listed(settings)), (PAGE, page)):
        if arguments != ["check"]:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(ROOT)))
    if stale:
        sys.stderr.write(f"{', '.join(stale)}: stale; run 'make settings'\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
