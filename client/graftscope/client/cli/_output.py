"""What a verb says: its result on standard output, everything else on standard error."""

import json
import math
import os
import sys
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from pathlib import Path

import numpy as np
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from graftscope.client.cli._quiet import is_quiet
from graftscope.client.errors import GraftscopeError, OutputError
from graftscope.client.models import Json
from graftscope.client.values import Execution, Precision
from graftscope.client.words import size

LARGE_BYTES = 50_000_000
"""From this size on, what is moved is told first."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell in one line that something was not written, and what the system says of it.

    Args:
        path: What is written.

    Raises:
        OutputError: If the system refuses, because the disk is full for example.
    """
    try:
        yield
    except GraftscopeError:
        raise
    except OSError as error:
        what = error.filename2 or error.filename
        where = f" ({os.fsdecode(what)!r})" if isinstance(what, str | bytes) else ""
        why = error.strerror or error
        raise OutputError(f"{str(path)!r} was not written: {why}{where}") from error


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
    open_address(page.resolve().as_uri(), str(page))


def open_address(address: str, called: str) -> None:
    """Show an address in the user's browser, or say that there is none, and what to open."""
    if not webbrowser.open(address):
        note(f"no browser was found: open {called} yourself")


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


def written(path: Path | None) -> str:
    """End a sentence with where arrays went, if anywhere."""
    return f" -> {path}" if path else ""


def tell_how(execution: Execution, told: str = "") -> None:
    """Say what ran, where that was not float32, and how far it is from that."""
    if execution.precision not in (None, Precision.FP32):
        distance = told or execution.deviation
        say(f"computed in {execution.precision} by {execution.provider}: {distance}")
