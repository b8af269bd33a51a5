"""Tasks of concurrent calls are made together; what happens to one touches none of the others."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from graftscope.server.engine import Batching, Cancellation, Kind, Turns
from graftscope.server.errors import InvalidInput
from graftscope.server.spans import Fact, Span, enter

TIMEOUT_S = 10.0


@dataclass
class Doubling:
    """Doubles numbers; a run waits until it is let go, and negative ones cannot be run."""

    limit: int = 4
    key: str = "doubling"
    is_open: bool = True
    runs: list[list[int]] = field(default_factory=list)
    cancellations: list[Cancellation] = field(default_factory=list)
    started: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    let_go: threading.Event = field(default_factory=threading.Event)

    @property
    def kind(self) -> Kind[int, int, int]:
        return Kind(self.key, self.limit, self.prepare, self.run, lambda: self.is_open)

    def prepare(self, number: int) -> int:
        if number == 0:
            raise InvalidInput("zero is not allowed")
        return number

    def run(self, numbers: Sequence[int], cancellation: Cancellation) -> Sequence[int]:
        self.runs.append(list(numbers))
        self.cancellations.append(cancellation)
        self.started.release()
        while not self.let_go.wait(0.01):
            cancellation.check()
        if min(numbers) < 0:
            raise InvalidInput("negative numbers are not allowed")
        return [2 * number for number in numbers]


@pytest.fixture
def batching() -> Iterator[Batching]:
    with ThreadPoolExecutor(Batching.threads_of(1)) as executor:
        yield Batching(executor, 1, Turns())


async def begun(doubling: Doubling) -> None:
    """Waits until one more run goes on."""
    assert await asyncio.to_thread(doubling.started.acquire, timeout=TIMEOUT_S)


async def behind_one(
    batching: Batching, doubling: Doubling, numbers: Sequence[int]
) -> tuple["asyncio.Task[int]", list["asyncio.Task[int]"]]:
    """A task that runs, and others that wait behind it."""
    first = asyncio.create_task(batching.make(doubling.kind, 1, 1))
    await begun(doubling)
    others = [asyncio.create_task(batching.make(doubling.kind, x, 1)) for x in numbers]
    while batching.waiting < len(numbers):
        await asyncio.sleep(0)
    return first, others


async def test_a_task_that_finds_a_thread_free_starts_at_once(batching: Batching) -> None:
    doubling = Doubling()
    task = asyncio.create_task(batching.make(doubling.kind, 3, 1))
    await begun(doubling)
    assert (batching.waiting, batching.turns.going_on) == (0, 1)
    doubling.let_go.set()
    assert await task == 6
    assert batching.turns.going_on == 0


async def test_tasks_that_wait_are_made_together_up_to_the_limit(batching: Batching) -> None:
    doubling = Doubling(limit=4)
    first, others = await behind_one(batching, doubling, [2, 3, 4, 5, 6, 7])
    doubling.let_go.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10, 12, 14]
    assert doubling.runs == [[1], [2, 3, 4, 5], [6, 7]]


async def test_tasks_of_different_kinds_are_not_mixed(batching: Batching) -> None:
    doubling, other = Doubling(), Doubling(key="other")
    other.let_go.set()
    first, others = await behind_one(batching, doubling, [2, 3])
    apart = asyncio.create_task(batching.make(other.kind, 5, 1))
    later = asyncio.create_task(batching.make(doubling.kind, 4, 1))
    while batching.waiting < 4:
        await asyncio.sleep(0)
    doubling.let_go.set()
    assert await asyncio.gather(first, *others, apart, later) == [2, 4, 6, 10, 8]
    assert (doubling.runs, other.runs) == ([[1], [2, 3, 4]], [[5]])


@pytest.mark.parametrize("wrong", [0, -3])
async def test_a_task_that_fails_fails_alone(batching: Batching, wrong: int) -> None:
    doubling = Doubling()
    first, others = await behind_one(batching, doubling, [2, wrong, 4])
    doubling.let_go.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert [results[0], results[1], results[3]] == [2, 4, 8]
    assert isinstance(results[2], InvalidInput)


async def test_a_task_that_is_given_up_while_it_waits_is_never_made(batching: Batching) -> None:
    doubling = Doubling()
    first, others = await behind_one(batching, doubling, [2, 3])
    others[0].cancel()
    await asyncio.wait([others[0]])
    doubling.let_go.set()
    assert [await first, await others[1]] == [2, 6]
    assert doubling.runs == [[1], [3]]
    assert batching.turns.going_on == 0


async def test_a_run_goes_on_until_the_last_of_its_callers_gives_up(batching: Batching) -> None:
    doubling = Doubling()
    first, others = await behind_one(batching, doubling, [2, 3])
    first.cancel()
    await begun(doubling)
    assert doubling.runs[-1] == [2, 3]
    assert doubling.cancellations[0].cancelled
    others[0].cancel()
    await asyncio.wait([others[0]])
    assert not doubling.cancellations[-1].cancelled
    others[1].cancel()
    await asyncio.wait([others[1]])
    assert doubling.cancellations[-1].cancelled


async def test_a_thread_is_free_again_after_everything(batching: Batching) -> None:
    doubling = Doubling()
    doubling.let_go.set()
    for number in (1, -1, 0, 2):
        task = asyncio.create_task(batching.make(doubling.kind, number, 1))
        await asyncio.wait([task], timeout=TIMEOUT_S)
        assert task.done()
        assert (task.exception() is None) is (number > 0)


async def waiting(batching: Batching, count: int) -> None:
    while batching.waiting < count:
        await asyncio.sleep(0)


async def test_askers_have_their_turns_in_rounds(batching: Batching) -> None:
    doubling = Doubling(limit=1)
    tasks = [asyncio.create_task(batching.make(doubling.kind, 1, 1, "first"))]
    await begun(doubling)
    for asker, numbers in (("first", range(10, 14)), ("second", (20, 21)), ("third", (30,))):
        tasks += [asyncio.create_task(batching.make(doubling.kind, x, 1, asker)) for x in numbers]
        await waiting(batching, len(tasks) - 1)
    doubling.let_go.set()
    await asyncio.gather(*tasks)
    assert doubling.runs == [[1], [10], [20], [30], [11], [21], [12], [13]]


async def test_a_batch_is_filled_in_rounds_too(batching: Batching) -> None:
    doubling = Doubling(limit=4)
    tasks = [asyncio.create_task(batching.make(doubling.kind, 1, 1, "first"))]
    await begun(doubling)
    for asker, numbers in (("first", range(10, 16)), ("second", (20, 21)), ("third", (30,))):
        tasks += [asyncio.create_task(batching.make(doubling.kind, x, 1, asker)) for x in numbers]
        await waiting(batching, len(tasks) - 1)
    doubling.let_go.set()
    await asyncio.gather(*tasks)
    assert doubling.runs == [[1], [10, 20, 30, 11], [21, 12, 13, 14], [15]]


async def test_what_has_to_be_opened_holds_up_nothing_that_is_open(batching: Batching) -> None:
    plain = Doubling()
    plain.let_go.set()
    closed = [Doubling(key=f"closed {i}", is_open=False) for i in range(5)]
    tasks = [asyncio.create_task(batching.make(x.kind, 1, 1, "rotates")) for x in closed]
    await begun(closed[0])
    assert await batching.make(plain.kind, 2, 1, "plain") == 4
    # Nor another asker's first call, who has a thread to open in.
    new = Doubling(key="new", is_open=False)
    new.let_go.set()
    assert await batching.make(new.kind, 3, 1, "plain") == 6
    assert [len(x.runs) for x in closed] == [1, 0, 0, 0, 0]
    for each in closed:
        each.let_go.set()
    assert await asyncio.gather(*tasks) == [2] * 5


async def test_what_one_asker_makes_by_itself_leaves_another_a_thread(batching: Batching) -> None:
    let_go = threading.Event()
    held = [
        asyncio.create_task(batching.alone(lambda _: let_go.wait(TIMEOUT_S), "many"))
        for _ in range(5)
    ]
    await waiting(batching, 4)
    assert await batching.alone(lambda _: 7, "another") == 7
    let_go.set()
    assert all(await asyncio.gather(*held))


@dataclass
class Heard:
    """A span that keeps what it is told."""

    name: str
    trace: str = "1"
    parts: list[tuple[str, list[str], dict[str, Fact]]] = field(default_factory=list)
    times: list[tuple[int, int]] = field(default_factory=list)
    done: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def note(self, **facts: Fact) -> None:
        raise AssertionError

    def record(
        self,
        name: str,
        began_ns: int,
        ended_ns: int,
        *,
        links: Sequence[Span] = (),
        **facts: Fact,
    ) -> None:
        self.times.append((began_ns, ended_ns))
        self.parts.append((name, [each.name for each in links if isinstance(each, Heard)], facts))
        self.done.release()

    def begin(self, name: str, **facts: Fact) -> Span:
        raise AssertionError

    def begin_apart(self, name: str, **facts: Fact) -> Span:
        raise AssertionError

    def end(self, error: str = "") -> None:
        raise AssertionError


async def test_each_call_of_a_run_hears_how_long_it_waited_and_whom_it_shared_the_run_with(
    batching: Batching,
) -> None:
    doubling, heard = Doubling(), [Heard("first"), Heard("second"), Heard("third")]

    async def asked(span: Heard, number: int) -> int:
        enter(span)
        return await batching.make(doubling.kind, number, 1)

    first = asyncio.create_task(asked(heard[0], 1))
    await begun(doubling)
    others = [asyncio.create_task(asked(span, 2)) for span in heard[1:]]
    await asyncio.sleep(0)
    doubling.let_go.set()
    assert await asyncio.gather(first, *others) == [2, 4, 4]
    for span in heard:
        for _ in ("queue", "run"):
            assert await asyncio.to_thread(span.done.acquire, timeout=TIMEOUT_S)
        (asked_ns, began_ns), (run_ns, ended_ns) = span.times
        assert asked_ns <= began_ns == run_ns <= ended_ns
    alone, *together = [span.parts[1] for span in heard]
    assert alone == ("run", [], {"tasks": 1, "samples": 1, "own_samples": 1})
    shared = {"tasks": 2, "samples": 2, "own_samples": 1}
    assert together == [("run", ["third"], shared), ("run", ["second"], shared)]
