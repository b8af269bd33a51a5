"""What analyses over many numbers of modules answer, as numpy arrays: stability, magnitude.

Axis letters: C channels, n numbers of modules, M methods, R repeats, N modules of all layers and
all numbers of modules together, L layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client._execution import Execution
from graftscope.client._files import write_npz
from graftscope.client._layers import LayersResult
from graftscope.client._results import FloatArray, InfluenceResult, ModulesResult
from graftscope.client._sources import Source
from graftscope.client._statistics import deviation_of_known, mean_of_known
from graftscope.client._tasks import Method

POOLED = "pooled"
"""What the regression over all layers together is called in files."""


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
class StabilityResult:
    """How far modules depend on which channels they were found in (section 4.1, Fig. 5).

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
        channels: How many channels took part: those whose map is not flat.
        operation: The operation that computed it.
        source: Which model and layer the maps are of; None where only arrays were given, or the
            result was read by the operation's name.
    """

    k: NDArray[np.int64]
    methods: tuple[Method, ...]
    consistency: FloatArray
    cosine: FloatArray
    chance: FloatArray
    suggested: tuple[SuggestedK, ...]
    channels: int
    operation: str
    source: Source | None = None

    @property
    def settled(self) -> NDArray[np.int64]:
        """(M, n) repeats in which both runs settled: those behind means and deviations."""
        counts: NDArray[np.int64] = np.isfinite(self.consistency).sum(axis=2)
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
        methods, repeats = ", ".join(self.methods), self.consistency.shape[2]
        numbers = ", ".join(map(str, self.k))
        return f"<StabilityResult of {source}: K {numbers}, {methods}, {repeats} repeats>"

    def save(self, path: str | Path) -> None:
        """Write k, method, consistency, cosine, chance and suggested to an `.npz` file.

        The archive's comment holds `source` as JSON, if it is known.

        Raises:
            OutputError: If the file cannot be written.
        """
        arrays = {
            "k": self.k,
            "method": np.array(self.methods, np.str_),
            "consistency": self.consistency,
            "cosine": self.cosine,
            "chance": self.chance,
            "suggested": np.array([each.k for each in self.suggested], np.int64),
        }
        write_npz(path, arrays, b"" if self.source is None else self.source.to_comment())


@dataclass(frozen=True)
class Regression:
    """A line through modules' individual influence, by ordinary least squares.

    Every number but `rows` is NaN where there were too few different sizes for a line.

    Args:
        layer: The layer's name; None for all layers together.
        slope: Individual influence a channel, or of the whole layer, in the image's units.
        intercept: In the image's units.
        r2: Share of the variance that the line explains, 0 to 1.
        slope_stderr: Standard error of the slope.
        residual: Standard deviation of what the line leaves, in the image's units.
        rows: How many modules it goes through.
    """

    layer: str | None
    slope: float
    intercept: float
    r2: float
    slope_stderr: float
    residual: float
    rows: int


@dataclass(frozen=True, eq=False, repr=False)
class MagnitudeResult:
    """How much modules change the image as their number grows (section 4.1, Fig. 3).

    The columns have N rows, one a module of every layer and every number of modules.

    Args:
        layers: L layers' names.
        layer: (N,) the layer's name.
        k: (N,) int64 the number of modules that the layer was divided into.
        module: (N,) int64 which of them.
        channels: (N,) int64 how many channels the module has.
        share: (N,) the same as a share of the layer's, 0 to 1.
        individual: (N,) individual influence, in the image's own units.
        individual_stderr: (N,) its standard error, from the pairs' own pixel means.
        by_share: Individual influence against the share: one regression a layer, then all layers
            together.
        by_channels: Individual influence against the number of channels, likewise.
        range_width: Width of the image's range.
        pairs: Pairs that found the modules, and as many that measured them.
        distinct_images: How many different real images were used; 0 where none were.
        originals: prior, encoded, images, latents or image_pairs.
        method: How modules were found.
        model: The model's name.
        operation: The operation that computed it.
        execution: What computed it.
    """

    layers: tuple[str, ...]
    layer: NDArray[np.str_]
    k: NDArray[np.int64]
    module: NDArray[np.int64]
    channels: NDArray[np.int64]
    share: FloatArray
    individual: FloatArray
    individual_stderr: FloatArray
    by_share: tuple[Regression, ...]
    by_channels: tuple[Regression, ...]
    range_width: float
    pairs: int
    distinct_images: int
    originals: str
    method: Method
    model: str
    operation: str
    execution: Execution

    @property
    def individual_share(self) -> FloatArray:
        """(N,) individual influence as a share of the image range's width."""
        return self.individual / self.range_width

    @property
    def source(self) -> Source:
        """Which model and layers the modules are of; the layers with commas."""
        model = self.model.partition("@")[0]
        layers = ", ".join(self.layers)
        return Source(model, self.execution.model_digest, layers, self.operation)

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        return f"<MagnitudeResult of {self.source}: {len(self.k)} modules, {self.method}>"

    def save(self, path: str | Path) -> None:
        """Write the columns and both kinds of regression to an `.npz` file.

        The columns by their names. `regression` (L + 1,): a layer's name or, last, "pooled";
        `slope`, `intercept` and `r2` of each on the share; the same three on the number of
        channels with the suffix `_channels`; `slope_stderr` beside both. `range_width` (): divide
        by it for shares of the image's range. The archive's comment holds `source` as JSON.

        Raises:
            OutputError: If the file cannot be written.
        """
        columns = ("layer", "k", "module", "channels", "share", "individual", "individual_stderr")
        arrays = {
            **{name: getattr(self, name) for name in columns},
            "regression": np.array([each.layer or POOLED for each in self.by_share], np.str_),
            **_lines(self.by_share, ""),
            **_lines(self.by_channels, "_channels"),
            "range_width": np.float64(self.range_width),
        }
        write_npz(path, arrays, self.source.to_comment())


AnalysisResult: TypeAlias = (
    InfluenceResult | LayersResult | ModulesResult | StabilityResult | MagnitudeResult
)
"""Whatever an analysis answers."""


def _lines(regressions: Sequence[Regression], suffix: str) -> dict[str, FloatArray]:
    names = ("slope", "intercept", "r2", "slope_stderr")
    return {
        f"{name}{suffix}": np.array([getattr(each, name) for each in regressions], np.float64)
        for name in names
    }
