"""Hybrids of pairs, with both originals (section 3.1, Definitions 2 and 5).

It must not know jobs or gRPC.
"""

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine._generator import Generator, Latents
from graftscope.server.engine._grafting import Drawn, Hybrids, grafting
from graftscope.server.engine._intervention import Edit, Intervention
from graftscope.server.engine._sessions import Cancellation
from graftscope.v1 import bundle_pb2


def hybridize(
    generator: Generator,
    layer: bundle_pb2.Layer,
    chosen: NDArray[np.bool_],
    latents1: Latents,
    latents2: Latents,
    cancellation: Cancellation | None = None,
) -> Hybrids:
    """Gives original 1 the chosen channels of original 2.

    Args:
        generator: the generator.
        layer: where to splice.
        chosen: (C,), the channels E; none gives original 1, all give original 2 where nothing is
            carried.
        latents1: of original 1, by input's name, each (B, ...).
        latents2: of original 2.
        cancellation: what may stop it.
    """
    swap = (Edit(layer, np.flatnonzero(chosen)),)
    return assign(generator, swap, latents1, latents2, cancellation)


def assign(
    generator: Generator,
    intervention: Intervention,
    latents1: Latents,
    latents2: Latents,
    cancellation: Cancellation | None = None,
) -> Hybrids:
    """Makes an intervention on original 1: at any layers, of any kind.

    All three come from one graph: another may be optimised otherwise, and round otherwise.

    Args:
        generator: the generator.
        intervention: at least one edit.
        latents1: of original 1, by input's name, each (B, ...).
        latents2: of original 2.
        cancellation: what may stop it.

    Raises:
        Cancelled: it was stopped.
    """
    drawn = Drawn(intervention, latents1, latents2)
    return grafting(generator, intervention).run([drawn], cancellation or Cancellation())[0]


def channel_set(layer: bundle_pb2.Layer, channels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(C,) booleans, true for these channels of the layer."""
    chosen = np.zeros(layer.channels, dtype=np.bool_)
    chosen[channels] = True
    return chosen
