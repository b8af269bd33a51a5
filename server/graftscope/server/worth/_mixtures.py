"""Hybrids whose modules come from different donors at once. It must not know what is measured.

Axes: K modules, B pairs, C channels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import Latents
from graftscope.server.errors import InvalidInput
from graftscope.server.worth._making import Images, Making
from graftscope.v1 import bundle_pb2


@dataclass(frozen=True)
class Donors:
    """Which originals 2 give which module.

    Module k of the hybrid of pair i comes from original 2 of pair i + k · (N // K), counted round
    among the N pairs: so no hybrid has two modules of one donor, and all donors give as often.

    Attributes:
        making: makes the images.
        first: index of the first pair.
        pairs: N.
        modules: K, at most N.
    """

    making: Making
    first: int
    pairs: int
    modules: int

    def __post_init__(self) -> None:
        """Refuses too few pairs."""
        if self.modules > self.pairs:
            raise InvalidInput(
                f"{self.pairs} pairs have fewer donors than the {self.modules} modules; ask for at"
                " least as many pairs",
                field="pairs.count",
            )

    def latents(self, pairs: range, module: int) -> Latents:
        """Of the donors of a module, for the hybrids of some pairs."""
        shift = module * (self.pairs // self.modules)
        end = self.first + self.pairs
        wanted = range(pairs.start + shift, pairs.stop + shift)
        before = range(wanted.start, min(wanted.stop, end))
        after = range(max(wanted.start, end) - self.pairs, wanted.stop - self.pairs)
        parts = [self.making.source.latents(each)[1] for each in (before, after) if len(each)]
        return {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}

    def mixed(self, layer: bundle_pb2.Layer, pairs: range, sets: NDArray[np.bool_]) -> Images:
        """Original 1 with the channels of every module of another donor.

        Args:
            layer: where channels are swapped.
            pairs: which pairs.
            sets: (K, C) the channels of each module; those of none stay original 1's.
        """
        given = [(channels, self.latents(pairs, k)) for k, channels in enumerate(sets)]
        return self.making.mixture(layer, self.making.source.latents(pairs)[0], given)
