"""Hybrids of the same pairs, one intervention after another: what does not change is kept.

The images are those of `Hybridize`, to the bit, of which an exploration runs only what lies below
the intervention. Letters: B pairs, (c, H, W) the image. It must not know jobs, gRPC or who asks.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._edits import Intervention
from graftscope.server.engine._generator import Generator, Latents, Recording
from graftscope.server.engine._intervention_forms import Donors, Feeds, Form, slots_of
from graftscope.server.engine._samples_and_hybrids import (
    DrawPairs,
    grafting,
    sampling,
    stacked,
    swapped_images,
    swapped_layer,
)
from graftscope.v1 import bundle_pb2

# Layers, and forms, whose recordings are kept: whoever drags stays at one, or goes to and fro.
_KEPT = 2

RECORDINGS_KEPT = 2 * _KEPT
"""Of each of the samples: of layers, and of forms with what original 2 holds there."""

_Kept = TypeVar("_Kept")


@dataclass(frozen=True, eq=False)
class Shown:
    """What was asked for, each (B, c, H, W) in the generator's range.

    Attributes:
        hybrid: None without an intervention.
        original1, original2: None where they were not asked for.
    """

    hybrid: NDArray[np.float32] | None
    original1: NDArray[np.float32] | None = None
    original2: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class _Above:
    """What lies above an intervention of a form, and original 2's activations."""

    feeds: Feeds
    donors: Donors


class Exploration:
    """Pairs whose hybrids are wanted again and again, in one thread at a time.

    Args:
        generator: the generator.
        draw: gives the pairs, when the first image is made.
        count: how many pairs there are, B.
    """

    def __init__(self, generator: Generator, draw: DrawPairs, count: int) -> None:
        self.generator = generator
        self.count = count
        self._draw = draw
        self._recorded: OrderedDict[str, Recording] = OrderedDict()
        self._above: OrderedDict[str, _Above] = OrderedDict()

    def is_open(self, intervention: Intervention | None) -> bool:
        """Whether it can be made without opening a session."""
        return (
            grafting(self.generator, intervention).is_open()
            if intervention is not None
            else sampling(self.generator).is_open()
        )

    def made(
        self, intervention: Intervention | None, cancellation: Cancellation, *, originals: bool
    ) -> Shown:
        """The hybrids of an intervention, and both originals if they are wanted.

        Args:
            intervention: None for the originals alone.
            cancellation: what may stop it.
            originals: whether they are wanted too.

        Raises:
            Cancelled: it was stopped.
        """
        if intervention is None:
            one, two = (self.generator.generate(x, cancellation) for x in self._latents)
            return Shown(None, one, two)
        layer = swapped_layer(self.generator, intervention)
        if layer is None:
            return self._assigned(intervention, cancellation, originals=originals)
        return self._swapped(layer, intervention[0].channels, cancellation, originals=originals)

    @cached_property
    def _latents(self) -> tuple[Latents, Latents]:
        return self._draw()

    def _swapped(
        self,
        layer: bundle_pb2.Layer,
        channels: tuple[int, ...],
        cancellation: Cancellation,
        *,
        originals: bool,
    ) -> Shown:
        def record() -> Recording:
            return self.generator.record(layer, stacked(self._latents), cancellation)

        recording = _kept(self._recorded, layer.name, record)
        first, second = np.arange(self.count), np.arange(self.count, 2 * self.count)
        # Original 1, original 2 and the hybrid, or that alone.
        wanted = slice(0 if originals else 2, 3)
        bases, donors = (first, second, first)[wanted], (first, second, second)[wanted]
        sets = np.zeros((len(bases) * self.count, layer.channels), dtype=np.bool_)
        sets[-self.count :, list(channels)] = True
        images = swapped_images(
            self.generator,
            layer,
            recording,
            np.concatenate(bases),
            np.concatenate(donors),
            sets,
            cancellation,
        )
        *both, hybrid = images.reshape(len(bases), self.count, *images.shape[1:])
        return Shown(hybrid, *both)

    def _assigned(
        self, intervention: Intervention, cancellation: Cancellation, *, originals: bool
    ) -> Shown:
        form = Form.of(self.generator, intervention)
        latents1, latents2 = self._latents

        def look() -> _Above:
            # What stops a run is that of the call that makes it, and not of the first one.
            donors = Donors(self.generator, latents2, None)
            return _Above(form.above(latents1, cancellation), donors)

        above = _kept(self._above, form.key, look)
        slots = slots_of(intervention, above.donors)
        hybrid = form.images(above.feeds, slots, cancellation).numpy()
        if not originals:
            return Shown(hybrid)
        nothing = form.nothing(intervention)
        above2 = form.above(latents2, cancellation)
        both = (form.images(x, nothing, cancellation).numpy() for x in (above.feeds, above2))
        return Shown(hybrid, *both)


def _kept(those: "OrderedDict[str, _Kept]", key: str, make: Callable[[], _Kept]) -> _Kept:
    """What is kept under a key, made if it is not; what was used longest ago makes room."""
    if key not in those:
        those[key] = make()
        while len(those) > _KEPT:
            those.popitem(last=False)
    those.move_to_end(key)
    return those[key]
