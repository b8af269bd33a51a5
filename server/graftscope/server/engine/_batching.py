"""Tasks of concurrent calls, made in one run where they are of one kind, in rounds over callers.

A task that finds a thread free starts at once. What comes while all threads are busy waits for the
first that is done, and whatever is of its kind by then goes with it: nothing ever waits for
company, and a batch grows with the load, up to its limit. Whose task is next goes round those who
ask, and so does what fills a batch.

What takes long has threads of its own, of which one asker never has all: tasks whose sessions have
to be opened first, and those that are made by themselves. It must not know models, what tasks make,
or gRPC.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar

from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._rounds import Rounds
from graftscope.server.engine._turns import Turns
from graftscope.server.logs import get_logger
from graftscope.server.spans import Span, current, now_ns

_log = get_logger("engine")

_MOST_LINKS = 16
"""Of a run to the calls that it was for too: enough to find one, and few beside the run."""

_OPENING = 2
"""Threads in which sessions are opened for calls: one asker has one of them."""

Task = TypeVar("Task")
Ready = TypeVar("Ready")
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Kind(Generic[Task, Ready, Made]):
    """Tasks that can be made together.

    Attributes:
        key: equal where tasks can.
        limit: how many samples go into one run.
        prepare: what a task needs for itself; where it fails, it fails alone.
        run: makes those that were prepared, and gives what each asked for.
        is_open: whether that can be done at once; where not, something is opened first.
    """

    key: Hashable
    limit: int
    prepare: Callable[[Task], Ready]
    run: Callable[[Sequence[Ready], Cancellation], Sequence[Made]]
    is_open: Callable[[], bool] = lambda: True

    def make(self, task: Task, cancellation: Cancellation) -> Made:
        """Makes one task by itself."""
        return self.run([self.prepare(task)], cancellation)[0]


@dataclass(eq=False)
class _Asked:
    """A task whose caller waits in an event loop, and what came of it."""

    kind: Kind[Any, Any, Any]
    task: object
    samples: int
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    cancellation: Cancellation
    span: Span = field(default_factory=current)
    asked_ns: int = field(default_factory=now_ns)
    holds: Hashable = None
    ready: object = None
    made: object = None
    error: Exception | None = None

    def answer(self) -> None:
        """Tells the caller, in its loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.made)


class _Lane:
    """Threads for tasks that take about as long.

    Args:
        threads: how many there are.
        each: how many of them one asker has at most.

    Attributes:
        waiting: what waits for one of them.
    """

    def __init__(self, threads: int, each: int) -> None:
        self.waiting = Rounds[_Asked]()
        self._free, self._each = threads, each
        self._having: Counter[Hashable] = Counter()

    def starts(self) -> bool:
        """Takes a thread for what waits, if there is one."""
        starts = self._free > 0
        self._free -= starts
        return starts

    def next(self) -> list[_Asked]:
        """A task of who is next, with others of its kind; none gives the thread back."""
        self.waiting.keep(lambda asked: not asked.cancellation.cancelled)
        found = self.waiting.first(lambda asker: self._having[asker] < self._each)
        if found is None:
            self._free += 1
            return []
        asker, head = found
        self._having[asker] += 1
        head.holds = asker
        key, room = head.kind.key, head.kind.limit - head.samples
        others = self.waiting.fill(room, lambda x: x.samples if x.kind.key == key else None)
        return [head, *others]

    def done(self, batch: Sequence[_Asked]) -> None:
        """Its asker may have a thread again."""
        self._having[batch[0].holds] -= 1
        self._having += Counter()  # Forgets those who have none.


class Batching:
    """Makes tasks in threads, those of one kind together.

    Args:
        executor: its threads, `threads_of` so many.
        threads: how many of them runs of several tasks may take.
        turns: told of every task, so that jobs wait.

    Attributes:
        turns: who goes first.
        runs: how many there were.
        tasks: how many were made in them.
    """

    def __init__(self, executor: Executor, threads: int, turns: Turns) -> None:
        self.turns = turns
        self.runs = self.tasks = 0
        self._executor = executor
        self._lock = threading.Lock()
        self._together = _Lane(threads, threads)
        # Whoever asks for forms without end, or for one that never opens, has one thread of two.
        self._opening = _Lane(_OPENING, 1)
        self._apart = _Lane(threads + 1, threads)

    @staticmethod
    def threads_of(threads: int) -> int:
        """How many threads it takes where runs of several tasks take so many."""
        return threads + _OPENING + threads + 1

    @property
    def waiting(self) -> int:
        """How many tasks wait for a thread."""
        return sum(len(lane.waiting) for lane in (self._together, self._opening, self._apart))

    async def make(
        self, kind: Kind[Task, Ready, Made], task: Task, samples: int, asker: Hashable = None
    ) -> Made:
        """Makes a task, with others of its kind where some wait.

        Where the caller is cancelled, the task is dropped; a run stops once the callers of all its
        tasks are.

        Args:
            kind: what it can be made with.
            task: the task.
            samples: how many it has, at most the kind's limit.
            asker: who asks; each is as good as any other.
        """
        lane = self._together if kind.is_open() else self._opening
        return await self._made(lane, kind, task, samples, asker)

    async def alone(self, work: Callable[[Cancellation], Made], asker: Hashable = None) -> Made:
        """Makes something that is no part of any run of others; as `make`.

        Args:
            work: makes it, until it is stopped.
            asker: who asks.
        """
        kind = Kind[None, None, Made](object(), 1, _nothing, lambda _, stop: [work(stop)])
        return await self._made(self._apart, kind, None, 1, asker)

    async def _made(
        self,
        lane: _Lane,
        kind: Kind[Task, Ready, Made],
        task: Task,
        samples: int,
        asker: Hashable,
    ) -> Made:
        loop = asyncio.get_running_loop()
        asked = _Asked(kind, task, samples, loop, loop.create_future(), Cancellation())
        with self.turns.ahead():
            self._submit(lane, asker, asked)
            try:
                made: Made = await asked.future
            except asyncio.CancelledError:
                asked.cancellation.cancel()
                raise
        return made

    def _submit(self, lane: _Lane, asker: Hashable, asked: _Asked) -> None:
        with self._lock:
            lane.waiting.add(asker, asked)
            starts = lane.starts()
        if starts:
            self._executor.submit(self._serve, lane)

    def _serve(self, lane: _Lane) -> None:
        """Makes what waits until nothing does."""
        while batch := self._next(lane):
            began_ns = now_ns()
            _make(batch)
            ended_ns = now_ns()
            ms = round(1e-6 * (ended_ns - began_ns), 1)
            samples = sum(asked.samples for asked in batch)
            _log.debug("run", tasks=len(batch), samples=samples, ms=ms, waiting=self.waiting)
            with self._lock:
                lane.done(batch)
                self.runs += 1
                self.tasks += len(batch)
            _answer(batch)
            _tell(batch, samples, began_ns, ended_ns)

    def _next(self, lane: _Lane) -> list[_Asked]:
        with self._lock:
            return lane.next()


def _nothing(_: None) -> None:
    """What is made by itself needs no preparation."""


def _make(batch: list[_Asked]) -> None:
    """Makes a batch; every task gets what it asked for, or the error that it met."""
    ready = [asked for asked in batch if _is_prepared(asked)]
    try:
        _run(ready)
    except Exception as error:
        if len(ready) == 1:
            ready[0].error = error
            return
        # One of them may be to blame: the others are none the worse for it.
        for asked in ready:
            _make([asked])


def _is_prepared(asked: _Asked) -> bool:
    try:
        asked.ready = asked.cancellation.around(asked.kind.prepare)(asked.task)
    except Exception as error:
        asked.error = error
    return asked.error is None


def _run(ready: Sequence[_Asked]) -> None:
    """One run, which is stopped once nobody waits for it."""
    if not ready:
        return
    shared = _Shared(len(ready))
    held = [asked.cancellation.child(shared.leave) for asked in ready]
    with shared.here():
        made = ready[0].kind.run([asked.ready for asked in ready], shared)
    del held
    for asked, result in zip(ready, made, strict=True):
        asked.made = result


def _answer(batch: Sequence[_Asked]) -> None:
    """Tells all callers of one loop at once: waking a loop up costs more than telling it."""
    for loop in {asked.loop for asked in batch}:
        answers = [asked.answer for asked in batch if asked.loop is loop]
        try:
            loop.call_soon_threadsafe(_call_all, answers)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            continue


def _tell(batch: Sequence[_Asked], samples: int, began_ns: int, ended_ns: int) -> None:
    """Tells of a run as part of each call that it was for; after the answers, which wait for it."""
    spans = [asked.span for asked in batch]
    for asked in batch:
        asked.span.record("queue", asked.asked_ns, began_ns)
        others = list(islice((span for span in spans if span is not asked.span), _MOST_LINKS))
        shares = {"tasks": len(batch), "samples": samples, "own_samples": asked.samples}
        asked.span.record("run", began_ns, ended_ns, links=others, **shares)


def _call_all(functions: Sequence[Callable[[], None]]) -> None:
    for function in functions:
        function()


class _Shared(Cancellation):
    """Stops a run when the last of those who wait for it has left."""

    def __init__(self, callers: int) -> None:
        super().__init__()
        self._callers = callers
        self._leaving = threading.Lock()

    def leave(self) -> None:
        with self._leaving:
            self._callers -= 1
            last = not self._callers
        if last:
            self.cancel()
