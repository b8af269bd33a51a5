"""Influence of one shard of pairs: record, splice, run, accumulate (section 3.2, equation 3).

A shard in, its sums out: what a run gives is added at once and dropped. On a processor sums grow
in numpy. On another device they grow there, and are read once at the end of the shard, by the same
rule in the same order. It must not know jobs, gRPC or workers.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from graftscope.graph import ADDED, COUNT, M2, MEAN, MOMENT, PIXEL_MEANS, TOTAL, accumulate
from graftscope.server.analysis import (
    Correction,
    Differences,
    MapMoments,
    RunningMoments,
    area_means,
)
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._generator import Effects, Generator, doubles
from graftscope.server.engine._originals import PairSource
from graftscope.server.engine._plan import Plan
from graftscope.server.engine._precision import CUDA
from graftscope.server.engine._sessions import Feed
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
        correction: over the batches that were computed in float32 too; None where none was.
    """

    moments: MapMoments
    pixel_means: NDArray[np.float64]
    products: NDArray[np.float64] | None = None
    correction: Correction | None = None


class ShardSums(Protocol):
    """Takes what the runs of a shard give, batch by batch."""

    def add(self, some: range, pairs: int, effects: Effects) -> None:
        """Adds a run over a batch of pairs.

        Args:
            some: indices of the interventions, the same ranges for every batch.
            pairs: of the batch.
            effects: what the run gave.
        """

    def end_batch(self, pairs: int) -> None:
        """Closes a batch, of which all interventions have been added."""

    def result(self) -> ShardEffects:
        """The sums of the whole shard.

        Raises:
            InvalidInputError: a value is not finite.
        """


class HostSums:
    """Sums in numpy, with products where they are wanted.

    Args:
        interventions: how many, E.
        pairs: of the shard.
        products: whether products are wanted; then a batch is one pair.
    """

    def __init__(self, interventions: int, pairs: int, *, products: bool = False) -> None:
        self._moments = RunningMoments(interventions)
        self._means = np.empty((pairs, interventions))
        self._done = 0
        self._products = np.zeros((interventions,) * 2) if products else None
        self._maps: list[NDArray[np.float64]] = []

    def add(self, some: range, pairs: int, effects: Effects) -> None:
        """As `ShardSums`."""
        self._moments.merge(some, MapMoments.from_batch(pairs, effects.total, effects.moment))
        rows = slice(self._done, self._done + pairs)
        self._means[rows, some.start : some.stop] = effects.pixel_means.T
        if self._products is not None:
            self._maps.append(area_means(effects.total, PRODUCT_SIDE))

    def end_batch(self, pairs: int) -> None:
        """As `ShardSums`."""
        self._done += pairs
        if self._products is not None:
            self._products += pair_products(np.concatenate(self._maps))
            self._maps = []

    def result(self) -> ShardEffects:
        """As `ShardSums`."""
        return ShardEffects(self._moments.moments(), self._means, self._products)


@dataclass(eq=False)
class _Part:
    """Some interventions over the pairs so far, on the device.

    Attributes:
        mean: (E, h, w).
        m2: (E, h, w), sum of squared deviations.
        pairs: how many.
        pixel_means: (E, B) of every batch.
    """

    mean: Feed
    m2: Feed
    pairs: int = 0
    pixel_means: list[Feed] = field(default_factory=list)


class DeviceSums:
    """Sums where the runs' own lie, without products.

    Args:
        generator: on the device that computes the effects.
        cancellation: what may stop it.
    """

    def __init__(self, generator: Generator, cancellation: Cancellation) -> None:
        self._session = generator.session("accumulate", accumulate)
        self._cancellation = cancellation
        self._parts: dict[int, _Part] = {}

    def add(self, some: range, pairs: int, effects: Effects) -> None:
        """As `ShardSums`."""
        if some.start not in self._parts:
            self._parts[some.start] = self._nothing(effects)
        part = self._parts[some.start]
        feeds: dict[str, Feed] = {
            COUNT: np.array([part.pairs], dtype=np.float64),
            ADDED: np.array([pairs], dtype=np.float64),
            MEAN: part.mean,
            M2: part.m2,
            TOTAL: effects.held[TOTAL],
            MOMENT: effects.held[MOMENT],
        }
        after = self._session.run(feeds, self._cancellation)
        part.mean, part.m2 = (after[f"{name}.next"] for name in (MEAN, M2))
        part.pairs += pairs
        part.pixel_means.append(effects.held[PIXEL_MEANS])

    def end_batch(self, pairs: int) -> None:
        """As `ShardSums`."""

    def result(self) -> ShardEffects:
        """As `ShardSums`; here the sums are read from the device."""
        parts = [self._parts[start] for start in sorted(self._parts)]
        mean = np.concatenate([doubles(part.mean) for part in parts])
        m2 = np.concatenate([doubles(part.m2) for part in parts])
        means = [np.concatenate([doubles(x) for x in part.pixel_means], axis=1) for part in parts]
        # Of one pair the sum is the mean, so that checking it does not round it again.
        checked = MapMoments.from_batch(1, mean, m2)
        moments = replace(checked, count=checked.count * parts[0].pairs)
        return ShardEffects(moments, np.concatenate(means).T)

    def _nothing(self, effects: Effects) -> _Part:
        total = effects.held[TOTAL]
        shape = total.shape() if isinstance(total, ort.OrtValue) else total.shape
        zeros = self._session.place(np.zeros(shape))
        return _Part(zeros, zeros)


def pair_products(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Products of one pair's effects, averaged over pixels: (E, h, w) to (E, E)."""
    effects = maps.reshape(len(maps), -1)  # (E, P)
    # Not BLAS: how it sums depends on how many threads it is left.
    return np.asarray(np.einsum("ep,fp->ef", effects, effects) / effects.shape[1])


def shard_effects(
    subject: Subject,
    plan: Plan,
    source: PairSource,
    pairs: range,
    cancellation: Cancellation,
    exact: Collection[range] = (),
) -> ShardEffects:
    """Computes one shard, in runs of the plan's size and in order.

    Args:
        subject: whose influence.
        plan: the size of a run.
        source: where the pairs come from.
        pairs: indices of the shard's pairs.
        cancellation: what may stop it.
        exact: batches of the shard that are computed in float32 too.

    Raises:
        Cancelled: the job was cancelled.
    """
    sums, correction = _sums(subject, plan, len(pairs), cancellation), None
    for start in range(pairs.start, pairs.stop, plan.batch):
        some_pairs = range(start, min(start + plan.batch, pairs.stop))
        parts = []
        for some, effects in _runs(subject, plan, source, some_pairs, cancellation):
            sums.add(some, len(some_pairs), effects)
            if some_pairs in exact:
                parts.append(effects)
        sums.end_batch(len(some_pairs))
        if parts:
            runs = _runs(subject, plan.exact, source, some_pairs, cancellation)
            found = _correction(Effects.joined(parts), Effects.joined([x for _, x in runs]))
            correction = found if correction is None else correction.merge(found)
    return replace(sums.result(), correction=correction)


def _runs(
    subject: Subject, plan: Plan, source: PairSource, pairs: range, cancellation: Cancellation
) -> Iterator[tuple[range, Effects]]:
    """A batch: for some interventions at a time, their effects over its pairs."""
    turns = subject.generator.turns
    with turns.turn(cancellation):
        batch = subject.record(source, pairs, plan, cancellation)
    for first in range(0, len(subject), plan.sets):
        some = range(first, min(first + plan.sets, len(subject)))
        with turns.turn(cancellation):
            effects = batch.effects(some)
        yield some, effects


def _correction(cheap: Effects, exact: Effects) -> Correction:
    """Of the same pairs in both precisions; they are one observation, since maps are summed."""
    pairs = cheap.pixel_means.shape[1]
    maps = Differences.of_one(cheap.total / pairs, exact.total / pairs, pairs)
    before, after = (x.pixel_means.mean(axis=1).reshape(-1, 1, 1) for x in (cheap, exact))
    pairs_of = np.full(len(before), pairs, dtype=np.int64)
    return Correction(maps, Differences.of_one(before, after, pairs), pairs_of)


def _sums(subject: Subject, plan: Plan, pairs: int, cancellation: Cancellation) -> ShardSums:
    """Where sums grow: on the device, where that is not the processor."""
    if plan.provider == CUDA and not subject.products:
        return DeviceSums(subject.generator.on(plan.backend), cancellation)
    return HostSums(len(subject), pairs, products=subject.products)
