"""What an influence job has come to while it goes on, as a watch tells it: small, and not final.

Axis letters: E sets of channels, C channels, K modules, h, w pixels of small maps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import Axes, ByValue, Checked, Displayed, Whole, Word, whole_number
from graftscope.client.values._confidence import SURE, Labelled
from graftscope.client.values._contents import FloatArray, IntArray
from graftscope.client.values._grouping import (
    GroupingMethod,
    GroupingSeed,
    Method,
    Percentile,
    Window,
)


@dataclass(frozen=True)
class ModulesAsked(Checked):
    """Which modules are to be found in the maps of a job that goes on.

    Args:
        k: How many, K.
        method: How they are found.
        seed: Of the method.
        window: Side of the averaging window in pixels, odd.
        percentile: Above which a pixel of a map counts, between 0 and 100, both excluded.
    """

    k: Annotated[int, Whole(1)]
    method: GroupingMethod = Method.NMF
    seed: GroupingSeed = 0
    window: Window = 3
    percentile: Percentile = 75.0


def modules_asked(
    modules: int | None, method: Method | str, seed: int, window: int, percentile: float
) -> ModulesAsked | None:
    """Check what is asked of modules; None where none are.

    Raises:
        InputError: If a value is not allowed.
    """
    if modules is None:
        return None
    k = whole_number("modules", modules, low=1)
    word = Method(Word(Method).checked("method", method))
    return ModulesAsked(k, word, seed, window, percentile)


@dataclass(frozen=True, eq=False, repr=False)
class PartialMaps(ByValue, Displayed):
    """Influence maps over the pairs so far, small; `Client.partial` has them whole.

    Args:
        pairs: Pairs behind the map that has had the most.
        maps: (E, h, w) float32, averaged over areas so that no side is longer than 32.
        individual: (E,) mean of each map over its pixels, in the image's own units.
        individual_stderr: (E,) its standard error; NaN with one pair.
        pairs_of: (E,) int64, pairs behind each map.
        layers: Names of the layers, where the job is of several; else none.
        layer_of: (E,) int64, index into `layers` of each map; None where there are none.
        settled: (E,) bool, which maps have had enough pairs; None without a rule that stops maps
            one by one, and before it has looked.
    """

    pairs: int
    maps: Annotated[NDArray[np.float32], Axes("E h w")]
    individual: Annotated[FloatArray, Axes("E")]
    individual_stderr: Annotated[FloatArray, Axes("E")]
    pairs_of: Annotated[IntArray, Axes("E")]
    layers: tuple[str, ...] = ()
    layer_of: Annotated[IntArray | None, Axes("E", optional=True)] = None
    settled: Annotated[NDArray[np.bool_] | None, Axes("E", optional=True)] = None


@dataclass(frozen=True, eq=False, repr=False)
class LayerModules(ByValue, Displayed, Labelled):
    """Modules in a layer's maps over the pairs so far.

    Args:
        labels: (C,) int64 module of each channel; -1 where it belongs to none.
        templates: (K, h, w) float64, averaged over areas so that no side is longer than 32.
        purity: (C,) the share of a channel's largest weight, NaN where its map is flat.
        probabilities: (C, K) how probable it is that other pairs, as many and drawn alike, put a
            channel into each module. NaN where that cannot be known.
        method: How they were found.
        confidence_unknown: Why probabilities are NaN for every channel, in a sentence; empty where
            they are known.
    """

    labels: Annotated[IntArray, Axes("C")]
    templates: Annotated[FloatArray, Axes("K h w")]
    purity: Annotated[FloatArray, Axes("C")]
    probabilities: Annotated[FloatArray, Axes("C K")]
    method: Method
    confidence_unknown: str = ""


@dataclass(frozen=True, eq=False)
class ModulesSoFar(ByValue, Displayed):
    """Modules in the maps over the pairs so far.

    Module j stays module j from one answer of a watch to the next: each is numbered as the one
    before it that shares most channels with it.

    Args:
        pairs: Pairs behind the maps that they were found in; 0 where none were found yet.
        layers: By the layer's name; without those in which there are none yet.
        skipped: Why there are none, or none of more pairs; empty where the next may come at any
            time.
    """

    pairs: int = 0
    layers: Mapping[str, LayerModules] = field(default_factory=dict)
    skipped: str = ""

    @property
    def labelled(self) -> int:
        """How many channels have a label whose probability is known."""
        return self._count(0)

    @property
    def sure(self) -> int:
        """How many of these have a probability of 0.95 or more."""
        return self._count(SURE)

    def _count(self, least: float) -> int:
        # A comparison with NaN is false.
        return sum(int((each.confidence >= least).sum()) for each in self.layers.values())


@dataclass(frozen=True, eq=False)
class SoFar(ByValue, Displayed):
    """What a watch has told beside a job's state, the latest of each.

    Args:
        maps: None before the first, and where they were not asked for.
        modules: Likewise.
    """

    maps: PartialMaps | None = None
    modules: ModulesSoFar | None = None
