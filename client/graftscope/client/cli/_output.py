"""What a verb says: its result on standard output, everything else on standard error."""

import json
import math
import sys
import webbrowser
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path

import numpy as np
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from graftscope.client.cli._quiet import is_quiet
from graftscope.client.models import Json
from graftscope.client.values import Execution, Precision

LARGE_BYTES = 50_000_000
"""From this size on, what is moved is told first."""


def say(result: RenderableType) -> None:
    """Print a result for people on standard output."""
    _console().print(result, soft_wrap=isinstance(result, str))


def say_lines(make: Callable[[int, bool], Iterable[Text]]) -> None:
    """Print lines on standard output that are made for its width.

    Args:
        make: Takes the width in columns, and whether more than ASCII can be written.
    """
    console = _console()
    encoding = console.encoding.lower().replace("-", "")
    for line in make(console.width, encoding.startswith("utf")):
        console.print(line, no_wrap=True, overflow="ignore", crop=False)


def _console() -> Console:
    # A pipe is not 80 columns wide: nothing may be cut or wrapped there.
    width = None if sys.stdout.isatty() else 10_000
    return _PipedConsole(highlight=False, width=width)


class _PipedConsole(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to whoever ends the command, which rich would end here."""
        raise BrokenPipeError


def say_code(code: str) -> None:
    """Print code on standard output as it is: nothing in it is markup."""
    sys.stdout.write(code.rstrip("\n") + "\n")


def say_json(document: Mapping[str, object]) -> None:
    """Print a result for programs on standard output: one JSON document."""
    sys.stdout.write(json.dumps(plain(document), allow_nan=False) + "\n")


def note(message: str) -> None:
    """Print a line for people on standard error, unless the command is to be quiet."""
    if is_quiet():
        return
    sys.stderr.write(message + "\n")


def open_page(page: Path) -> None:
    """Show a page in the user's browser, or say that there is none."""
    if not webbrowser.open(page.resolve().as_uri()):
        note(f"no browser was found: open {page} yourself")


def plain(value: object) -> Json:
    """Turn a value into what JSON knows; numbers that it does not know become null."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Enum):
        value = value.value
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case Sequence():
            return [plain(each) for each in value]
        case _:
            return value.isoformat() if isinstance(value, datetime) else str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Make a table of text, the first column to the left and numbers to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    return made


def tell_large(what: str, count_bytes: int) -> None:
    """Say that something large is going to be moved, before it is."""
    if count_bytes >= LARGE_BYTES:
        note(f"{what}: {size(count_bytes)}")


def counted(number: int, thing: str) -> str:
    """Put a number before what it counts: 1 hybrid, 8 hybrids, 1,000 pairs."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def number(value: float, digits: int = 2) -> str:
    """Put a number in words, and one that there is none of as a dash."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def with_spread(value: float, spread: float, digits: int = 2) -> str:
    """Put a number and its spread in words: 0.93 ± 0.04."""
    return f"{number(value, digits)} ± {number(spread, digits)}"


def written(path: Path | None) -> str:
    """End a sentence with where arrays went, if anywhere."""
    return f" -> {path}" if path else ""


def rounded(value: float) -> str:
    """Put an amount in two or three digits: 0.12, 3.4, 56, 1.2 k, 340 M; a dash for 0, unknown."""
    if value == 0:
        return "-"
    for unit in ("", " k", " M", " G"):
        if value < 999.5 or unit == " G":
            break
        value /= 1000
    return (f"{value:.0f}" if value >= 9.95 else f"{value:.2g}") + unit


def duration(seconds: float) -> str:
    """Put a duration in words: 0.4 s, 12 s, 3 min, 2.5 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def when(time: datetime | None) -> str:
    """Put a time in words, in the user's zone: 2024-05-06 12:30:00."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else "-"


def size(count: float) -> str:
    """Put a number of bytes in words: 512 B, 1.5 kB, 4.2 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def tell_how(execution: Execution, told: str = "") -> None:
    """Say what ran, where that was not float32, and how far it is from that."""
    if execution.precision not in (None, Precision.FP32):
        distance = told or execution.deviation
        say(f"computed in {execution.precision} by {execution.provider}: {distance}")
