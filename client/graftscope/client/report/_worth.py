"""What a layer's modules are worth, as plain values. It must not know how they are told."""

from dataclasses import dataclass

_ERRORS = 2.0
"""Standard errors from which a difference counts."""


@dataclass(frozen=True)
class Known:
    """A number and its standard error; NaN where nobody knows."""

    value: float
    stderr: float

    @property
    def is_sure(self) -> bool:
        """Whether it differs from 0 by more than its error allows."""
        return abs(self.value) > _ERRORS * self.stderr


@dataclass(frozen=True)
class ModuleWorth:
    """What was measured of one module.

    Attributes:
        index: Which.
        distance: Fréchet distance of its hybrids from samples.
        against: The same less the mean of random sets of as many channels.
        spill: Share of its change outside its own template.
        interaction: How far its effect depends on the other modules, mean over those.
    """

    index: int
    distance: Known
    against: Known
    spill: Known
    interaction: Known


@dataclass(frozen=True)
class LayerWorth:
    """What was measured of a layer's modules.

    Attributes:
        modules: At least one; those without channels are left out.
        floor: Fréchet distance of as many other samples.
        pasted: Of two originals, half a picture each.
        mixture: Of hybrids whose modules come from a donor each.
        one_donor: Of hybrids whose modules all come from one donor.
        pairs: Hybrids of each set.
        features: What the network is called whose features are compared.
        warning: What to be careful about; empty where nothing is.
    """

    modules: tuple[ModuleWorth, ...]
    floor: float
    pasted: float
    mixture: Known
    one_donor: Known
    pairs: int
    features: str
    warning: str
