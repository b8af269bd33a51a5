"""Interactive calls go ahead of jobs: a job's next run waits while somebody waits for an answer.

It must not know sessions, models, jobs or gRPC.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

PATIENCE_S = 0.25
"""For how long a run of a job waits at most, so that jobs never starve."""

LINGER_S = 0.01
"""After an answer jobs wait this much longer: whoever asks one thing after another asks again."""


class Stoppable(Protocol):
    """What may end a wait: `Cancellation`."""

    @property
    def cancelled(self) -> bool:
        """Whether it was stopped."""

    def check(self) -> None:
        """Raises if it was stopped."""

    def child(self, then: Callable[[], None]) -> object:
        """Something that is held for as long as `then` is to be called when it is stopped."""


class Turns:
    """Who goes first where interactive calls and jobs share the processor.

    Args:
        patience_s: for how long one run of a job waits at most; 0 for not at all.
        linger_s: how long after the last answer jobs go on waiting.
        clock: seconds.

    Attributes:
        going_on: how many interactive calls wait or run.
    """

    def __init__(
        self,
        patience_s: float = PATIENCE_S,
        linger_s: float = LINGER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience_s, self._linger_s, self._clock = patience_s, linger_s, clock
        self._changed = threading.Condition()
        self.going_on = 0
        self._quiet_from = -float("inf")

    def enter(self) -> None:
        """An interactive call begins."""
        with self._changed:
            self.going_on += 1

    def leave(self) -> None:
        """It ends."""
        with self._changed:
            self.going_on -= 1
            if not self.going_on:
                self._quiet_from = self._clock() + self._linger_s
                self._changed.notify_all()

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """An interactive call, for as long as the block lasts."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def wait(self, cancellation: Stoppable) -> None:
        """Lets interactive calls go first: called before each run of a job.

        Args:
            cancellation: what ends the wait at once.

        Raises:
            Cancelled: the job was cancelled.
        """
        cancellation.check()
        if self._is_quiet():
            return
        woken = cancellation.child(self._wake)
        until = self._clock() + self._patience_s
        with self._changed:
            while (left := self._left(until)) > 0 and not cancellation.cancelled:
                self._changed.wait(left)
        del woken
        cancellation.check()

    def _is_quiet(self) -> bool:
        return not self._patience_s or (not self.going_on and self._clock() >= self._quiet_from)

    def _left(self, until: float) -> float:
        """Seconds that are to be waited if nothing changes."""
        if self.going_on:
            return until - self._clock()
        return min(until, self._quiet_from) - self._clock()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
