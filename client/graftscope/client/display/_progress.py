"""How far a job is, as one line of a notebook's cell that is drawn over again.

IPython is never imported: where a notebook runs, it is loaded. It must not know how jobs are
followed.
"""

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from graftscope.client.display._advance import of_job, reached
from graftscope.client.display._cards import escaped
from graftscope.client.values import Job
from graftscope.client.words import counted, duration

_FIRST_S = 0.5
"""What takes less shows nothing at all."""

_EVERY_S = 0.2


class Handle(Protocol):
    """Something that was shown, and can be shown anew in its place."""

    def update(self, shown: object) -> None:
        """Show this instead."""


class Line:
    """A line with a bar, or without one.

    Args:
        words: What it says.
        share: How full the bar is, 0 to 1; None for no bar.
    """

    def __init__(self, words: str, share: float | None = None) -> None:
        self._words, self._share = words, share

    def __repr__(self) -> str:
        """Say it, where nothing but text is shown."""
        return self._words

    def _repr_html_(self) -> str:
        bar = ""
        if self._share is not None:
            bar = f'<progress value="{self._share:.3f}" max="1" style="width:12em"></progress> '
        return f'<div style="color:inherit;font-size:13px">{bar}{escaped(self._words)}</div>'


class NotebookProgress:
    """Shows how far one job is, and in the end how long it took.

    Args:
        display: IPython's, which gives a handle where it is asked for a `display_id`.
        clock: Tells seconds.
    """

    def __init__(
        self, display: Callable[..., Handle], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._display, self._clock = display, clock
        self._began_s = clock()
        self._due_s = self._began_s + _FIRST_S
        self._handle: Handle | None = None

    def take(self, job: Job) -> None:
        """Take a state, and show it if it is time."""
        if self._clock() < self._due_s:
            return
        self._due_s = self._clock() + _EVERY_S
        advance = of_job(job)
        words = f"{_named(job)}: {reached(job)} {advance.words()}".rstrip()
        self._show(Line(words, advance.done / advance.total if advance.total else 0.0))

    def end(self, job: Job | None, why: str = "") -> None:
        """Say what came of it, if anything was shown, or if there is something to say.

        Args:
            job: Its last state; None where there was none.
            why: Why it is not followed to its end; empty where it was.
        """
        if job is None or not (why or self._handle):
            return
        took = duration(self._clock() - self._began_s)
        done = f": {counted(job.pairs_done, 'pair')}" if job.pairs else ""
        self._show(Line(why or f"{_named(job)}{done} in {took}"))

    def _show(self, line: Line) -> None:
        if self._handle is None:
            self._handle = self._display(line, display_id=True)
        else:
            self._handle.update(line)


def _named(job: Job) -> str:
    return f"{job.kind.value} of {job.layer}" if job.layer else job.kind.value


def notebook_progress() -> NotebookProgress | None:
    """Make what shows progress, where this runs in a notebook's kernel; None elsewhere."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None:
        return None
    return NotebookProgress(ipython.display.display)
