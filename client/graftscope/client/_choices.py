"""Arguments that belong together, gathered on their way from a client's method to a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client._originals import Originals
from graftscope.client._results import InfluenceResult
from graftscope.client._sources import Source


@dataclass(frozen=True)
class PairChoice:
    """Which pairs of originals: `count` from index `first` on, drawn with `seed`."""

    count: int
    seed: int
    first: int
    originals: Originals | None


@dataclass(frozen=True, eq=False)
class ChannelChoice:
    """E, the channels to assign: their indices, or a module of labels."""

    channels: Sequence[int] | None
    labels: NDArray[np.integer] | None
    module: int | None


GivenMaps: TypeAlias = InfluenceResult | NDArray[np.floating] | str
"""What modules can be found in: a result, (C, H, W) maps, or the name of an influence operation."""


@dataclass(frozen=True, eq=False)
class MapsChoice:
    """Influence maps, or their operation's name; their products, and what they are of, if known."""

    maps: NDArray[np.floating] | str
    products: NDArray[np.floating] | None = None
    source: Source | None = None

    @classmethod
    def of(cls, given: GivenMaps, products: NDArray[np.floating] | None = None) -> "MapsChoice":
        """Take what was given; a result brings its products along."""
        if not isinstance(given, InfluenceResult):
            return cls(given, products)
        return cls(given.maps, given.products if products is None else products, given.source)
