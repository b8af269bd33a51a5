"""Influence of one shard of pairs: record, splice, run, accumulate (section 3.2, equation 3).

It must not know jobs, gRPC or workers: a shard in, its sums out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import MapMoments, RunningMoments, area_means
from graftscope.server.engine._generator import Effects
from graftscope.server.engine._originals import PairSource
from graftscope.server.engine._plan import Plan
from graftscope.server.engine._sessions import Cancellation
from graftscope.server.engine._subjects import Subject

PRODUCT_SIDE = 16
"""Products of effects are taken on areas so that no side is longer than this, in pixels."""


@dataclass(frozen=True, eq=False)
class ShardEffects:
    """What a shard adds.

    Attributes:
        moments: of the maps, over the shard's pairs.
        pixel_means: (B, E), every pair's mean over pixels.
        products: (E, E), sum over pairs of the mean over pixels of the product of two sets'
            effects in the same pair; None where not wanted.
    """

    moments: MapMoments
    pixel_means: NDArray[np.float64]
    products: NDArray[np.float64] | None = None


def shard_effects(
    subject: Subject, plan: Plan, source: PairSource, pairs: range, cancellation: Cancellation
) -> ShardEffects:
    """Computes one shard, in runs of the plan's size and in order.

    Args:
        subject: whose influence.
        plan: the size of a run.
        source: where the pairs come from.
        pairs: indices of the shard's pairs.
        cancellation: what may stop it.

    Raises:
        Cancelled: the job was cancelled.
    """
    sums = _ShardSums(subject, len(pairs))
    for start in range(pairs.start, pairs.stop, plan.batch):
        some_pairs = range(start, min(start + plan.batch, pairs.stop))
        batch = subject.record(source, some_pairs, cancellation)
        for first in range(0, len(subject), plan.sets):
            some = range(first, min(first + plan.sets, len(subject)))
            sums.add(some, len(some_pairs), batch.effects(some))
        sums.end_batch(len(some_pairs))
    return sums.result()


class _ShardSums:
    """A shard's sums as they grow: what a run gives is added at once and dropped."""

    def __init__(self, subject: Subject, pairs: int) -> None:
        self._moments = RunningMoments(len(subject))
        self._means = np.empty((pairs, len(subject)))
        self._done = 0
        self._products = np.zeros((len(subject),) * 2) if subject.products else None
        self._maps: list[NDArray[np.float64]] = []

    def add(self, some: range, pairs: int, effects: Effects) -> None:
        """Adds a run over a batch of pairs."""
        self._moments.merge(some, MapMoments.from_batch(pairs, effects.total, effects.moment))
        rows = slice(self._done, self._done + pairs)
        self._means[rows, some.start : some.stop] = effects.pixel_means.T
        if self._products is not None:
            self._maps.append(area_means(effects.total, PRODUCT_SIDE))

    def end_batch(self, pairs: int) -> None:
        """Closes a batch, of which all interventions have been added."""
        self._done += pairs
        if self._products is not None:
            self._products += pair_products(np.concatenate(self._maps))
            self._maps = []

    def result(self) -> ShardEffects:
        """The sums of the whole shard."""
        return ShardEffects(self._moments.moments(), self._means, self._products)


def pair_products(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Products of one pair's effects, averaged over pixels: (E, h, w) to (E, E)."""
    effects = maps.reshape(len(maps), -1)  # (E, P)
    # Not BLAS: how it sums depends on how many threads it is left.
    return np.asarray(np.einsum("ep,fp->ef", effects, effects) / effects.shape[1])
