"""Stability: how far modules depend on the channels that they are found in (section 4.1, Fig. 5).

Axis letters: C channels, n numbers of modules, M methods, R repeats.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    Arrays,
    Axes,
    By,
    Checked,
    Columns,
    Drawn,
    Flag,
    Gridded,
    Saved,
    Several,
    Source,
    Tabular,
    Whole,
    Word,
    deviation_of_known,
    mean_of_known,
    taken,
)
from graftscope.client.values._contents import (
    FloatArray,
    IntArray,
    checked_maps,
    checked_products,
    of_older,
)
from graftscope.client.values._grouping import KS_FLAG, Method, Percentile, Window
from graftscope.client.values._modules import maps_and_products

_METHODS_FLAG = Flag(
    "--method",
    "METHOD,...",
    f"How channels are grouped: {', '.join(Method)}. Several methods are compared on the same "
    "thirds. pca and spectral need maps with --products.",
)


@dataclass(frozen=True, eq=False, repr=False)
class StabilityTask(Checked):
    """How far modules depend on which channels they were found in (section 4.1, Fig. 5).

    Args:
        maps: (C, H, W) influence maps, or the name of the influence operation that holds them.
        ks: Numbers of modules, each at least 2; None for 2 to 10, as far as the maps allow.
        methods: How modules are found; all are compared on the same partitions.
        repeats: Random partitions of the channels into three thirds, at least 1.
        seed: Of the partitions and of the methods.
        window: As of `ModulesTask`.
        percentile: As of `ModulesTask`.
        products: As of `ModulesTask`.
    """

    maps: Annotated[NDArray[np.floating] | str, By(checked_maps)]
    ks: Annotated[Sequence[int] | None, Several(Whole(2)), KS_FLAG] = None
    methods: Annotated[
        Sequence[Method],
        Several(Word(Method)),
        _METHODS_FLAG,
    ] = (Method.NMF, Method.KMEANS)
    repeats: Annotated[
        int, Whole(1), Flag("--repeats", "R", "Random cuts into thirds, at least 1.")
    ] = 20
    seed: Annotated[
        int,
        Whole(),
        Flag(
            "--cut-seed",
            "S",
            "Decides only the cuts and the grouping in them, 0 to 4294967295. Default: --seed.",
        ),
    ] = 0
    window: Window = 3
    percentile: Percentile = 75.0
    products: Annotated[NDArray[np.floating] | None, By(checked_products)] = None

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        return {**vars(self), **maps_and_products(self.maps, self.products, self.methods)}


@dataclass(frozen=True)
class SuggestedK:
    """The number of modules that one method's stability speaks for (section 4.1).

    Args:
        method: The method.
        k: The number of modules whose consistency exceeds chance most.
        consistency: Its mean over repeats at this K.
        chance: The consistency that permuted labels reach at this K.
        excess_stderr: Standard error of the excess over repeats.
        rivals: Other numbers of modules whose excess is less than two standard
            errors (paired by partition) below the best one's.
        reason: All of it in a sentence.
    """

    method: Method
    k: int
    consistency: float
    chance: float
    excess_stderr: float
    rivals: tuple[int, ...]
    reason: str


@dataclass(frozen=True, eq=False, repr=False)
class StabilityResult(Saved, Tabular, Drawn, Gridded):
    """How far modules depend on which channels they were found in (section 4.1, Fig. 5).

    As a table a row a repeat of each method and number of modules: its consistency, its cosine, and
    the chance of that method and number.

    The channels are cut at random into three thirds, and modules are found twice, in two thirds
    that share one.

    Args:
        k: (n,) int64 numbers of modules.
        methods: M methods.
        consistency: (M, n, R) share of the shared third's channels with one label in both runs, 0
            to 1; NaN where a run did not settle.
        cosine: (M, n, R) cosine of matched templates, averaged over modules; 1 for equal ones.
        chance: (M, n) the consistency that permuted labels reach.
        suggested: One a method.
        channels: How many channels took part: those whose map is not flat; 0 where a file does not
            say.
        operation: The operation that computed it.
        source: Which model and layer the maps are of; None where only arrays were given, or the
            result was read by the operation's name.
        took_s: Seconds from its first request to its end, waits included; NaN where not known.
    """

    k: Annotated[IntArray, Axes("n")]
    methods: tuple[Method, ...]
    consistency: Annotated[FloatArray, Axes("M n R")]
    cosine: Annotated[FloatArray, Axes("M n R")]
    chance: Annotated[FloatArray, Axes("M n")]
    suggested: tuple[SuggestedK, ...]
    channels: int
    operation: str
    source: Source | None = None
    took_s: float = math.nan

    BESIDE: ClassVar = (
        "repeats",
        "settled",
        "consistency_mean",
        "consistency_sd",
        "cosine_mean",
        "cosine_sd",
    )

    @property
    def repeats(self) -> int:
        """How many random partitions there were, R."""
        return int(self.consistency.shape[2])

    @property
    def settled(self) -> IntArray:
        """(M, n) repeats in which both runs settled: those behind means and deviations."""
        counts: IntArray = np.isfinite(self.consistency).sum(axis=2)
        return counts

    @property
    def consistency_mean(self) -> FloatArray:
        """(M, n) mean over repeats; NaN where none settled."""
        return mean_of_known(self.consistency)

    @property
    def consistency_sd(self) -> FloatArray:
        """(M, n) standard deviation over repeats; NaN where fewer than two settled."""
        return deviation_of_known(self.consistency)

    @property
    def cosine_mean(self) -> FloatArray:
        """(M, n) mean over repeats; NaN where none settled."""
        return mean_of_known(self.cosine)

    @property
    def cosine_sd(self) -> FloatArray:
        """(M, n) standard deviation over repeats; NaN where fewer than two settled."""
        return deviation_of_known(self.cosine)

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        source = "given maps" if self.source is None else str(self.source)
        methods, repeats = ", ".join(self.methods), self.repeats
        numbers = ", ".join(map(str, self.k))
        return f"<StabilityResult of {source}: K {numbers}, {methods}, {repeats} repeats>"

    def columns(self) -> Columns:
        """As `Tabular.columns`."""
        shape = self.consistency.shape
        method, k, repeat = (each.reshape(-1) for each in np.indices(shape))
        return {
            "method": np.array(self.methods, np.str_)[method],
            "k": self.k[k],
            "repeat": repeat,
            "consistency": self.consistency.reshape(-1),
            "cosine": self.cosine.reshape(-1),
            "chance": self.chance[method, k],
        }

    def arrays(self) -> Arrays:
        """As `Saved.arrays`; with the methods and the suggested numbers of modules."""
        beside = {
            "method": np.array(self.methods, np.str_),
            "suggested": np.array([each.k for each in self.suggested], np.int64),
        }
        return {**super().arrays(), **beside}

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        methods = tuple(map(Method, taken(arrays, "method").tolist()))
        suggested = zip(methods, taken(arrays, "suggested").tolist(), strict=True)
        return {
            "methods": methods,
            "suggested": tuple(_suggested(arrays, at, *each) for at, each in enumerate(suggested)),
            "channels": 0,
            "operation": of_older(source).operation,
            "source": source,
        }


def _suggested(arrays: Arrays, at: int, method: Method, k: int) -> SuggestedK:
    """What the arrays of an earlier version's file tell of a suggestion."""
    place = taken(arrays, "k").tolist().index(k)
    consistency = mean_of_known(taken(arrays, "consistency")[at, place])
    chance = float(taken(arrays, "chance")[at, place])
    return SuggestedK(method, k, float(consistency), chance, math.nan, (), "")
