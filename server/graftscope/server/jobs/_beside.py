"""What is answered about a job while it goes on, at a bounded cost and once for all who ask alike.

Answers are made beside the job's shards, which never wait for them. All together may take a share
of the time that the shards take, which a clock of their own tells; what would take more is put off.
Some of it may be spent in advance, where it is foreseen how long the job goes on. It belongs to the
event loop, and must not know what is asked, or how jobs run.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any

SHARE = 0.025
"""Of the time of a job's shards, what answers may take: under 3 %, with what is not counted."""

# Of what a job is foreseen to earn still, what may be spent at once. The more, the sooner there are
# answers; the less, the better the share is kept to where the job ends before its time.
_ADVANCE = 0.5

# Answers that nobody waits for any more, and that the next who asks finds.
_KEPT = 8

# After a failure that may pass, such as no memory.
_RETRY_S = 1.0


class NoTimeLeft(Exception):
    """An answer was given up, because making it took longer than it may."""


class Allowance:
    """How long may be spent beside a job. Shards earn it, in any thread; answers spend it.

    Args:
        share: of what is earned.
    """

    def __init__(self, share: float = SHARE) -> None:
        self._share, self._earned_s, self._spent_s = share, 0.0, 0.0
        self._foreseen_s = 0.0
        self._lock = Lock()

    @property
    def earned_s(self) -> float:
        """What shards took."""
        return self._earned_s

    @property
    def spent_s(self) -> float:
        """What answers took."""
        return self._spent_s

    @property
    def total_s(self) -> float:
        """What may be spent in all by now."""
        return self._share * (self._earned_s + _ADVANCE * self._foreseen_s)

    @property
    def left_s(self) -> float:
        """What is left of it; below 0 where more was spent."""
        return self.total_s - self._spent_s

    def earn(self, seconds: float) -> None:
        """Takes note of a shard: what it took of a processor."""
        with self._lock:
            self._earned_s += seconds

    def foresee(self, done: float, to_go: float) -> None:
        """Takes note of how much of the job there is still to come, in whatever unit.

        Args:
            done: by what has been earned so far.
            to_go: not more than there surely is, where a job may end early.
        """
        self._foreseen_s = self._earned_s * to_go / done if done else 0.0

    def spend(self, seconds: float) -> None:
        """Takes note of an answer."""
        self._spent_s += seconds

    def said(self, needed_s: float, missing_s: float) -> str:
        """Why something has to wait."""
        return (
            f"it takes about {needed_s:.2g} s, and at most {self._share:.1%} of a job's time may "
            f"be spent so; this one has to compute for {missing_s / self._share:.2g} s more"
        )


@dataclass
class Attempt:
    """An answer that is being made.

    Attributes:
        may_s: what it may take; one that cannot be ended is made all the same, and the next waits
            for longer.
        took_s: what it has taken, for whoever makes it to tell: processor time, for that is what
            the job goes without.
    """

    may_s: float
    took_s: float = 0.0

    @contextmanager
    def timed(self, clock: Callable[[], float] = time.thread_time) -> Iterator[None]:
        """Counts the block: what this thread computes in it, or what another clock tells."""
        started_s = clock()
        try:
            yield
        finally:
            self.took_s += clock() - started_s


Make = Callable[[Attempt], Awaitable[object]]
"""Makes an answer, or raises NoTimeLeft."""


@dataclass(frozen=True)
class Answer:
    """What was answered, and of how many shards."""

    shards: int
    value: Any


@dataclass(eq=False)
class Asked:
    """A question that somebody asks.

    Attributes:
        answer: the latest; None before the first.
        put_off: why there is none of more shards; '' where there is no reason.
        askers: how many ask.
        waits: whether there was too little time left for an answer that is due.
        failure: what the latest attempt met, if it failed.
        making: what makes the next answer, if anything does.
    """

    answer: Answer | None = None
    put_off: str = ""
    failure: Exception | None = None
    askers: int = 0
    waits: bool = False
    making: "asyncio.Task[None] | None" = None
    spent_s: float = 0.0
    takes_s: float = 0.0
    not_before_s: float = float("-inf")


class Beside:
    """Answers about one job.

    Args:
        tell: called when there is news for those who ask.
        clock: seconds that only grow.

    Attributes:
        allowance: what answers may take together.
    """

    def __init__(
        self, tell: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.allowance = Allowance()
        self._tell, self._clock = tell, clock
        # The question that was asked last comes last.
        self._asked: dict[Hashable, Asked] = {}

    @contextmanager
    def asking(self, question: Hashable) -> Iterator[Asked]:
        """For as long as somebody asks; with the last of them goes what is being made."""
        asked = self._asked[question] = self._asked.pop(question, Asked())
        asked.askers += 1
        try:
            yield asked
        finally:
            asked.askers -= 1
            if not asked.askers:
                asked.waits = False
                if asked.making is not None:
                    asked.making.cancel()
            self._forget()

    def consider(
        self,
        asked: Asked,
        shards: int,
        make: Make,
        *,
        every_s: float = 0.0,
        takes_s: float = 0.0,
        turn: AbstractAsyncContextManager[object] | None = None,
        first_at_once: bool = False,
    ) -> None:
        """Begins to make an answer, unless one is being made, or it is not time yet.

        Args:
            asked: the question.
            shards: of how many the answer would be.
            make: makes it.
            every_s: seconds between two answers, at least.
            takes_s: what making it is thought to take, at least.
            turn: what is waited for first; that takes nothing.
            first_at_once: whether the first is made whatever it takes; later ones make up for it.
        """
        is_known = asked.answer is not None and asked.answer.shards == shards
        if is_known or asked.making is not None or self._clock() < asked.not_before_s:
            return
        takes_s, may_s = max(asked.takes_s, takes_s), self._may_s(asked)
        asked.waits = may_s <= takes_s and not (first_at_once and asked.answer is None)
        if asked.waits:
            # Before anything was tried there is nothing to complain of.
            if asked.takes_s and not asked.put_off:
                asked.put_off = self.allowance.said(takes_s, takes_s - may_s)
            return
        making = self._make(asked, shards, make, every_s, turn or nullcontext())
        asked.making = asyncio.ensure_future(making)

    @staticmethod
    async def settled(asked: Asked) -> Answer | None:
        """The answer, with the one that is being made, if one is.

        Raises:
            Exception: there is none, and this is why the latest attempt failed.
        """
        if asked.making is not None:
            await asyncio.wait({asked.making})
        if asked.answer is None and asked.failure is not None:
            raise asked.failure
        return asked.answer

    async def _make(
        self,
        asked: Asked,
        shards: int,
        make: Make,
        every_s: float,
        turn: AbstractAsyncContextManager[object],
    ) -> None:
        try:
            async with turn:
                await self._made(asked, shards, make, every_s)
        finally:
            asked.making = None
            self._tell()

    async def _made(self, asked: Asked, shards: int, make: Make, every_s: float) -> None:
        attempt = Attempt(self._may_s(asked))
        try:
            value = await make(attempt)
        except NoTimeLeft:
            # It is tried again where it may take twice as much.
            asked.takes_s = 2 * max(attempt.may_s, attempt.took_s)
            asked.put_off = self.allowance.said(asked.takes_s, asked.takes_s)
        except Exception as error:
            asked.put_off, asked.failure = str(error), error
            asked.not_before_s = self._clock() + _RETRY_S
        else:
            asked.answer, asked.put_off, asked.failure = Answer(shards, value), "", None
            asked.takes_s = attempt.took_s
            asked.not_before_s = self._clock() + every_s
        finally:
            asked.spent_s += attempt.took_s
            self.allowance.spend(attempt.took_s)

    def _may_s(self, asked: Asked) -> float:
        """Where another has to wait, equal parts: a cheap question keeps no dear one waiting."""
        going_on = [each for each in self._asked.values() if each.askers]
        if not any(each.waits for each in going_on if each is not asked):
            return self.allowance.left_s
        part_s = self.allowance.total_s / len(going_on) - asked.spent_s
        return min(self.allowance.left_s, part_s)

    def _forget(self) -> None:
        silent = [question for question, asked in self._asked.items() if not asked.askers]
        for question in silent[:-_KEPT]:
            del self._asked[question]
