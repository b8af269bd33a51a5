"""The effects of swapping channels of one layer, by compiled code; arrays in, arrays out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine.compiled._chain import Chain
from graftscope.server.engine.compiled._effects import PREPARE, RUN, write_effects
from graftscope.server.engine.compiled._functions import Functions


@dataclass(frozen=True, eq=False)
class Prepared:
    """What all channels need of a batch of pairs.

    Attributes:
        pairs: B.
        values: of every pair, (B, size).
    """

    pairs: int
    values: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ChainSums:
    """Sums over pairs, float64, as `graftscope.graph.reduce_effects` gives them.

    Attributes:
        total: (E, H, W).
        moment: (E, H, W).
        pixel_means: (E, B).
    """

    total: NDArray[np.float64]
    moment: NDArray[np.float64]
    pixel_means: NDArray[np.float64]


class ChainEffects(Functions):
    """Compiles a chain.

    Args:
        chain: what is compiled.
    """

    def __init__(self, chain: Chain) -> None:
        super().__init__(write_effects(chain), chain)
        self._chain = chain

    def prepare(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> Prepared:
        """What is done once a batch of pairs.

        Args:
            first: activations of originals 1, (B, C, h, w).
            second: of originals 2.

        Raises:
            ValueError: they are not of the chain's extents.
        """
        pairs, wanted = len(first), self._chain.stages[0].inputs
        if first.shape != (pairs, *wanted) or second.shape != first.shape:
            raise ValueError(
                f"activations are {first.shape} and {second.shape}, not {(pairs, *wanted)}"
            )
        values = np.empty((pairs, self._chain.pair_offsets[-1]), np.float32)
        originals = [np.ascontiguousarray(x, np.float32) for x in (first, second)]
        self.call(PREPARE, [pairs], [self.weights, *originals, values, self.buffer()])
        return Prepared(pairs, values)

    def run(self, prepared: Prepared, channels: NDArray[np.int64]) -> ChainSums:
        """Sums over a batch's pairs, for every channel swapped alone.

        Args:
            prepared: what `prepare` gave.
            channels: (E,), each from 0 to below C.

        Raises:
            ValueError: there is no such channel, or another chain prepared the pairs.
        """
        chain, sets, pairs = self._chain, len(channels), prepared.pairs
        if prepared.values.shape != (pairs, chain.pair_offsets[-1]):
            raise ValueError("the pairs were prepared for another chain")
        if np.any((channels < 0) | (channels >= chain.channels)):
            raise ValueError(f"channels must be from 0 to {chain.channels - 1}: {channels}")
        (_, height, across), width = chain.image, chain.stages[-1].outputs[2]
        maps = np.zeros((2, sets, height, across), np.float32)
        sums = np.empty((sets, pairs), np.float32)
        numbers = np.ascontiguousarray(channels, np.int64)
        arrays = [self.weights, prepared.values, numbers, self.buffer(), *maps, sums]
        self.call(RUN, [pairs, sets], arrays)
        mean, deviation = maps[..., :width].astype(np.float64)
        return ChainSums(mean * pairs, deviation, sums.astype(np.float64) / (height * width))
