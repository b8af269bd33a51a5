"""Hybrids of pairs, with both originals (section 3.1, Definition 5).

It must not know jobs or gRPC.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine._generator import Generator, Latents
from graftscope.v1 import bundle_pb2


@dataclass(frozen=True, eq=False)
class Hybrids:
    """Both originals and the hybrid of every pair, each (B, c, H, W), in the generator's range."""

    original1: NDArray[np.float32]
    original2: NDArray[np.float32]
    hybrid: NDArray[np.float32]


def hybridize(
    generator: Generator,
    layer: bundle_pb2.Layer,
    chosen: NDArray[np.bool_],
    latents1: Latents,
    latents2: Latents,
) -> Hybrids:
    """Gives original 1 the chosen channels of original 2.

    Args:
        generator: the generator.
        layer: where to splice.
        chosen: (C,), the channels E; none gives original 1, all give original 2 where nothing is
            carried.
        latents1: of original 1, by input's name, each (B, ...).
        latents2: of original 2.
    """
    recordings = generator.record(layer, latents1), generator.record(layer, latents2)
    original1, original2 = (generator.original(layer, x).numpy() for x in recordings)
    hybrid = generator.hybrids(layer, recordings, chosen[np.newaxis])[0]
    return Hybrids(original1, original2, hybrid)


def channel_set(layer: bundle_pb2.Layer, channels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(C,) booleans, true for these channels of the layer."""
    chosen = np.zeros(layer.channels, dtype=np.bool_)
    chosen[channels] = True
    return chosen
