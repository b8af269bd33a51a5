"""What computes the pieces of jobs, as jobs see it."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar, TypeVarTuple

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import (
    Cancellation,
    Generator,
    PairSource,
    Plan,
    ShardEffects,
    Subject,
)

_Value = TypeVar("_Value")
_Arguments = TypeVarTuple("_Arguments")


class Computed(Protocol):
    """A shard that was computed; its sums may lie elsewhere until they are asked for."""

    @property
    def processor_s(self) -> float:
        """Seconds of processor that it took, wherever that was."""

    def effects(self) -> ShardEffects:
        """Its sums; may block.

        Raises:
            Cancelled: the job was cancelled meanwhile.
        """


class Shards(Protocol):
    """Computes the shards of one influence job."""

    def __call__(
        self,
        rows: NDArray[np.int64] | None,
        pairs: range,
        exact: Collection[range],
        cancellation: Cancellation,
    ) -> Computed:
        """One shard; blocks until it is computed.

        Args:
            rows: indices of the interventions, ascending; None for all.
            pairs: indices of its pairs.
            exact: batches of it that are computed in float32 too.
            cancellation: what may stop it.

        Raises:
            Cancelled: the job was cancelled.
        """


class Executor(Protocol):
    """Computes shards of influence, and comparisons of modules; from any thread.

    The same shard of the same plan has the same bits wherever it is computed on processors of one
    kind, and those who ask add shards up in their order.
    """

    @property
    def workers(self) -> int:
        """How many pieces of work may be asked for at a time."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether they take memory of other processes, which keep what shards give until it is
        fetched.
        """

    def side_by_side(self, generator: Generator) -> int:
        """How many shards of this generator are computed at a time; at most `workers`."""

    def begun(self, generator: Generator) -> int:
        """How many shards of a job are to be asked for before the first of them is added up."""

    def shards(
        self, subject: Subject, source: PairSource, plan: Plan
    ) -> AbstractContextManager[Shards]:
        """What computes the shards of one job, for as long as the block lasts.

        Args:
            subject: whose influence.
            source: where the pairs come from.
            plan: how they are run.
        """

    def run(
        self,
        cancellation: Cancellation,
        work: Callable[[*_Arguments], _Value],
        *arguments: *_Arguments,
    ) -> _Value:
        """Calls a function where a cancel ends it; blocks. As `Workers.run`."""

    def close(self) -> None:
        """Ends what it started."""
