"""Magnitude: how much modules change the image as their number grows (section 4.1, Fig. 3).

Axis letters: N modules of all layers and all numbers of modules together, L layers.
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
    Checked,
    Columns,
    Drawn,
    Flag,
    Names,
    Saved,
    Several,
    Source,
    Tabular,
    Whole,
    taken,
)
from graftscope.client.values._contents import (
    FloatArray,
    IntArray,
    contents_but,
    of_older,
    source_of,
)
from graftscope.client.values._execution import Execution
from graftscope.client.values._grouping import (
    KS_FLAG,
    GroupingMethod,
    GroupingSeed,
    Method,
    Percentile,
    Window,
)
from graftscope.client.values._influence import MapSize
from graftscope.client.values._pairs import (
    PAIRS,
    FirstPair,
    FixedInputs,
    Originals,
    PairCount,
    Pairs,
    Shared,
    Stratified,
)

COLUMNS = ("layer", "k", "module", "channels", "share", "individual", "individual_stderr")
"""The columns of a result, by their names in files and documents."""

POOLED = "pooled"
"""What the regression over all layers together is called in files."""

_LINE = {
    "slope": np.float64,
    "intercept": np.float64,
    "r2": np.float64,
    "slope_stderr": np.float64,
    "residual": np.float64,
    "rows": np.int64,
}
"""The numbers of a regression, as files hold them."""


@dataclass(frozen=True, eq=False, repr=False)
class MagnitudeTask(Checked):
    """How much modules change the image as their number grows (section 4.1, Fig. 3).

    Args:
        model: The model's name, with ``@DIGEST`` to insist on one version.
        layers: Layers' or levels' names; None for the last three.
        ks: Numbers of modules, each at least 1; None for 2 to 10, as far as each layer allows.
        method: How modules are found.
        seed: Of the method.
        pairs: Pairs that find the modules, at least 1; as many that follow them measure the
            modules. Where `originals` holds pairs, one half of those does the one, the other half
            the other.
        pairs_seed: Any number in [0, 2^32): decides the pairs.
        first: Index of the first pair.
        originals: Where the pairs come from; None for `Encoded` where there are encodings, else
            `Prior`.
        map_size: No side of a map is longer, in pixels; 0 for the image's size up to 128.
        window: As of `ModulesTask`.
        percentile: As of `ModulesTask`.
        share: As of `InfluenceTask`.
        fix: As of `InfluenceTask`.
        stratified: As of `InfluenceTask`.
    """

    model: str
    layers: Annotated[
        Sequence[str] | None,
        Names(1),
        Flag(
            "--layer",
            "NAME,...",
            "Names of layers or levels, with commas or by repeating the option. Default: the "
            "last three.",
        ),
    ] = None
    ks: Annotated[Sequence[int] | None, Several(Whole(1)), KS_FLAG] = None
    method: GroupingMethod = Method.NMF
    seed: GroupingSeed = 0
    pairs: PairCount = 1000
    pairs_seed: Annotated[
        int,
        Whole(),
        Flag(
            "--pairs-seed",
            "S",
            "Decides only the pairs, 0 to 4294967295. Default: --seed.",
            PAIRS,
        ),
    ] = 0
    first: FirstPair = 0
    originals: Originals | None = None
    map_size: MapSize = 0
    window: Window = 3
    percentile: Percentile = 75.0
    share: Shared = ()
    fix: FixedInputs = None
    stratified: Stratified = False

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        said = contents_but(self, Pairs, "pairs_seed")
        return {**said, "seed": self.seed, "pairs": Pairs.of(self, seed=self.pairs_seed)}


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
class MagnitudeResult(Saved, Tabular, Drawn):
    """How much modules change the image as their number grows (section 4.1, Fig. 3).

    The columns have N rows, one a module of every layer and every number of modules; as a table
    those, and individual influence as a share of the range.

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
        method: How modules were found; None where a file of an earlier version does not say.
        model: The model's name.
        operation: The operation that computed it.
        execution: What computed it.
        took_s: Seconds from its first request to its end, waits included; NaN where not known.
    """

    layers: tuple[str, ...]
    layer: Annotated[NDArray[np.str_], Axes("N")]
    k: Annotated[IntArray, Axes("N")]
    module: Annotated[IntArray, Axes("N")]
    channels: Annotated[IntArray, Axes("N")]
    share: Annotated[FloatArray, Axes("N")]
    individual: Annotated[FloatArray, Axes("N")]
    individual_stderr: Annotated[FloatArray, Axes("N")]
    by_share: tuple[Regression, ...]
    by_channels: tuple[Regression, ...]
    range_width: float
    pairs: int
    distinct_images: int
    originals: str
    method: Method | None
    model: str
    operation: str
    execution: Execution
    took_s: float = math.nan

    BESIDE: ClassVar = ()
    IN_ARRAYS: ClassVar = ("layers", "by_share", "by_channels")

    @property
    def individual_share(self) -> FloatArray:
        """(N,) individual influence as a share of the image range's width."""
        return self.individual / self.range_width

    @property
    def source(self) -> Source:
        """Which model and layers the modules are of; the layers with commas."""
        return source_of(self, ", ".join(self.layers))

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        return f"<MagnitudeResult of {self.source}: {len(self.k)} modules, {self.method}>"

    def columns(self) -> Columns:
        """As `Tabular.columns`."""
        told = {name: getattr(self, name) for name in COLUMNS}
        return {**told, "individual_share": self.individual_share}

    def arrays(self) -> Arrays:
        """As `Saved.arrays`; with both kinds of regression.

        `regression` (L + 1,): a layer's name or, last, "pooled"; `slope`, `intercept`, `r2`,
        `slope_stderr`, `residual` and `rows` of each on the share; the same on the number of
        channels with the suffix `_channels`. `range_width` (): divide by it for shares of the
        image's range.
        """
        return {
            **super().arrays(),
            "regression": np.array([each.layer or POOLED for each in self.by_share], np.str_),
            **_lines(self.by_share, ""),
            **_lines(self.by_channels, "_channels"),
            "range_width": np.array(self.range_width),
        }

    @classmethod
    def _of_arrays(cls, arrays: Arrays) -> dict[str, Any]:
        names = taken(arrays, "regression").tolist()
        return {
            **super()._of_arrays(arrays),
            "layers": tuple(names[:-1]),
            "by_share": _regressions(arrays, ""),
            "by_channels": _regressions(arrays, "_channels"),
        }

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        of = of_older(source)
        return {
            "range_width": float(taken(arrays, "range_width")),
            "pairs": 0,
            "distinct_images": 0,
            "originals": "",
            "method": None,
            "model": of.model,
            "operation": of.operation,
            "execution": Execution.not_said(of.model_digest),
        }


def _lines(regressions: Sequence[Regression], suffix: str) -> Arrays:
    return {
        f"{name}{suffix}": np.array([getattr(each, name) for each in regressions], kind)
        for name, kind in _LINE.items()
    }


def _regressions(arrays: Arrays, suffix: str) -> tuple[Regression, ...]:
    """Read the lines; an earlier version wrote neither residuals nor rows."""
    names = taken(arrays, "regression").tolist()
    unknown = {"residual": np.full(len(names), math.nan), "rows": np.zeros(len(names), np.int64)}
    held = {**{f"{name}{suffix}": array for name, array in unknown.items()}, **arrays}
    columns = [taken(held, f"{name}{suffix}").tolist() for name in _LINE]
    layers = [*names[:-1], None]
    return tuple(
        Regression(layer, **dict(zip(_LINE, row, strict=True)))
        for layer, *row in zip(layers, *columns, strict=True)
    )
