"""The mean of each of a layer's channels over the prior: what a channel is when nobody asks.

It must not know interventions, jobs or gRPC.
"""

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine._generator import CHANNEL_AXES, Generator
from graftscope.server.engine._originals import PriorPairs
from graftscope.server.engine._plan import choose_plan
from graftscope.server.engine._sessions import Cancellation
from graftscope.v1 import bundle_pb2

PRIOR_MEAN_SAMPLES = 1024
"""Originals 1 of the first pairs of seed 0."""


def prior_mean(
    generator: Generator, layer: bundle_pb2.Layer, cancellation: Cancellation | None = None
) -> NDArray[np.float32]:
    """Means over places and samples, summed in float64: (C,). Computed once a layer and kept.

    Args:
        generator: whose prior.
        layer: whose channels.
        cancellation: what may stop it.

    Raises:
        Cancelled: it was stopped.
    """
    return generator.memo.get(
        f"prior mean/{layer.name}", lambda: _compute(generator, layer, cancellation)
    )


def _compute(
    generator: Generator, layer: bundle_pb2.Layer, cancellation: Cancellation | None
) -> NDArray[np.float32]:
    source = PriorPairs(generator, seed=0)
    batch = choose_plan(generator, layer, 1).batch
    means = []
    for start in range(0, PRIOR_MEAN_SAMPLES, batch):
        latents, _ = source.latents(range(start, start + batch))
        activation = generator.record(layer, latents, cancellation).activation.numpy()
        places = set(range(1, activation.ndim)) - {CHANNEL_AXES[layer.kind]}
        means.append(activation.mean(axis=tuple(places), dtype=np.float64))  # (B, C)
    return np.asarray(np.concatenate(means).mean(axis=0)).astype(np.float32)
