"""Interactive calls go ahead of jobs, which keep a share of the processor all the same.

It must not know sessions, models, jobs or gRPC.
"""

import heapq
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

JOB_SHARE = 0.25
"""What jobs keep of the workers, however many interactive calls there are."""

LINGER_S = 0.01
"""After an answer jobs wait this much longer: whoever asks one thing after another asks again."""

LONGEST_S = 5.0
"""A run waits no longer for its turn than this: one that takes so long cannot be hidden anyway."""


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

    While nobody asks, jobs run as they like. While somebody does, their runs go through few gates,
    each of which stays shut after a run until the run's time is the jobs' share of what has passed.
    There are as few gates as the share allows, so that a call meets one run rather than one on
    every worker. Time is the processor's: what calls take of it beside a run is not charged to it.

    Args:
        share: of the workers that jobs keep, above 0; from 1 on they never wait.
        workers: runs of jobs side by side.
        linger_s: how long after the last answer jobs go on waiting.
        clock: seconds.
        spent: seconds of processor that this thread has taken.
        wait: waits on a condition, for so many seconds or for ever, until it is notified.

    Attributes:
        going_on: how many interactive calls wait or run.
    """

    def __init__(
        self,
        share: float = JOB_SHARE,
        workers: int = 1,
        linger_s: float = LINGER_S,
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
        wait: Callable[[threading.Condition, float | None], object] = threading.Condition.wait,
    ) -> None:
        gates = math.ceil(share * workers)
        self._always = share >= 1
        self._part = min(1.0, share * workers / gates)  # of the time that a gate is open
        self._linger_s, self._clock, self._spent, self._wait = linger_s, clock, spent, wait
        self._changed = threading.Condition()
        self.going_on = 0
        self._quiet_from = -math.inf
        self._open_from = [-math.inf] * gates  # a heap
        self._queue: deque[object] = deque()

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

    @contextmanager
    def turn(self, cancellation: Stoppable) -> Iterator[None]:
        """One run of a job, once it may begin.

        Args:
            cancellation: what ends the wait at once.

        Raises:
            Cancelled: the job was cancelled.
        """
        cancellation.check()
        if self._always or not self._pass_gate(cancellation):
            yield
            return
        began, spent = self._clock(), self._spent()
        try:
            yield
        finally:
            ended = self._clock()
            # Where the run was made elsewhere, on a device or in other threads, this thread slept.
            took = max(self._spent() - spent, (ended - began) / 2)
            self._shut_gate(min(began + took / self._part, ended + LONGEST_S))

    def _pass_gate(self, cancellation: Stoppable) -> bool:
        """Waits until a run may begin; whether it took a gate, or found nobody asking."""
        with self._changed:
            if self._is_quiet():
                return False
        woken = cancellation.child(self._wake)
        me = object()
        with self._changed:
            self._queue.append(me)
            try:
                while not cancellation.cancelled and not self._is_quiet():
                    left = self._left(me)
                    if left <= 0:
                        heapq.heappop(self._open_from)
                        return True
                    self._wait(self._changed, None if left == math.inf else left)
            finally:
                self._queue.remove(me)
                self._changed.notify_all()
        del woken
        cancellation.check()
        return False

    def _shut_gate(self, until: float) -> None:
        with self._changed:
            heapq.heappush(self._open_from, until)
            self._changed.notify_all()

    def _is_quiet(self) -> bool:
        return not self.going_on and self._clock() >= self._quiet_from

    def _left(self, me: object) -> float:
        """Seconds that are to be waited if nothing changes; the first in the queue takes a gate."""
        now = self._clock()
        quiet = math.inf if self.going_on else self._quiet_from - now
        is_first = self._queue[0] is me and self._open_from
        return min(quiet, self._open_from[0] - now) if is_first else quiet

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
