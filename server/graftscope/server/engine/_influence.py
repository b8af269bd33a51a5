"""Influence of one shard of pairs: record, splice, run, accumulate (section 3.2, equation 3).

It must not know jobs, gRPC or workers: a shard in, its sums out.
"""

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from graftscope.graph import Areas
from graftscope.server.analysis import MapMoments, area_means, merge_in_order
from graftscope.server.engine._generator import Effects, Generator, Recording
from graftscope.server.engine._originals import PairSource
from graftscope.server.engine._plan import Plan
from graftscope.server.engine._sessions import Cancellation
from graftscope.v1 import bundle_pb2

PRODUCT_SIDE = 16
"""Products of effects are taken on areas so that no side is longer than this, in pixels."""


@dataclass(frozen=True, eq=False)
class Subject:
    """Whose influence is wanted.

    Attributes:
        generator: the generator.
        layer: where it is cut.
        sets: (E, C), the channels of each E.
        areas: sides of the areas that maps are averaged over.
        products: whether products of effects are wanted too; then a run holds one pair.
    """

    generator: Generator
    layer: bundle_pb2.Layer
    sets: NDArray[np.bool_]
    areas: Areas
    products: bool = False


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


@dataclass(frozen=True, eq=False)
class Batch:
    """Both originals of a batch of pairs, on the device.

    Attributes:
        recordings: of originals 1 and 2.
        image1: the unintervened image of original 1.
    """

    recordings: tuple[Recording, Recording]
    image1: ort.OrtValue


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
    starts = range(pairs.start, pairs.stop, plan.batch)
    batches = [range(start, min(start + plan.batch, pairs.stop)) for start in starts]
    runs = [batch_effects(subject, plan, source, batch, cancellation) for batch in batches]
    moments = merge_in_order(
        MapMoments.from_batch(len(batch), run.total, run.moment)
        for batch, run in zip(batches, runs, strict=True)
    )
    means = np.concatenate([run.pixel_means.T for run in runs])  # (B, E)
    products = sum_products(runs) if subject.products else None
    return ShardEffects(moments, np.ascontiguousarray(means), products)


def sum_products(runs: list[Effects]) -> NDArray[np.float64]:
    """Adds up the products of effects, (E, E); each run holds one pair, so its total is its map."""
    total = np.zeros((len(runs[0].total),) * 2)
    for run in runs:
        effects = area_means(run.total, PRODUCT_SIDE).reshape(len(run.total), -1)  # (E, P)
        # Not BLAS: how it sums depends on how many threads it is left.
        total += np.einsum("ep,fp->ef", effects, effects) / effects.shape[1]
    return total


def batch_effects(
    subject: Subject, plan: Plan, source: PairSource, pairs: range, cancellation: Cancellation
) -> Effects:
    """Sums over one batch of pairs for all sets: both originals once, every set's hybrids."""
    batch = record_batch(subject, source, pairs, cancellation)
    parts = [
        set_effects(subject, batch, subject.sets[i : i + plan.sets], cancellation)
        for i in range(0, len(subject.sets), plan.sets)
    ]
    return Effects(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("total", "moment", "pixel_means")
        )
    )


def record_batch(
    subject: Subject, source: PairSource, pairs: range, cancellation: Cancellation
) -> Batch:
    """What all sets of a batch share: draws, generates and records both originals."""
    generator, layer = subject.generator, subject.layer
    latents1, latents2 = source.latents(pairs)
    recordings = (
        generator.record(layer, latents1, cancellation),
        generator.record(layer, latents2, cancellation),
    )
    return Batch(recordings, generator.original(layer, recordings[0], cancellation))


def set_effects(
    subject: Subject, batch: Batch, sets: NDArray[np.bool_], cancellation: Cancellation
) -> Effects:
    """Sums over the batch's pairs for some sets, in one run."""
    generator, layer = subject.generator, subject.layer
    return generator.effects(
        layer, batch.recordings, batch.image1, sets, subject.areas, cancellation
    )
