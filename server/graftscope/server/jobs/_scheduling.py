"""Who computes next: workers are shared fairly over principals, piece by piece.

A worker that becomes free takes the next piece of work (a shard, a comparison) of whoever has been
served least, and of theirs, of the job that has. So a job of hours delays another's by the pieces
that go on, and by no more. Which worker takes a piece, and when, changes no sum: those are added in
the order of the shards, job by job. It must not know what the pieces compute, jobs' rows or gRPC.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from graftscope.server.jobs._accounts import Accounts

_Value = TypeVar("_Value")
_Given = ParamSpec("_Given")


@dataclass(frozen=True, eq=False)
class _Piece:
    """What is to be done, and who waits for it."""

    work: Callable[[], object]
    future: "Future[object]"

    def do(self) -> None:
        try:
            value = self.work()
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(value)


class Flow(Executor):
    """The pieces of one job, in their order; an executor for whatever computes it.

    Args:
        workers: what runs them.
        principal: whose job it is.
    """

    def __init__(self, workers: "FairWorkers", principal: str) -> None:
        self.principal = principal
        self.waiting: deque[_Piece] = deque()
        self.last_s = 0.0  # what a piece took
        self._workers = workers

    def submit(
        self, work: Callable[_Given, _Value], /, *given: _Given.args, **named: _Given.kwargs
    ) -> "Future[_Value]":
        """As `Executor.submit`."""
        future: Future[object] = Future()
        self._workers.add(self, _Piece(lambda: work(*given, **named), future))
        return future  # type: ignore[return-value]


class FairWorkers:
    """Threads that take pieces of several flows, fairly over principals and over their flows.

    Args:
        workers: how many threads.
        name: what they are called.
        clock: seconds.
    """

    def __init__(
        self,
        workers: int,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._principals = Accounts[str]()
        self._flows: dict[str, Accounts[Flow]] = {}
        self._threads = ThreadPoolExecutor(workers, name)

    def flow(self, principal: str) -> Flow:
        """The pieces of a job of this principal."""
        return Flow(self, principal)

    def add(self, flow: Flow, piece: _Piece) -> None:
        """Adds a piece to those of its flow that wait.

        Raises:
            RuntimeError: the workers have ended.
        """
        with self._lock:
            flow.waiting.append(piece)
            self._principals.asks(flow.principal)
            self._flows.setdefault(flow.principal, Accounts()).asks(flow)
        # As many turns as there are pieces; which piece a turn takes is chosen when it comes.
        self._threads.submit(self._turn)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the threads; what goes on is waited for if asked to, what waits done, or dropped."""
        if cancel_futures:
            with self._lock:
                waiting = [x for flow in self._waiting_flows() for x in flow.waiting]
            for piece in waiting:
                piece.future.cancel()
        self._threads.shutdown(wait)

    def _turn(self) -> None:
        taken = self._next()
        if taken is None:
            return  # What this turn was for was wanted no more.
        flow, piece, foreseen_s = taken
        started_s = self._clock()
        piece.do()
        took_s = self._clock() - started_s
        with self._lock:
            flow.last_s = took_s
            self._principals.ends(flow.principal, took_s - foreseen_s)
            self._flows[flow.principal].ends(flow, took_s - foreseen_s)
            self._forget(flow.principal)

    def _next(self) -> tuple[Flow, _Piece, float] | None:
        """Begins the next piece; None where there is none."""
        with self._lock:
            while (principal := self._principals.next()) is not None:
                flows = self._flows[principal]
                flow = flows.next()
                assert flow is not None
                piece = flow.waiting.popleft()
                if piece.future.set_running_or_notify_cancel():
                    self._principals.begins(principal, flow.last_s)
                    flows.begins(flow, flow.last_s)
                    return flow, piece, flow.last_s
                self._principals.drops(principal)
                flows.drops(flow)
                self._forget(principal)
        return None

    def _waiting_flows(self) -> list[Flow]:
        return [flow for flows in self._flows.values() for flow in flows]

    def _forget(self, principal: str) -> None:
        if not self._flows[principal]:
            del self._flows[principal]
