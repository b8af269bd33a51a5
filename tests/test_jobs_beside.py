"""What is made beside a job takes a bounded share of its time, once for all who ask alike."""

import asyncio

import pytest

from graftscope.server.jobs._beside import (
    SHARE,
    Answer,
    Asked,
    Attempt,
    Beside,
    NoTimeLeft,
)

BOUND = 0.03
"""Of what a job takes, that answers to questions may."""


class Clock:
    """Seconds that pass where somebody says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Finder:
    """Takes its time, and gives up where it has not so much."""

    def __init__(self, clock: Clock, takes_s: float) -> None:
        self.calls, self.answers = 0, 0
        self._clock, self._takes_s = clock, takes_s

    async def __call__(self, attempt: Attempt) -> int:
        self.calls += 1
        await asyncio.sleep(0)
        attempt.took_s = min(attempt.may_s, self._takes_s)
        self._clock.now_s += attempt.took_s
        if attempt.may_s < self._takes_s:
            raise NoTimeLeft
        self.answers += 1
        return self.answers


async def settle(asked: Asked) -> None:
    while asked.making is not None:
        await asyncio.sleep(0)


def nothing() -> None:
    """Nobody hears of news."""


@pytest.mark.parametrize("takes_s", [0.01, 0.4, 3.0, 20.0, 1e6])
async def test_answers_never_take_more_than_their_share_however_slow_they_are(
    takes_s: float,
) -> None:
    clock = Clock()
    beside, finder = Beside(nothing, clock), Finder(clock, takes_s)
    with beside.asking("modules") as asked:
        for shard in range(1, 3000):
            beside.allowance.earn(1.0)
            beside.consider(asked, shard, finder, takes_s=0.3)
            await settle(asked)
            assert beside.allowance.spent_s <= BOUND * beside.allowance.earned_s
    # It is asked anew with twice as much time, until that is enough.
    assert (finder.answers > 0) == (takes_s < SHARE * 3000)
    assert not finder.answers or asked.answer is not None
    assert finder.answers or asked.put_off


async def test_half_of_what_a_job_is_foreseen_to_earn_may_be_spent_at_once() -> None:
    clock = Clock()
    beside, finder = Beside(nothing, clock), Finder(clock, 1.0)
    beside.allowance.earn(1.0)
    with beside.asking("modules") as asked:
        beside.allowance.foresee(done=10, to_go=700)
        beside.consider(asked, 1, finder, takes_s=1.0)
        assert asked.making is None
        beside.allowance.foresee(done=10, to_go=990)
        beside.consider(asked, 1, finder, takes_s=1.0)
        await settle(asked)
        assert asked.answer == Answer(1, 1)
        # At the end of the job it has taken its share and no more.
        for shard in range(2, 101):
            beside.allowance.earn(1.0)
            beside.allowance.foresee(done=shard, to_go=100 - shard)
            beside.consider(asked, shard, finder)
            await settle(asked)
    assert beside.allowance.spent_s == 2.0 <= SHARE * 100


async def test_two_who_ask_the_same_have_one_answer_of_one_computation() -> None:
    clock, told = Clock(), list[int]()
    beside, finder = Beside(lambda: told.append(1), clock), Finder(clock, 0.1)
    beside.allowance.earn(100)
    with beside.asking("modules") as first, beside.asking("modules") as second:
        assert first is second
        for _ in range(2):
            beside.consider(first, 7, finder)
            beside.consider(second, 7, finder)
            await settle(first)
    assert finder.calls == 1
    assert first.answer == Answer(7, 1)
    assert told == [1]


async def test_with_the_last_who_asks_goes_what_is_being_made() -> None:
    ended = list[str]()

    async def endless(attempt: Attempt) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    beside = Beside(nothing, Clock())
    beside.allowance.earn(100)
    with beside.asking("modules") as asked:
        with beside.asking("modules"):
            beside.consider(asked, 1, endless)
            await asyncio.sleep(0)
        assert not ended
    while asked.making is not None:
        await asyncio.sleep(0)
    assert ended == ["cancelled"]


async def test_a_cheap_question_keeps_no_dear_one_from_its_answer() -> None:
    clock = Clock()
    beside, cheap, dear = Beside(nothing, clock), Finder(clock, 0.02), Finder(clock, 2.0)
    with beside.asking("cheap") as often, beside.asking("dear") as rarely:
        for shard in range(1, 400):
            beside.allowance.earn(1.0)
            for asked, finder, takes_s in ((often, cheap, 0.0), (rarely, dear, 2.0)):
                beside.consider(asked, shard, finder, takes_s=takes_s)
                await settle(asked)
    assert cheap.answers > 100
    assert dear.answers >= 2
    assert beside.allowance.spent_s <= BOUND * beside.allowance.earned_s


async def test_the_first_answer_can_be_had_at_once_and_later_ones_make_up_for_it() -> None:
    clock = Clock()
    beside = Beside(nothing, clock)

    async def make(attempt: Attempt) -> str:
        attempt.took_s = 1.0
        return "made"

    with beside.asking("result") as asked:
        beside.consider(asked, 1, make, first_at_once=True)
        assert await beside.settled(asked) == Answer(1, "made")
        for shard in range(2, 50):
            beside.allowance.earn(1.0)
            beside.consider(asked, shard, make, first_at_once=True)
            await settle(asked)
            assert (asked.answer == Answer(1, "made")) == (SHARE * (shard - 1) <= 2.0)


async def test_why_there_is_no_answer_is_said() -> None:
    async def fail(attempt: Attempt) -> None:
        raise ValueError("there is no memory")

    beside = Beside(nothing, Clock())
    beside.allowance.earn(100)
    with beside.asking("modules") as asked:
        beside.consider(asked, 1, fail)
        with pytest.raises(ValueError, match="no memory"):
            await beside.settled(asked)
        beside.consider(asked, 1, fail)
        assert asked.making is None, "what has failed is not tried again at once"
    assert asked.put_off == "there is no memory"
