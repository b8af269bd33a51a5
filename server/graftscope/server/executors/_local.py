"""Pieces of jobs in this process and its children: what runs where nothing else is said."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import (
    Cancellation,
    Generator,
    PairSource,
    Plan,
    ShardEffects,
    Subject,
    runs_side_by_side,
    shard_effects,
)
from graftscope.server.executors._executor import Shards
from graftscope.server.workers import Workers

_Value = TypeVar("_Value")
_Arguments = TypeVarTuple("_Arguments")


@dataclass(frozen=True, eq=False)
class ComputedHere:
    """As `Computed`, with its sums in this process."""

    sums: ShardEffects
    processor_s: float

    def effects(self) -> ShardEffects:
        """As `Computed`."""
        return self.sums


class LocalExecutor:
    """Computes shards in the thread that asks, and other calls in processes.

    Args:
        workers: how many threads ask.
        processes: where calls are made.
    """

    is_elsewhere = False

    def __init__(self, workers: int, processes: Workers) -> None:
        self._workers, self._processes = workers, processes

    @property
    def workers(self) -> int:
        """As `Executor`."""
        return self._workers

    def side_by_side(self, generator: Generator) -> int:
        """As `Executor`."""
        return runs_side_by_side(generator, self._workers)

    def begun(self, generator: Generator) -> int:
        """As `Executor`.

        One more than there are workers, so that none idles while sums are added; but where memory
        bounds the runs, no more than may go on.
        """
        bounded = self.side_by_side(generator)
        return bounded if bounded < self._workers else self._workers + 1

    @contextmanager
    def shards(self, subject: Subject, source: PairSource, plan: Plan) -> Iterator[Shards]:
        """As `Executor`."""

        def compute(
            rows: NDArray[np.int64] | None,
            pairs: range,
            exact: Collection[range],
            cancellation: Cancellation,
        ) -> ComputedHere:
            some = subject if rows is None else subject.only(rows)
            # By the clock on the wall a job beside other work of the machine would count what it
            # waits.
            started_s = time.thread_time()
            effects = shard_effects(some, plan, source, pairs, cancellation, exact)
            return ComputedHere(effects, time.thread_time() - started_s)

        yield compute

    def run(
        self,
        cancellation: Cancellation,
        work: Callable[[*_Arguments], _Value],
        *arguments: *_Arguments,
    ) -> _Value:
        """As `Executor`."""
        return self._processes.run(cancellation, work, *arguments)

    def close(self) -> None:
        """As `Executor`: threads and processes belong to those who gave them."""
