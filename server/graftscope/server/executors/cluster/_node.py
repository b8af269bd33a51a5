"""What an actor does: shards and calls, one after the other, as a server of one worker would.

What travels to it is fetched when it is first needed, and kept while it is likely to be needed
again. It must not import Ray: who starts it says how values are fetched.
"""

import pickle
import socket
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from graftscope.graph.rewrites import COMPILE
from graftscope.server.engine import (
    AUTO,
    Cancellation,
    Device,
    Generator,
    Memo,
    PairSource,
    Plan,
    SessionPool,
    ShardEffects,
    Subject,
    Turns,
    can_compile,
    describe_compiler,
)
from graftscope.server.errors import Cancelled, DeviceUnavailable
from graftscope.server.executors._local import LocalExecutor
from graftscope.server.executors.cluster._bundles import BundleCache, Files
from graftscope.server.executors.cluster._facts import Facts, facts_here
from graftscope.server.executors.cluster._travel import unpacked
from graftscope.server.workers import Workers

_Value = TypeVar("_Value")

_KEPT = 8
"""Jobs, and kinds of calls, whose common part an actor keeps."""

_DROPPED = 64
"""Calls whose cancel may come before them: more than ever wait for one actor."""

Work = tuple[Subject, PairSource, Plan]


@dataclass(frozen=True)
class Sent(Generic[_Value]):
    """What many calls have in common, sent once.

    Attributes:
        key: its name.
        held: what fetches it; a list, so that nobody fetches it on the way.
    """

    key: str
    held: list[object]


@dataclass(frozen=True)
class Told:
    """How a call went.

    Attributes:
        error: what it raised, if it did.
        processor_s: seconds of processor that it took.
    """

    error: Exception | None = None
    processor_s: float = 0.0


class Node:
    """Computes.

    Args:
        device: what runs graphs.
        sessions: how many stay open.
        cache: where bundles lie.
        fetch: gets what a `Sent` holds.
    """

    def __init__(
        self, device: Device, sessions: int, cache: Path, fetch: Callable[[object], object]
    ) -> None:
        self._fetch = fetch
        self._bundles = BundleCache(cache)
        # Whoever calls this machine's own server is not known here.
        self._pool = SessionPool(device, sessions, turns=Turns(share=1.0))
        self._generators, self._kept = Memo(), Memo(_KEPT)
        self._executor = LocalExecutor(1, Workers(1))
        self._lock = threading.Lock()
        self._calls: dict[str, Cancellation] = {}
        self._dropped: deque[str] = deque(maxlen=_DROPPED)

    def facts(self) -> Facts:
        """Of this machine."""
        return facts_here()

    def cancel(self, call: str) -> None:
        """Stops a call that goes on, or that is still to come."""
        with self._lock:
            if call not in self._calls:
                self._dropped.append(call)
                return
            cancellation = self._calls[call]
        cancellation.cancel()

    def shard(
        self,
        call: str,
        work: Sent[bytes],
        bundle: Sent[Files],
        rows: NDArray[np.int64] | None,
        pairs: range,
        exact: Collection[range],
    ) -> tuple[Told, ShardEffects | None]:
        """One shard; see `Shards`.

        Args:
            call: its name.
            work: a packed `Work`.
            bundle: the model's files.
            rows: as `Shards` has them.
            pairs: likewise.
            exact: likewise.
        """
        try:
            with self._going_on(call) as cancellation:
                subject, source, plan = self._work(work, bundle)
                with self._executor.shards(subject, source, plan) as compute:
                    computed = compute(rows, pairs, exact, cancellation)
                return Told(processor_s=computed.processor_s), computed.effects()
        except Exception as error:
            return Told(_that_travels(error)), None

    def run(
        self, call: str, work: Sent[Callable[..., object]], arguments: tuple[object, ...]
    ) -> tuple[Told, object]:
        """Calls a function in a process of its own, which is killed where the call is stopped."""
        try:
            with self._going_on(call) as cancellation:
                function = cast(Callable[..., object], self._sent(work))
                return Told(), self._executor.run(cancellation, function, *arguments)
        except Exception as error:
            return Told(_that_travels(error)), None

    @contextmanager
    def _going_on(self, call: str) -> Iterator[Cancellation]:
        cancellation = Cancellation()
        with self._lock:
            dropped = call in self._dropped
            self._calls[call] = cancellation
        try:
            if dropped:
                raise Cancelled("the job was cancelled")
            with cancellation.here():
                yield cancellation
        finally:
            with self._lock:
                del self._calls[call]

    def _work(self, work: Sent[bytes], bundle: Sent[Files]) -> Work:
        def opened() -> Work:
            data = cast(bytes, self._fetch(work.held[0]))
            return cast(Work, unpacked(data, lambda digest: self._generator(digest, bundle)))

        subject, source, plan = self._kept.get(work.key, opened)
        _require_runnable(plan, subject.generator)
        return subject, source, plan

    def _generator(self, digest: str, bundle: Sent[Files]) -> Generator:
        def opened() -> Generator:
            folder = self._bundles.open(digest, lambda: cast(Files, self._fetch(bundle.held[0])))
            return Generator(folder, self._pool)

        return self._generators.get(digest, opened)

    def _sent(self, what: Sent[Callable[..., object]]) -> object:
        return self._kept.get(what.key, lambda: self._fetch(what.held[0]))


def _require_runnable(plan: Plan, generator: Generator) -> None:
    """Raises DeviceUnavailable where this machine lacks what a plan needs."""
    lacks = ""
    if plan.backend not in generator.backends(AUTO):
        lacks = str(plan.backend)
    elif COMPILE in plan.rewrites and not can_compile():
        lacks = f"compiled code (llvmlite: {describe_compiler()})"
    if lacks:
        raise DeviceUnavailable(
            f"node {socket.gethostname()!r} of the cluster cannot run {lacks}, as the job's plan "
            "has it; install the same extras there as where the server runs"
        )


def _that_travels(error: Exception) -> Exception:
    """An error of a kind that cannot be sent is told by its kind and its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
