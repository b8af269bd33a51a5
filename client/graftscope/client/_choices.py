"""Arguments that belong together, gathered on their way from a client's method to a request."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client._fixed import Fixed, fixed_values
from graftscope.client._interventions import Edit, Intervention, ModuleOf
from graftscope.client._models import Model
from graftscope.client._originals import Originals
from graftscope.client._results import InfluenceResult
from graftscope.client._sources import Source
from graftscope.client.errors import UsageError


@dataclass(frozen=True)
class PairChoice:
    """Which pairs of originals: `count` from index `first` on, drawn with `seed`.

    Original 2 takes original 1's value of the inputs that `share` names; `fix` holds the values of
    inputs that are the same in every sample; `stratified` pairs are spread evenly.
    """

    count: int
    seed: int
    first: int
    originals: Originals | None
    share: Sequence[str] = ()
    fix: Fixed | None = None
    stratified: bool = False

    def fixed(self, model: Model) -> "PairChoice":
        """Give the fixed values the types and shapes of a model's inputs."""
        return replace(self, fix=fixed_values(self.fix or {}, model))


@dataclass(frozen=True, eq=False)
class ChannelChoice:
    """What hybrids take: channels of a layer, a module of it, or an intervention of any kind."""

    layer: str
    channels: Sequence[int] | None
    labels: NDArray[np.integer] | None
    module: int | None
    intervention: Intervention | None = None

    def to_intervention(self) -> Intervention:
        """Make it an intervention: one swap from original 2, unless one was given.

        Raises:
            UsageError: If it is not said in one way, and in one alone.
        """
        given = (self.channels, self.labels, self.module)
        if self.intervention is not None:
            if self.layer or any(each is not None for each in given):
                raise UsageError(
                    "an intervention names its layers and channels itself: leave out `layer`,"
                    " `channels`, `labels` and `module`"
                )
            return self.intervention
        if not self.layer:
            raise UsageError("say where: either `layer` with channels, or `intervention`")
        match given:
            case (channels, None, None) if channels is not None:
                return Intervention([Edit(self.layer, channels)])
            case (None, labels, module) if labels is not None and module is not None:
                return Intervention([Edit(self.layer, module=ModuleOf(labels, module))])
            case _:
                raise UsageError("say which channels: either `channels`, or `labels` and `module`")


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
