"""The verb that examines this machine, the settings of a server, or a server: doctor."""

import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from graftscope.client.calls import import_room, translated, unknown_variables
from graftscope.client.cli._examined_server import AskedServer, examined_server
from graftscope.client.cli._output import note, say_json, say_lines
from graftscope.client.cli._quiet import is_quiet
from graftscope.client.cli._setting_options import SettingOptions
from graftscope.client.cli._shared_options import ConfigOption, JsonOption
from graftscope.client.errors import GraftscopeError, InputError, MissingExtraError, UnsoundError
from graftscope.client.version import VersionWarning
from graftscope.client.words import counted

_OF_A_CLIENT = ("python", "libraries")
"""What is looked at beside a server elsewhere."""

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red", "skipped": "dim"}
_WORST_FIRST = ("problem", "warning", "ok", "skipped")
_CLEAR = "\r\x1b[K"
_INDENT = 23

OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="NAME,...",
        help="Only these checks, by the names that are printed; several with commas or repeated.",
    ),
]


def doctor(
    asked: AskedServer,
    given: SettingOptions,
    config: ConfigOption = None,
    only: OnlyOption = None,
    json: JsonOption = False,
) -> None:
    """Examine this machine and the settings of a server, and say what to do about what is wrong.

    It takes the options of `graftscope serve`, its file and its variables, and changes nothing
    that a server keeps. Beside a server that runs it is no problem that the port and the state
    folder are in use. With --server it examines a server that runs elsewhere, as its clients see
    it.

    The exit code is 0 without a problem, whatever the warnings, and 8 with one.
    """
    room = import_room("graftscope.server.doctor", "server")
    checks = room.CHECKS
    if asked.server is not None:
        checks = [each for each in checks if each.name in _OF_A_CLIENT]
        checks.append(examined_server(asked, room))
    case = _case(room, given, config) if asked.server is None else room.Case()
    chosen = _chosen(only or (), [each.name for each in checks])
    began_s, findings = time.monotonic(), []
    with _told_as_findings(), _waiting(sys.stderr.isatty() and not is_quiet()) as begun:
        for finding in room.examine(case, chosen, begun, checks):
            findings.append(finding)
            if not json:
                begun("")
                _say(finding)
    counts = Counter(str(each.status) for each in findings)
    took_s = time.monotonic() - began_s
    if json:
        say_json(_document(findings, counts, took_s))
    else:
        note(f"{', '.join(f'{counts[x]} {x}' for x in _WORST_FIRST if counts[x])}, {took_s:.1f} s")
    if counts["problem"]:
        bad = dict.fromkeys(each.check for each in findings if each.status == "problem")
        raise UnsoundError(f"{counted(counts['problem'], 'problem')}: {', '.join(bad)}")


def _case(room: Any, given: SettingOptions, config: Path | None) -> Any:
    """What is examined; settings that cannot be had are a finding, and so are variables."""
    unknown = unknown_variables()
    try:
        settings = import_room("graftscope.server.settings", "server")
        with translated("graftscope."):
            chosen = settings.configure(given.values(), config).settings
    except MissingExtraError:
        return room.Case(unknown=unknown)
    except GraftscopeError as error:
        return room.Case(refused=str(error), unknown=unknown)
    return room.Case(chosen, unknown=unknown)


def _chosen(only: Sequence[str], known: Sequence[str]) -> list[str]:
    chosen = [name for each in only for name in each.split(",") if name]
    if unknown := [name for name in chosen if name not in known]:
        raise InputError(f"--only {unknown[0]!r} is no check; there are: {', '.join(known)}")
    return chosen


@contextmanager
def _told_as_findings() -> Iterator[None]:
    """Keep what a finding says from being said once more as a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionWarning)
        yield


@contextmanager
def _waiting(on_terminal: bool) -> Iterator[Callable[[str], None]]:
    """Tell on a terminal which check is waited for, until it has something to say.

    Yields:
        What takes a check's name, and '' for none.
    """

    def tell(name: str) -> None:
        if on_terminal:
            sys.stderr.write(_CLEAR + (f"{name} ..." if name else ""))
            sys.stderr.flush()

    try:
        yield tell
    finally:
        tell("")


def _say(finding: Any) -> None:
    status = str(finding.status)
    beginning = Text(f"{status:<9}", _STYLES[status])
    lines = [beginning.append(f"{finding.check:<{_INDENT - 9}}{finding.found}", "default")]
    if finding.advice:
        lines.append(Text(f"{'':<{_INDENT}}what to do: {finding.advice}", _STYLES[status]))
    say_lines(lambda width, more_than_ascii: lines)


def _document(findings: Sequence[Any], counts: Counter[str], took_s: float) -> dict[str, object]:
    return {
        "status": next((word for word in _WORST_FIRST if counts[word]), "ok"),
        "problems": counts["problem"],
        "warnings": counts["warning"],
        "seconds": took_s,
        "findings": [
            {
                "check": each.check,
                "status": each.status,
                "found": each.found,
                "advice": each.advice or None,
                "seconds": each.seconds,
            }
            for each in findings
        ],
    }
