"""Pieces of jobs at the actors of a cluster."""

import threading
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple, cast
from uuid import uuid4

import numpy as np
import ray
from numpy.typing import NDArray

from graftscope.bundle import BundleFolder
from graftscope.server.engine import (
    Cancellation,
    Generator,
    Memo,
    PairSource,
    Plan,
    ShardEffects,
    Subject,
)
from graftscope.server.executors._executor import Shards
from graftscope.server.executors.cluster._bundles import Files, files_of
from graftscope.server.executors.cluster._members import (
    IN_FLIGHT,
    LOST,
    Actor,
    Members,
    Ref,
)
from graftscope.server.executors.cluster._node import Sent, Told
from graftscope.server.executors.cluster._travel import packed

_Value = TypeVar("_Value")
_Arguments = TypeVarTuple("_Arguments")


@dataclass(frozen=True, eq=False)
class ComputedElsewhere:
    """As `Computed`; its sums lie where they were computed until they are asked for."""

    told: Told
    held: Ref
    again: Callable[[], "ComputedElsewhere"]

    @property
    def processor_s(self) -> float:
        """As `Computed`."""
        return self.told.processor_s

    def effects(self) -> ShardEffects:
        """As `Computed`; computed once more where they went with their machine."""
        try:
            return cast(ShardEffects, ray.get(self.held))
        except LOST:
            return self.again().effects()


class RayExecutor:
    """Computes at actors, in the order in which threads ask.

    Args:
        members: the actors.
        end: ends what was started.
    """

    is_elsewhere = True

    def __init__(self, members: Members, end: Callable[[], None]) -> None:
        self._members, self._end = members, end
        self._bundles = Memo()
        self._functions: weakref.WeakKeyDictionary[Callable[..., object], Sent[object]] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    @property
    def workers(self) -> int:
        """As `Executor`."""
        return IN_FLIGHT * len(self._members)

    def side_by_side(self, generator: Generator) -> int:
        """As `Executor`: an actor runs one shard, whatever memory that takes."""
        return len(self._members)

    def begun(self, generator: Generator) -> int:
        """As `Executor`."""
        return self.workers + 1

    @contextmanager
    def shards(self, subject: Subject, source: PairSource, plan: Plan) -> Iterator[Shards]:
        """As `Executor`."""
        sending = Memo()

        def compute(
            rows: NDArray[np.int64] | None,
            pairs: range,
            exact: Collection[range],
            cancellation: Cancellation,
        ) -> ComputedElsewhere:
            # Here and not before: it takes a while, and whoever opens the block must not wait.
            work = sending.get("work", lambda: sent(packed((subject, source, plan))))
            bundle = self._bundle(subject.generator.folder)

            def ask(actor: Actor, name: str) -> tuple[Ref, Ref]:
                method = actor.shard.options(num_returns=2)
                told, held = method.remote(name, work, bundle, rows, pairs, tuple(exact))
                return told, held

            told, held = self._members.call(cancellation, ask)
            again = lambda: compute(rows, pairs, exact, cancellation)  # noqa: E731
            return ComputedElsewhere(told, held, again)

        yield compute

    def run(
        self,
        cancellation: Cancellation,
        work: Callable[[*_Arguments], _Value],
        *arguments: *_Arguments,
    ) -> _Value:
        """As `Executor`."""
        function = self._function(work)

        def ask(actor: Actor, name: str) -> tuple[Ref, Ref]:
            told, held = actor.run.options(num_returns=2).remote(name, function, arguments)
            return told, held

        while True:
            _, held = self._members.call(cancellation, ask)
            try:
                return cast(_Value, ray.get(held))
            except LOST:
                cancellation.check()

    def close(self) -> None:
        """As `Executor`."""
        self._members.close()
        self._end()

    def _bundle(self, folder: BundleFolder) -> Sent[Files]:
        """A model's files, put where nodes find them the first time that one is asked for."""
        return self._bundles.get(folder.manifest.digest, lambda: sent(files_of(folder)))

    def _function(self, work: Callable[..., object]) -> Sent[object]:
        """What is called, which may hold large arrays: sent once, however often it is called."""
        with self._lock:
            if work not in self._functions:
                self._functions[work] = sent(work)
            return self._functions[work]


def sent(value: _Value) -> Sent[_Value]:
    """A value in the cluster's store."""
    return Sent(uuid4().hex, [ray.put(value)])
