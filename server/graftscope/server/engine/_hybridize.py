"""Hybrids of pairs, with both originals (section 3.1, Definitions 2 and 5).

It must not know jobs or gRPC.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine._generator import Generator, Latents
from graftscope.server.engine._intervene import Donors, Form, slots_of
from graftscope.server.engine._intervention import Intervention, plain_swap
from graftscope.server.engine._sessions import Cancellation
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
    first = generator.record(layer, latents1, cancellation)
    second = generator.record(layer, latents2, cancellation)
    # All three come from one graph: another may be optimised otherwise, and round otherwise.
    none, sets = np.zeros_like(chosen)[np.newaxis], chosen[np.newaxis]
    return Hybrids(
        original1=generator.hybrids(layer, (first, second), none, cancellation)[0],
        original2=generator.hybrids(layer, (second, first), none, cancellation)[0],
        hybrid=generator.hybrids(layer, (first, second), sets, cancellation)[0],
    )


def assign(
    generator: Generator,
    intervention: Intervention,
    latents1: Latents,
    latents2: Latents,
    cancellation: Cancellation | None = None,
) -> Hybrids:
    """Makes an intervention on original 1: at any layers, of any kind.

    Args:
        generator: the generator.
        intervention: at least one edit.
        latents1: of original 1, by input's name, each (B, ...).
        latents2: of original 2.
        cancellation: what may stop it.

    Raises:
        Cancelled: it was stopped.
    """
    if (edit := plain_swap(intervention)) is not None:
        chosen = channel_set(edit.layer, edit.channels)
        return hybridize(generator, edit.layer, chosen, latents1, latents2, cancellation)
    return _assign(generator, intervention, latents1, latents2, cancellation)


def _assign(
    generator: Generator,
    intervention: Intervention,
    latents1: Latents,
    latents2: Latents,
    cancellation: Cancellation | None,
) -> Hybrids:
    form = Form.of(generator, intervention)
    above1, above2 = (form.above(x, cancellation) for x in (latents1, latents2))
    nothing = form.nothing(intervention)
    slots = slots_of(intervention, Donors(generator, latents2, cancellation))
    return Hybrids(
        original1=form.images(above1, nothing, cancellation).numpy(),
        original2=form.images(above2, nothing, cancellation).numpy(),
        hybrid=form.images(above1, slots, cancellation).numpy(),
    )


def channel_set(layer: bundle_pb2.Layer, channels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(C,) booleans, true for these channels of the layer."""
    chosen = np.zeros(layer.channels, dtype=np.bool_)
    chosen[channels] = True
    return chosen
