"""How much is taken on at a time: what does not fit is refused at once, and told when to ask again.

A caller may have most of what there is while alone, and an equal part of it beside others. What
only looks something up or stops it is always answered. It must not know what the methods do.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from graftscope.server.access import Work
from graftscope.server.errors import Overloaded, TimedOut

QUEUE_A_WORKER = 64
"""Interactive calls that run or wait, by default: under a second's work of a small generator."""

FEWEST_QUEUED = 256
"""Likewise, at least."""

JOB_CALLS = 256
"""Calls that start jobs and are not answered yet."""

TRANSFERS = 256
"""Uploads and downloads that are open; each has a file open."""

EXPLORATIONS = 256
"""Explorations that are open; of each one run waits or goes on at a time."""

_ALONE = 0.75
"""What one caller may have while nobody else is there: the rest is free for who comes next."""

_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.05, 30.0
# What was measured some fifty answers ago hardly counts any more.
_FADING = 0.98
_FEWEST_MEASURED = 8.0

_CALLED = {
    Work.INTERACTIVE: "calls that are computed while their callers wait",
    Work.EXPLORE: "explorations",
    Work.JOB: "calls that start jobs",
    Work.TRANSFER: "uploads and downloads",
    Work.WATCH: "watches",
}


@dataclass(frozen=True)
class Limits:
    """How many calls of each kind may go on, those that wait included.

    Attributes:
        interactive: computed while their callers wait.
        side_by_side: how many of those run at a time.
        watches: watches and waits.
        jobs: calls that start jobs, until they are answered.
        transfers: uploads and downloads.
        explorations: streams of those who drag.
    """

    interactive: int
    side_by_side: int
    watches: int
    jobs: int = JOB_CALLS
    transfers: int = TRANSFERS
    explorations: int = EXPLORATIONS


class Speed:
    """How fast calls of one kind are answered, from the latest of them.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._busy_s = self._done = 0.0
        self._since_s = clock()

    def begin(self) -> None:
        """A first call begins: until now there was nothing to do."""
        self._since_s = self._clock()

    def answered(self) -> None:
        """A call has ended."""
        now_s = self._clock()
        self._busy_s = _FADING * self._busy_s + now_s - self._since_s
        self._done = _FADING * self._done + 1
        self._since_s = now_s

    @property
    def spacing_s(self) -> float | None:
        """Seconds between two answers while there is something to do; None if not known yet."""
        return self._busy_s / self._done if self._done >= _FEWEST_MEASURED else None


class Lane:
    """Calls of one kind.

    Args:
        called: what they are called in messages.
        limit: how many may go on.
        side_by_side: how many of them are worked on at a time; the others wait.
        clock: seconds.

    Attributes:
        limit: as given.
        entered: how many were taken on since the start.
        refused: how many were not, by why.
    """

    def __init__(
        self, called: str, limit: int, side_by_side: int, clock: Callable[[], float]
    ) -> None:
        self.limit = limit
        self._called, self._side_by_side, self._clock = called, side_by_side, clock
        self._going_on: Counter[str] = Counter()
        self._total = 0
        self._speed = Speed(clock)
        self._promised_s = -float("inf")
        self.entered = 0
        self.refused = Counter[str]()

    @property
    def going_on(self) -> int:
        """How many go on."""
        return self._total

    def enter(self, share: str, left_s: float | None) -> None:
        """Takes a call on.

        Args:
            share: among whom the server divides itself.
            left_s: seconds until the caller's deadline; None for none.

        Raises:
            Overloaded: there is no room, or it would come to its turn too late.
        """
        own, others = self._going_on[share], len(self._going_on) - (share in self._going_on)
        most = int(self.limit * _ALONE) if not others else self.limit // (others + 1)
        if self._total >= self.limit:
            self._refuse("full", f"{self.limit} {self._called} go on; that is the most at a time")
        if own >= max(1, most):
            beside = f"beside {others} other callers" if others else "from one caller"
            self._refuse(
                "share",
                f"{own} of your {self._called} go on; at most {max(1, most)} of {self.limit} are "
                f"taken {beside}",
            )
        wait_s = self._wait_s()
        if left_s is not None and wait_s > left_s:
            self._refuse(
                "deadline",
                f"{self._total} {self._called} go on, which takes {wait_s:.2g} s, and the "
                f"deadline is in {left_s:.2g} s",
            )
        if not self._total:
            self._speed.begin()
            self._promised_s = -float("inf")
        self._going_on[share] += 1
        self._total += 1
        self.entered += 1

    def leave(self, share: str) -> None:
        """A call that was taken on has ended."""
        self._going_on[share] -= 1
        if not self._going_on[share]:
            del self._going_on[share]
        self._total -= 1
        self._speed.answered()

    def _wait_s(self) -> float:
        """Seconds until a call that came now would have its turn, as far as is known."""
        waiting = max(0, self._total - self._side_by_side)
        return waiting * (self._speed.spacing_s or 0.0)

    def _refuse(self, reason: str, why: str) -> None:
        """Each of those that are refused is told a later time, in the pace of the answers."""
        self.refused[reason] += 1
        now_s = self._clock()
        spacing_s = self._speed.spacing_s or _SHORTEST_WAIT_S
        self._promised_s = max(now_s + _SHORTEST_WAIT_S, self._promised_s) + spacing_s
        self._promised_s = min(self._promised_s, now_s + _LONGEST_WAIT_S)
        wait_s = self._promised_s - now_s
        raise Overloaded(f"{why}; ask again in {wait_s:.2g} s", retry_after_s=wait_s)


class Admission:
    """Takes calls on, as many of each kind as the limits allow.

    Args:
        limits: how many.
        clock: seconds.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        most = {
            Work.INTERACTIVE: (limits.interactive, limits.side_by_side),
            Work.JOB: (limits.jobs, 1),
            # These need not wait for each other.
            Work.TRANSFER: (limits.transfers, limits.transfers),
            Work.WATCH: (limits.watches, limits.watches),
            Work.EXPLORE: (limits.explorations, limits.explorations),
        }
        self._lanes = {
            work: Lane(_CALLED[work], limit, side_by_side, clock)
            for work, (limit, side_by_side) in most.items()
        }

    @property
    def lanes(self) -> Mapping[Work, Lane]:
        """The kinds of calls that are limited."""
        return self._lanes

    def going_on(self, work: Work) -> int:
        """How many calls of a kind go on; those that are always answered are not counted."""
        return self._lanes[work].going_on if work in self._lanes else 0

    @contextmanager
    def admitted(self, work: Work, share: str, left_s: float | None) -> Iterator[None]:
        """A call, for as long as the block lasts.

        Args:
            work: its kind.
            share: among whom the server divides itself.
            left_s: seconds until the caller's deadline; None for none.

        Raises:
            Overloaded: there is no room for it.
            TimedOut: nobody waits for its answer any more.
        """
        if left_s is not None and left_s <= 0:
            raise TimedOut("the call's deadline had passed before its turn came")
        lane = self._lanes.get(work)
        if lane is None:
            yield
            return
        lane.enter(share, left_s)
        try:
            yield
        finally:
            lane.leave(share)
