"""What is computed for somebody stops when nobody wants it any more.

It must not know models or analyses.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar, TypeVarTuple
from weakref import WeakSet

import onnxruntime as ort

from graftscope.server.errors import Cancelled

_Value = TypeVar("_Value")
_Arguments = TypeVarTuple("_Arguments")


class Cancellation:
    """Stops the runs that it was given to, from any thread and within milliseconds.

    Args:
        then: called once, when it is stopped.
    """

    def __init__(self, then: Callable[[], None] | None = None) -> None:
        self._then = then
        self._lock = threading.Lock()
        self._running: set[ort.RunOptions] = set()
        self._children: WeakSet[Cancellation] = WeakSet()
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    @property
    def running(self) -> int:
        """How many runs go on."""
        return len(self._running)

    def cancel(self) -> None:
        """Stops all runs, now and later."""
        with self._lock:
            self._cancelled = True
            for options in self._running:
                options.terminate = True
            children = list(self._children)
            then, self._then = self._then, None
        for child in children:
            child.cancel()
        if then is not None:
            then()

    def child(self, then: Callable[[], None] | None = None) -> "Cancellation":
        """One that is stopped with this one for as long as it is held, and can be by itself.

        Args:
            then: called once, when it is stopped.
        """
        made = Cancellation(then)
        with self._lock:
            self._children.add(made)
            cancelled = self._cancelled
        if cancelled:
            made.cancel()
        return made

    def check(self) -> None:
        """Raises Cancelled if `cancel` was called."""
        if self._cancelled:
            raise Cancelled("the job was cancelled")

    @contextmanager
    def here(self) -> Iterator[None]:
        """Has the calling thread work for this one: what it waits for or runs stops with it."""
        token = _HERE.set(self)
        try:
            yield
        finally:
            _HERE.reset(token)

    def around(self, work: Callable[[*_Arguments], _Value]) -> Callable[[*_Arguments], _Value]:
        """The work, done `here` by whichever thread calls it."""

        def done_here(*arguments: *_Arguments) -> _Value:
            with self.here():
                self.check()
                return work(*arguments)

        return done_here

    def run(self, session: ort.InferenceSession, binding: ort.IOBinding) -> None:
        """Runs a session, unless or until cancelled.

        Raises:
            Cancelled: `cancel` was called before or during the run.
        """
        options = ort.RunOptions()
        # The default, said: where it is not, ONNX Runtime throws and catches an exception a run.
        options.add_run_config_entry("gpu_graph_id", "0")
        with self._lock:
            self.check()
            self._running.add(options)
        try:
            session.run_with_iobinding(binding, options)
        except Exception as error:
            if self._cancelled:
                raise Cancelled("the job was cancelled") from error
            raise
        finally:
            with self._lock:
                self._running.discard(options)


_HERE: ContextVar[Cancellation | None] = ContextVar("for what the thread works", default=None)


def cancellation_here() -> Cancellation:
    """What the calling thread works for; one that nobody cancels, where that was not said."""
    return _HERE.get() or Cancellation()


def check_here() -> None:
    """Raises Cancelled if what the calling thread works for was cancelled."""
    cancellation_here().check()
