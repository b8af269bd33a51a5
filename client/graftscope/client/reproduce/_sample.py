"""Whether there are pairs enough for a verdict: a rule that follows from the sample itself.

Modules are found in influence maps, which are means over pairs. The standard error of a map's
pixels, squared, over the variance of the map across the picture is its noise: the part of what the
clustering sees that another draw of pairs would change. It falls as one over the number of pairs.
It must not know experiments or figures.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from graftscope.client.reproduce._reproduction import Claim, Verdict
from graftscope.client.values import InfluenceResult

MOST_NOISE = 0.025
"""Modules are judged where a layer's median map has at most this noise.

Such a map and the one over all pairs there could be correlate to 0.99. For the VAE of faces it
takes about 300 pairs, beyond which consistency no longer grows (`reproduce sensitivity`).
"""


@dataclass(frozen=True)
class Sample:
    """The pairs that a claim rests on.

    Args:
        pairs: Behind every map.
        noise: Of the noisiest layer: median over its channels; NaN where one pair tells none.
    """

    pairs: int
    noise: float

    @property
    def suffices(self) -> bool:
        """Whether modules of these maps may be judged."""
        return self.noise <= MOST_NOISE

    @property
    def needed(self) -> int | None:
        """About how many pairs would do; None where that is not known."""
        if math.isnan(self.noise):
            return None
        return math.ceil(self.pairs * self.noise / MOST_NOISE)

    @property
    def words(self) -> str:
        """What the sample has, and what it takes."""
        needs = f"a verdict needs {100 * MOST_NOISE:g} % or less"
        if self.needed is None:
            return f"{self.pairs:,} pair tells nothing of the maps' noise; {needs}"
        about = "" if self.suffices else f", about {_rounded(self.needed):,} pairs"
        return (
            f"noise is {100 * self.noise:.1f} % of what the maps over {self.pairs:,} pairs show; "
            f"{needs}{about}"
        )


def noise_of(maps: InfluenceResult) -> float:
    """Squared standard error over variance across the picture: median over channels that act."""
    variance = maps.maps.var(axis=(1, 2))
    acting = variance > 0
    if not acting.any():
        return math.nan
    error = (maps.stderr[acting] ** 2).mean(axis=(1, 2))
    return float(np.median(error / variance[acting]))


def sample_of(maps: Iterable[InfluenceResult]) -> Sample:
    """Describe the pairs behind the maps of one or more layers, by the noisiest."""
    given = list(maps)
    return Sample(min(each.pairs for each in given), max(map(noise_of, given), key=_nan_last))


def resting_on(sample: Sample, claims: Sequence[Claim]) -> list[Claim]:
    """Claims about modules of the sample's maps: without a verdict where the pairs are too few."""
    if sample.suffices:
        return [replace(claim, sample=sample.words) for claim in claims]
    return [replace(claim, sample=sample.words, verdict=Verdict.TOO_FEW) for claim in claims]


def _nan_last(noise: float) -> float:
    return math.inf if math.isnan(noise) else noise


def _rounded(pairs: int) -> int:
    """Up to two digits, as an estimate is."""
    step = int(10 ** max(0, len(str(pairs)) - 2))
    return -(-pairs // step) * step
