"""Progress on standard error: a bar on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from graftscope.client.cli._output import note
from graftscope.client.cli._quiet import is_quiet
from graftscope.client.display import Advance

EVERY_S = 5.0
"""Seconds between two lines where there is no terminal."""

Shown = Callable[[Advance], None]


@contextmanager
def shown(label: str, unit: str) -> Iterator[Shown]:
    """Show progress for as long as this lasts.

    Args:
        label: What goes on, such as ``influence``.
        unit: What is counted, such as ``shards``.

    Yields:
        What takes each state.
    """
    if is_quiet():
        yield lambda advance: None
    elif sys.stderr.isatty():
        with _bar(label, unit) as take:
            yield take
    else:
        yield Lines(label, unit)


@contextmanager
def _bar(label: str, unit: str) -> Iterator[Shown]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[words]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=None, unit=unit, words="")

        def take(advance: Advance) -> None:
            progress.update(
                task,
                description=f"{label}: {advance.stage}" if advance.stage else label,
                completed=advance.done,
                total=advance.total or None,
                unit=f"{unit} at most" if advance.at_most else unit,
                words=advance.words(),
            )

        yield take


class Lines:
    """Plain lines, at most one every few seconds, and one when the stage changes.

    Args:
        label: What goes on.
        unit: What is counted.
        clock: Tells seconds.
    """

    def __init__(self, label: str, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._label, self._unit, self._clock = label, unit, clock
        self._stage = ""
        self._due_s = clock() + EVERY_S

    def __call__(self, advance: Advance) -> None:
        """Take a state, and print it if it is time."""
        if advance.stage == self._stage and self._clock() < self._due_s:
            return
        self._stage, self._due_s = advance.stage, self._clock() + EVERY_S
        stage = f" {advance.stage}:" if advance.stage else ""
        most = "at most " if advance.at_most else ""
        of = f" of {most}{advance.total:,}" if advance.total else ""
        words = advance.words()
        comma = "" if advance.known or not words else ","
        note(f"{self._label}:{stage} {advance.done:,}{of} {self._unit}{comma} {words}".rstrip())
