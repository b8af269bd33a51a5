"""Tasks of concurrent calls, made in one run where they are of one kind.

A task that finds a thread free starts at once. What comes while all threads are busy waits for the
first that is done, and whatever is of its kind by then goes with it: nothing ever waits for
company, and a batch grows with the load, up to its limit. It must not know models, what tasks make,
or gRPC.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from graftscope.server.engine._sessions import Cancellation
from graftscope.server.engine._turns import Turns
from graftscope.server.logs import get_logger

_log = get_logger("engine")

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
    """

    key: Hashable
    limit: int
    prepare: Callable[[Task], Ready]
    run: Callable[[Sequence[Ready], Cancellation], Sequence[Made]]

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


class Batching:
    """Makes tasks in threads, those of one kind together.

    Args:
        executor: its threads.
        threads: how many of them runs may take.
        turns: told of every task, so that jobs wait.

    Attributes:
        turns: who goes first.
    """

    def __init__(self, executor: Executor, threads: int, turns: Turns) -> None:
        self.turns = turns
        self._executor = executor
        self._lock = threading.Lock()
        self._free = threads
        self._waiting: deque[_Asked] = deque()

    @property
    def waiting(self) -> int:
        """How many tasks wait for a thread."""
        return len(self._waiting)

    async def make(self, kind: Kind[Task, Ready, Made], task: Task, samples: int) -> Made:
        """Makes a task, with others of its kind where some wait.

        Where the caller is cancelled, the task is dropped; a run stops once the callers of all its
        tasks are.

        Args:
            kind: what it can be made with.
            task: the task.
            samples: how many it has, at most the kind's limit.
        """
        loop = asyncio.get_running_loop()
        asked = _Asked(kind, task, samples, loop, loop.create_future(), Cancellation())
        with self.turns.ahead():
            self._submit(asked)
            try:
                made: Made = await asked.future
            except asyncio.CancelledError:
                asked.cancellation.cancel()
                raise
        return made

    def _submit(self, asked: _Asked) -> None:
        with self._lock:
            self._waiting.append(asked)
            starts = self._free > 0
            self._free -= starts
        if starts:
            self._executor.submit(self._serve)

    def _serve(self) -> None:
        """Makes what waits until nothing does."""
        while batch := self._next():
            started_s = time.perf_counter()
            _make(batch)
            ms = round(1e3 * (time.perf_counter() - started_s), 1)
            samples = sum(asked.samples for asked in batch)
            _log.debug("run", tasks=len(batch), samples=samples, ms=ms, waiting=self.waiting)
            _answer(batch)

    def _next(self) -> list[_Asked]:
        """The task that has waited longest, with others of its kind; none frees the thread."""
        with self._lock:
            waiting = [x for x in self._waiting if not x.cancellation.cancelled]
            if not waiting:
                self._waiting.clear()
                self._free += 1
                return []
            kind, room = waiting[0].kind, waiting[0].kind.limit
            batch, others = list[_Asked](), deque[_Asked]()
            for asked in waiting:
                fits = asked.kind.key == kind.key and (asked.samples <= room or not batch)
                room -= asked.samples if fits else 0
                (batch if fits else others).append(asked)
            self._waiting = others
            return batch


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
        asked.cancellation.check()
        asked.ready = asked.kind.prepare(asked.task)
    except Exception as error:
        asked.error = error
    return asked.error is None


def _run(ready: Sequence[_Asked]) -> None:
    """One run, which is stopped once nobody waits for it."""
    if not ready:
        return
    shared = _Shared(len(ready))
    held = [asked.cancellation.child(shared.leave) for asked in ready]
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
