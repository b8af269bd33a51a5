"""A bounded number of processes at work, first come, first served."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar, TypeVarTuple, cast

from graftscope.server.errors import WorkerLost
from graftscope.server.workers._process import Process
from graftscope.server.workers._spares import SPARES

LARGE_BYTES = 2**30
"""A process that ever held more is not kept: what it freed may still be its own."""

_Value = TypeVar("_Value")
_Arguments = TypeVarTuple("_Arguments")


class Stoppable(Protocol):
    """What may end a call: `Cancellation`."""

    def check(self) -> None:
        """Raises if it was stopped."""

    def child(self, then: Callable[[], None]) -> object:
        """Something that is held for as long as `then` is to be called when it is stopped."""


class Run(Protocol):
    """Calls a function that can be imported, wherever that may be."""

    def __call__(self, work: Callable[[*_Arguments], _Value], /, *arguments: *_Arguments) -> _Value:
        """What the function returns."""


def directly(work: Callable[[*_Arguments], _Value], /, *arguments: *_Arguments) -> _Value:
    """`Run` here and now, where nothing can end it."""
    return work(*arguments)


class Workers:
    """Makes calls in processes.

    Args:
        most: processes at a time, at least 1.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._busy = 0
        self._used_s = 0.0
        # What those at work had used before.
        self._at_work: dict[Process, float] = {}

    @property
    def used_s(self) -> float:
        """Processor time that its processes have used, for starting too."""
        with self._changed:
            going_on = (each.used_s - before for each, before in self._at_work.items())
            return self._used_s + sum(going_on)

    @property
    def busy(self) -> int:
        """How many calls are made now."""
        return self._busy

    def run(
        self,
        cancellation: Stoppable,
        work: Callable[[*_Arguments], _Value],
        *arguments: *_Arguments,
    ) -> _Value:
        """Calls a function in a process, which is killed where the call is cancelled; blocks.

        Args:
            cancellation: what may end it, while it waits for a process too.
            work: a function that can be imported, or a partial of one.
            arguments: what it is called with; what it returns and raises comes back as it is.

        Raises:
            Cancelled: it was cancelled.
            WorkerLost: the process was ended by somebody else.
        """
        with self._borrowed(cancellation) as process, _killed_with(cancellation, process):
            reply = process.call(work, arguments)
            if reply.held_bytes > LARGE_BYTES:
                process.close()
        cancellation.check()
        if reply.error is not None:
            raise reply.error
        return cast(_Value, reply.value)

    def of(self, cancellation: Stoppable) -> Run:
        """`run`, for what one cancellation ends."""

        def run(work: Callable[[*_Arguments], _Value], *arguments: *_Arguments) -> _Value:
            return self.run(cancellation, work, *arguments)

        return run

    @contextmanager
    def _borrowed(self, cancellation: Stoppable) -> Iterator[Process]:
        self._take_turn(cancellation)
        process: Process | None = None
        try:
            process = self._begun()
            yield process
        except BaseException:
            if process is not None:
                self._note(process)
                process.close()  # What it was about to answer is for nobody else.
            raise
        else:
            self._note(process)
            SPARES.keep(process)
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _begun(self) -> Process:
        """A process at work from now on."""
        spare = SPARES.take()
        process = spare or Process()
        with self._changed:
            self._at_work[process] = spare.used_s if spare else 0.0
        return process

    def _note(self, process: Process) -> None:
        """Takes note of what a process has used that is at work no more."""
        with self._changed:
            self._used_s += process.used_s - self._at_work.pop(process)

    def _take_turn(self, cancellation: Stoppable) -> None:
        """Waits until there may be one process more, in the order in which calls came."""
        ticket = object()
        woken = cancellation.child(self._wake)
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._waiting[0] is not ticket or self._busy >= self._most:
                    cancellation.check()
                    self._changed.wait()
                cancellation.check()
                self._busy += 1
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        del woken

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


@contextmanager
def _killed_with(cancellation: Stoppable, process: Process) -> Iterator[None]:
    """Kills the process where the call is cancelled inside the block, and never after it."""
    inside, lock = True, threading.Lock()

    def kill() -> None:
        with lock:
            if inside:
                process.kill()

    held = cancellation.child(kill)
    try:
        yield
    except WorkerLost:
        cancellation.check()
        raise
    finally:
        with lock:
            inside = False
        del held
