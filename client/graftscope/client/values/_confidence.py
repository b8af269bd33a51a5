"""How sure labels are, once their probabilities are known: which are not, and between what.

Axis letters: C channels, K modules.
"""

from dataclasses import dataclass

import numpy as np

from graftscope.client.arrays import finite_number
from graftscope.client.values._contents import FloatArray, IntArray

NONE = -1
"""The label of a channel in no module."""

SURE = 0.95
"""From which probability of a channel's own module on it counts as sure."""

RIVAL = 0.2
"""From which probability of a second module on a channel is between two."""


@dataclass(frozen=True)
class Between:
    """A channel whose module is not sure.

    Args:
        channel: Its number; where it is not known which channels the maps were of, its position
            among them.
        modules: Those that other pairs may well put it into, the most probable first.
        probabilities: How probable each is.
    """

    channel: int
    modules: tuple[int, ...]
    probabilities: tuple[float, ...]

    def __str__(self) -> str:
        """Say it: ``channel 17 is between modules 0 and 2 (0.55, 0.41)``."""
        listed = " and ".join([", ".join(map(str, self.modules[:-1])), str(self.modules[-1])])
        shares = ", ".join(f"{each:.2f}" for each in self.probabilities)
        return f"channel {self.channel} is between modules {listed} ({shares})"


def own_probability(labels: IntArray, probabilities: FloatArray) -> FloatArray:
    """(C,) probability of each channel's own module; NaN where it is in none, or not known."""
    own = np.take_along_axis(probabilities, labels[:, np.newaxis].clip(0), axis=1)
    return np.where(labels == NONE, np.nan, own[:, 0])


def between_modules(
    probabilities: FloatArray, rival: float = RIVAL, channels: IntArray | None = None
) -> tuple[Between, ...]:
    """Tell which channels may well belong to more than one module.

    Args:
        probabilities: (C, K); NaN where not known.
        rival: A channel is between modules where at least two have this probability.
        channels: (C,) their numbers; None for their positions.

    Returns:
        Those channels, each with all modules that have it, the most probable first.
    """
    rival = finite_number("rival", rival)
    numbers = np.arange(len(probabilities)) if channels is None else channels
    unsure = np.flatnonzero((probabilities >= rival).sum(axis=1) > 1)
    return tuple(_between(int(numbers[at]), probabilities[at], rival) for at in unsure)


def _between(channel: int, found: FloatArray, rival: float) -> Between:
    ranked = np.argsort(-found, kind="stable")
    some = ranked[: np.count_nonzero(found >= rival)].tolist()
    return Between(channel, tuple(some), tuple(found[some].tolist()))


class Labelled:
    """A base for modules that say how sure each channel's label is."""

    labels: IntArray
    templates: FloatArray
    probabilities: FloatArray

    @property
    def k(self) -> int:
        """Number of modules, K."""
        return len(self.templates)

    @property
    def confidence(self) -> FloatArray:
        """(C,) probability of each channel's own module; NaN where it is in none, or not known."""
        return own_probability(self.labels, self.probabilities)

    def between(self, rival: float = RIVAL) -> tuple[Between, ...]:
        """Tell which channels may well belong to another module than theirs.

        Args:
            rival: A channel is between modules where at least two have this probability.

        Returns:
            Those channels, each with all modules that have it, the most probable first.
        """
        return between_modules(self.probabilities, rival, self.channel_numbers)

    @property
    def channel_numbers(self) -> IntArray:
        """(C,) the channels' numbers."""
        return np.arange(len(self.labels))
