"""Progress on standard error: a bar on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from graftscope.client.cli._output import counted, duration, note
from graftscope.client.cli._quiet import is_quiet
from graftscope.client.values import JobState, RelativeError, Together, Until, bare
from graftscope.client.values import Progress as JobProgress

EVERY_S = 5.0
"""Seconds between two lines where there is no terminal."""


@dataclass(frozen=True)
class Advance:
    """How far something is.

    Args:
        done: Of `total`.
        total: In all, 0 where unknown.
        rate: How fast, in words, empty where unknown.
        eta_s: Seconds to go; None where unknown.
        stage: What is being done, empty where that does not change.
        at_most: Whether the total is the most that there can be.
        at_most_left: Whether the time to go is.
    """

    done: int
    total: int
    rate: str = ""
    eta_s: float | None = None
    stage: str = ""
    at_most: bool = False
    at_most_left: bool = False

    def words(self) -> str:
        """The rate and the time to go."""
        most = "at most " if self.at_most_left else ""
        left = "" if self.eta_s is None else f"{most}{duration(self.eta_s)} left"
        return ", ".join(part for part in (self.rate, left) if part)


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
        of = f" of {most}{advance.total}" if advance.total else ""
        words = advance.words()
        note(
            f"{self._label}:{stage} {advance.done}{of} {self._unit}"
            + (f", {words}" if words else "")
        )


def _waiting(progress: JobProgress) -> str:
    """What a queued job waits for; empty for any other."""
    if progress.state is not JobState.QUEUED:
        return ""
    ahead = progress.jobs_ahead
    return f"waiting for {counted(ahead, 'job')} before it" if ahead else "waiting for its turn"


def of_job(progress: JobProgress, until: Until | None = None) -> Advance:
    """Turn a job's progress into what is shown; a job with a stopping rule may end earlier."""
    rate = f"{progress.hybrids_per_second:,.0f} hybrids/s" if progress.hybrids_per_second else ""
    going = progress.maps - progress.maps_settled
    what = "not settled" if isinstance(until, Together) else "go on"
    race = f"{going} of {counted(progress.maps, 'map')} {what}" if progress.maps else ""
    return Advance(
        done=progress.shards_done,
        total=progress.shards_total,
        rate=_waiting(progress) or ", ".join(filter(None, (race, rate))),
        eta_s=progress.eta_s,
        at_most=until is not None,
        # Relative errors foretell when they will be small enough; labels tell nothing.
        at_most_left=until is not None and not isinstance(bare(until), RelativeError),
    )
