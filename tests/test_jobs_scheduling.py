"""Workers are shared fairly over principals, and jobs have their places in turn."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from graftscope.server.jobs._accounts import Accounts
from graftscope.server.jobs._lanes import Lane, Place
from graftscope.server.jobs._scheduling import FairWorkers, Flow

TIMEOUT_S = 10.0


@dataclass
class Work:
    """Pieces that take time on a clock of their own, and the order in which they were done."""

    now: float = 0.0
    done: list[str] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def workers(self) -> Iterator[FairWorkers]:
        """One worker, which begins once the block is left."""
        workers = FairWorkers(1, "test", clock=lambda: self.now)
        held = workers.flow("nobody").submit(self.hold)
        assert self.held.wait(TIMEOUT_S)
        yield workers
        self.let_go.set()
        held.result(TIMEOUT_S)
        workers.shutdown()

    def hold(self) -> None:
        self.held.set()
        assert self.let_go.wait(TIMEOUT_S)

    def pieces(self, flow: Flow, name: str, count: int, seconds: float = 1.0) -> None:
        for _ in range(count):
            flow.submit(self.piece, name, seconds)

    def piece(self, name: str, seconds: float) -> None:
        self.now += seconds
        self.done.append(name)

    @property
    def order(self) -> str:
        return "".join(self.done)


def test_another_principals_job_begins_after_the_piece_that_goes_on() -> None:
    work = Work()
    with work.workers() as workers:
        for _ in range(100):
            work.pieces(workers.flow("many"), "m", 3)
        work.pieces(workers.flow("one"), "o", 3)
    assert work.order.startswith("mo")
    assert work.order[:6] == "momomo"


def test_principals_are_served_by_time_and_not_by_pieces() -> None:
    work = Work()
    with work.workers() as workers:
        work.pieces(workers.flow("long"), "L", 10, seconds=3.0)
        work.pieces(workers.flow("short"), "s", 30, seconds=1.0)
    half = work.order[:20]
    assert 3 * half.count("L") == pytest.approx(half.count("s"), abs=3)


def test_jobs_of_one_principal_have_no_more_than_one_job_of_another() -> None:
    work = Work()
    with work.workers() as workers:
        for name in "ab":
            work.pieces(workers.flow("many"), name, 10)
        work.pieces(workers.flow("one"), "o", 10)
    first = work.order[:20]
    assert first.count("o") == 10
    assert first.count("a") == first.count("b") == 5


def test_the_pieces_of_a_job_are_taken_in_their_order() -> None:
    taken: list[int] = []
    work = Work()
    with work.workers() as workers:
        flow = workers.flow("one")
        for i in range(20):
            flow.submit(taken.append, i)
    assert taken == list(range(20))


def test_nobody_saves_up_time_and_nobody_owes_it() -> None:
    accounts = Accounts[str]()

    def serve(seconds: float) -> str:
        who = accounts.next()
        assert who is not None
        accounts.begins(who, seconds)
        accounts.ends(who, 0.0)
        return who

    for _ in range(1000):
        accounts.asks("alone")
        serve(1.0)
    for _ in range(10):
        accounts.asks("alone")
        accounts.asks("new")
    # The new one neither waits for all that the other had, nor has it all for itself.
    served = [serve(1.0) for _ in range(20)]
    assert abs(served[:10].count("new") - 5) <= 1
    for _ in range(3):
        accounts.asks("last")
        serve(1.0)
    assert len(accounts) <= 2


def test_a_piece_that_is_wanted_no_more_is_never_done() -> None:
    work = Work()
    with work.workers() as workers:
        flow = workers.flow("one")
        unwanted = flow.submit(work.piece, "x", 1.0)
        work.pieces(flow, "o", 2)
        assert unwanted.cancel()
    assert work.order == "oo"


def test_what_waits_is_dropped_when_the_workers_end() -> None:
    work = Work()
    workers = FairWorkers(1, "test")
    held = workers.flow("one").submit(work.hold)
    assert work.held.wait(TIMEOUT_S)
    waits = workers.flow("one").submit(work.piece, "x", 1.0)
    ending = threading.Thread(target=workers.shutdown, kwargs={"cancel_futures": True})
    ending.start()
    while not waits.cancelled():
        pass
    work.let_go.set()
    ending.join(TIMEOUT_S)
    assert held.done()
    assert not work.done


def test_an_error_is_the_pieces_own() -> None:
    workers = FairWorkers(1, "test")
    failed = workers.flow("one").submit(lambda: 1 // 0)
    assert isinstance(failed.exception(TIMEOUT_S), ZeroDivisionError)
    assert workers.flow("one").submit(lambda: 3).result(TIMEOUT_S) == 3
    workers.shutdown()


@dataclass(eq=False)
class Waiting:
    """A job in a lane."""

    lane: Lane
    principal: str
    left: float = 100.0
    ahead: list[int] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    async def begin(self) -> "Waiting":
        self.task = asyncio.create_task(self._run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self

    async def end(self) -> None:
        assert self.task is not None
        self.over.set()
        await self.task
        await asyncio.sleep(0)

    async def _run(self) -> None:
        async with self.lane.place(Place(self.principal, lambda: self.left, self.ahead.append)):
            await self.over.wait()


async def test_a_principals_jobs_follow_one_another_and_say_how_many_are_before_them() -> None:
    lane = Lane(most=8, each=2)
    jobs = [await Waiting(lane, "one").begin() for _ in range(3)]
    assert [job.ahead for job in jobs] == [[0], [1], [2]]
    await jobs[0].end()
    assert [job.ahead for job in jobs] == [[0], [1, 0], [2, 1]]
    for job in jobs[1:]:
        await job.end()
    assert jobs[2].ahead == [2, 1, 0]


async def test_jobs_of_others_go_on_beside_them() -> None:
    lane = Lane(most=8)
    many = [await Waiting(lane, "many").begin() for _ in range(100)]
    other = await Waiting(lane, "one").begin()
    assert other.ahead == [0]
    assert many[-1].ahead == [99]
    for job in (*many, other):
        await job.end()


async def test_a_short_job_has_room_beside_a_long_one() -> None:
    lane = Lane(most=8, each=2)
    long = await Waiting(lane, "one", left=100).begin()
    like_it = await Waiting(lane, "one", left=50).begin()
    short = await Waiting(lane, "one", left=5).begin()
    shorter = await Waiting(lane, "one", left=1).begin()
    assert [job.ahead for job in (long, like_it, short, shorter)] == [[0], [1, 2], [0], [3]]
    await short.end()
    assert shorter.ahead == [3, 0]
    # Once the long one has ended, the next goes beside what is short against it.
    await long.end()
    assert like_it.ahead == [1, 2, 0]
    for job in (shorter, like_it):
        await job.end()


async def test_where_all_places_are_taken_one_of_them_has_to_end() -> None:
    lane = Lane(most=1)
    first = await Waiting(lane, "first").begin()
    again = await Waiting(lane, "first").begin()
    other = await Waiting(lane, "other").begin()
    assert (again.ahead, other.ahead) == ([1], [1])
    await first.end()
    # Both have no place; who came first has it.
    assert (again.ahead, other.ahead) == ([1, 0], [1])
    await again.end()
    await other.end()


async def test_whoever_waits_no_more_leaves_no_gap() -> None:
    lane = Lane(most=8)
    jobs = [await Waiting(lane, "one").begin() for _ in range(3)]
    assert jobs[1].task is not None
    jobs[1].task.cancel()
    await asyncio.wait([jobs[1].task])
    assert jobs[2].ahead == [2, 1]
    await jobs[0].end()
    await jobs[2].end()
    assert jobs[2].ahead == [2, 1, 0]
