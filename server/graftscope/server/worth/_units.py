"""What can be swapped unit by unit: latents (Definition 3), or channels of a layer (Definition 4).

It must not know what is measured.

Axes: N units, B pairs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import Latents
from graftscope.server.worth._making import Images, Making, spliced
from graftscope.v1 import bundle_pb2

Units: TypeAlias = NDArray[np.bool_]
"""(N,) which of them original 2 gives."""

_COORDINATES = frozenset({None, "normal", "truncated_normal", "uniform", "stored"})
"""Distributions whose every number is a unit; None stands for a normal one. A class, a choice or a
picture is swapped whole."""


class Space(Protocol):
    """All units of one kind."""

    @property
    def name(self) -> str:
        """What results call it."""

    @property
    def units(self) -> int:
        """N."""

    def opened(self, making: Making, pairs: range) -> tuple[Images, Callable[[Units], Images]]:
        """Original 1 of some pairs, and what makes their hybrids of a set of units.

        Both come from the same graph, so that the hybrid of no unit is original 1, bit for bit.
        """


@dataclass(frozen=True)
class Input:
    """One input of a generator, as latents.

    Attributes:
        name: Of the input.
        units: How many it has: its numbers, or 1 where it is swapped whole.
        shape: Of one sample's units, so that they can be laid over its values; () for one unit.
    """

    name: str
    units: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class LatentUnits:
    """The numbers of a generator's inputs, in the manifest's order.

    Attributes:
        inputs: Those that are drawn.
    """

    inputs: tuple[Input, ...]

    @classmethod
    def of(cls, manifest: bundle_pb2.Bundle) -> "LatentUnits":
        """The latents of a bundle.

        What is drawn as a class, a choice or a picture, and what is noise, is one unit each; what
        is the same in every sample is none.
        """
        return cls(tuple(_input(x) for x in manifest.inputs if not x.HasField("fixed")))

    @property
    def name(self) -> str:
        """As `Space`."""
        return "latents"

    @property
    def units(self) -> int:
        """As `Space`."""
        return sum(each.units for each in self.inputs)

    def opened(self, making: Making, pairs: range) -> tuple[Images, Callable[[Units], Images]]:
        """As `Space`: coordinates of the inputs are swapped."""
        first, second = making.source.latents(pairs)
        return making.generated(first), lambda units: making.generated(
            self.mixed(first, second, units)
        )

    def mixed(self, first: Latents, second: Latents, units: Units) -> Latents:
        """Original 1's latents with some units of original 2's.

        Args:
            first: Original 1's, (B, ...) by the input's name.
            second: Original 2's.
            units: (N,) which are original 2's.
        """
        made: dict[str, NDArray[np.generic]] = dict(first)
        start = 0
        for each in self.inputs:
            chosen = units[start : start + each.units].reshape(each.shape)
            made[each.name] = np.where(chosen, second[each.name], first[each.name])
            start += each.units
        return made


@dataclass(frozen=True, eq=False)
class ChannelUnits:
    """The channels of a layer.

    Attributes:
        layer: Which.
    """

    layer: bundle_pb2.Layer

    @property
    def name(self) -> str:
        """As `Space`."""
        return self.layer.name

    @property
    def units(self) -> int:
        """As `Space`."""
        return self.layer.channels

    def opened(self, making: Making, pairs: range) -> tuple[Images, Callable[[Units], Images]]:
        """As `Space`: what is carried past the layer stays original 1's."""
        one, two = (making.above(self.layer, x) for x in making.source.latents(pairs))
        return making.below(self.layer, one), lambda units: making.below(
            self.layer, spliced(self.layer, one, [(units, two)])
        )


def _input(value: bundle_pb2.Input) -> Input:
    if value.noise or value.WhichOneof("distribution") not in _COORDINATES:
        return Input(value.name, 1, ())
    shape = tuple(value.shape)
    return Input(value.name, math.prod(shape), shape)
