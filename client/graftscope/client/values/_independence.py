"""Independence: whether modules act by themselves, and where they say.

Axes: C channels, K modules, S sets of images, T pairs of modules, L pairs of successive layers, M
measures, H, W pixels, h, w those of a map of at most 128.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    Arrays,
    Axes,
    By,
    Checked,
    Columns,
    Flag,
    Real,
    Saved,
    Source,
    Tabular,
    Whole,
    module_labels,
)
from graftscope.client.errors import InputError
from graftscope.client.values._contents import FloatArray, IntArray, contents_but, source_of
from graftscope.client.values._execution import Execution
from graftscope.client.values._networks import AnyNetwork, ImageNetwork
from graftscope.client.values._pairs import (
    PAIRS,
    FirstPair,
    FixedInputs,
    Originals,
    Pairs,
    PairSeed,
    Shared,
    Stratified,
)

LEAST_PAIRS, MOST_PAIRS = 64, 100_000
"""Of fewer, standard errors would rest on groups of one; every image is compared with every one."""

TemplatePercentile: TypeAlias = Annotated[
    float,
    Real(0.0, 100.0, inside=True),
    Flag(
        "--percentile",
        "P",
        "Inside of a module's template are the pixels above this percentile of it, between 0 and "
        "100: with 75 a quarter of the picture, with 50 half of it.",
    ),
]


def _labels(_: str, value: Any) -> NDArray[np.int64]:
    return module_labels(value)


def _templates(name: str, value: Any) -> FloatArray:
    templates = np.asarray(value, np.float64)
    if templates.ndim != 3 or not np.isfinite(templates).all():
        raise InputError(
            f"{name} have shape {templates.shape}: they must be (K, h, w) finite numbers",
            field=name,
        )
    return templates


@dataclass(frozen=True, eq=False, repr=False)
class IndependenceTask(Checked):
    """Whether modules act by themselves, and where they say.

    Args:
        model: The model's name, with ``@DIGEST`` to insist on one version.
        layer: A layer's name or a level's.
        labels: (C,) module of every channel of the layer, -1 for none.
        templates: (K, h, w) where each module changes the image, as `ModulesResult.templates`. None
            takes each module's mean change in the first half of the pairs, and measures its spill
            in the second half.
        features: The network whose features images are compared by: one, its name at the server,
            or the path of an ONNX file; None for the one that suits the model.
        pairs: Hybrids of each kind, from 64; as many other pairs give the samples that they are
            compared with. Where `originals` holds pairs, one half of those does the one, the other
            half the other.
        percentile: Inside of a template are the pixels above this percentile of it.
        seed: Any number in [0, 2^32): decides the pairs.
        first: Index of the first pair.
        originals: Where the pairs come from; None for `Encoded` where there are encodings, else
            `Prior`.
        share: As of `InfluenceTask`.
        fix: As of `InfluenceTask`.
        stratified: As of `InfluenceTask`.
    """

    model: str
    layer: str
    labels: Annotated[NDArray[np.integer], By(_labels)]
    templates: Annotated[NDArray[np.floating] | None, By(_templates)] = None
    features: AnyNetwork | None = None
    pairs: Annotated[
        int,
        Whole(LEAST_PAIRS, MOST_PAIRS),
        Flag(
            "--pairs",
            "N",
            "Hybrids of each kind, at least 64; as many other pairs give the samples that they are "
            "compared with.",
            PAIRS,
        ),
    ] = 1000
    percentile: TemplatePercentile = 75.0
    seed: PairSeed = 0
    first: FirstPair = 0
    originals: Originals | None = None
    share: Shared = ()
    fix: FixedInputs = None
    stratified: Stratified = False

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        return {
            **contents_but(self, Pairs),
            "labels": np.asarray(self.labels),
            "features": ImageNetwork.named(self.features).said(),
            "pairs": Pairs.of(self),
        }


@dataclass(frozen=True, eq=False, repr=False)
class IndependenceResult(Saved, Tabular):
    """Whether modules act by themselves, and where they say.

    Standard errors are over pairs. As a table, a row for every two modules: their interaction.

    Args:
        module: (K,) int64, the modules' numbers.
        channels: (K,) int64, how many channels each has.
        kinds: S words: mixture, hybrids whose modules come from a different donor each; donor, all
            modules from one; module, one alone; floor, samples.
        frechet: (S,) Fréchet distance of the set from samples of other pairs.
        frechet_stderr: (S,).
        kernel: (S,) kernel distance, 0 in the mean for equal distributions, so sometimes below.
        kernel_stderr: (S,).
        precision: (S,) share of the set's images that are near some sample.
        precision_stderr: (S,).
        recall: (S,) share of samples that are near some image of the set.
        recall_stderr: (S,).
        density: (S,) how densely samples surround the set's images; 1 for equal distributions.
        density_stderr: (S,).
        coverage: (S,) share of samples that have an image of the set nearby.
        coverage_stderr: (S,).
        measures: M names of the six, in the order of what follows.
        over_donor: (M,) the mixture's less those of all modules from one donor. Pairs are the same,
            so errors are smaller than those of the two.
        over_donor_stderr: (M,).
        over_modules: (M,) the mixture's less the mean of single modules'.
        over_modules_stderr: (M,).
        over_floor: (M,) the mixture's less the floor's.
        over_floor_stderr: (M,).
        interaction: (K, K) how far the effect of two modules is from the sum of their effects, as a
            share of it, ``Σ |h_ij - h_i - h_j + original 1| / Σ |h_ij - original 1|``; ``h_ij`` is
            the hybrid with both. 0 if they act independently; NaN on the diagonal, and where
            nothing changes.
        interaction_stderr: (K, K).
        interaction_maps: (T, h, w) where: the mean of it over pairs and colours in the image's
            units, of modules 0 and 1, 0 and 2, ..., 1 and 2, ... by their places in `module`.
        spill: (K,) share of a module's change that falls outside of its template.
        spill_stderr: (K,).
        area_outside: (K,) share of the image outside: the spill of a change that is the same
            everywhere.
        regions: (K, H, W) what is inside, 0 or 1.
        percentile: At which templates were cut.
        spill_pairs: How many of the pairs judge the spill.
        upper: L names of layers.
        lower: L names of the next ones; "image" behind the last layer.
        absent: L reasons why two layers have no score; empty where they have.
        spectral: (L,) spectral density ratio of the upper layer's maps and of the kernels that lead
            to the lower one, the mean over pairs of channels: 1 where the kernels do not know the
            maps' spectrum, above where they pass what those are strong in (Shajarisales, Janzing,
            Schölkopf and Besserve, ICML 2015). NaN where no convolution lies between them.
        spectral_stderr: (L,).
        spectral_swapped: (L,) the same with each channel given the kernels of the others.
        spectral_swapped_stderr: (L,).
        spectral_spread: (L,) standard deviation over pairs of channels.
        spectral_pairs: (L,) int64, how many pairs of channels have a ratio.
        features: What the network is called.
        feature_count: How many features it gives.
        pairs: Hybrids of each kind.
        warning: In a sentence; empty where there are pairs enough.
        layer: The layer's name.
        distinct_images: How many different real images were originals; 0 where none were.
        originals: prior, encoded, images, latents or image_pairs.
        model: The model's name.
        operation: The operation that computed it.
        execution: What computed it.
        took_s: Seconds from its first request to its end, waits included; NaN where not known.
    """

    module: Annotated[IntArray, Axes("K")]
    channels: Annotated[IntArray, Axes("K")]
    kinds: tuple[str, ...]
    frechet: Annotated[FloatArray, Axes("S")]
    frechet_stderr: Annotated[FloatArray, Axes("S")]
    kernel: Annotated[FloatArray, Axes("S")]
    kernel_stderr: Annotated[FloatArray, Axes("S")]
    precision: Annotated[FloatArray, Axes("S")]
    precision_stderr: Annotated[FloatArray, Axes("S")]
    recall: Annotated[FloatArray, Axes("S")]
    recall_stderr: Annotated[FloatArray, Axes("S")]
    density: Annotated[FloatArray, Axes("S")]
    density_stderr: Annotated[FloatArray, Axes("S")]
    coverage: Annotated[FloatArray, Axes("S")]
    coverage_stderr: Annotated[FloatArray, Axes("S")]
    measures: tuple[str, ...]
    over_donor: Annotated[FloatArray, Axes("M")]
    over_donor_stderr: Annotated[FloatArray, Axes("M")]
    over_modules: Annotated[FloatArray, Axes("M")]
    over_modules_stderr: Annotated[FloatArray, Axes("M")]
    over_floor: Annotated[FloatArray, Axes("M")]
    over_floor_stderr: Annotated[FloatArray, Axes("M")]
    interaction: Annotated[FloatArray, Axes("K K")]
    interaction_stderr: Annotated[FloatArray, Axes("K K")]
    interaction_maps: Annotated[FloatArray, Axes("T h w", in_files=True)]
    spill: Annotated[FloatArray, Axes("K")]
    spill_stderr: Annotated[FloatArray, Axes("K")]
    area_outside: Annotated[FloatArray, Axes("K")]
    regions: Annotated[FloatArray, Axes("K H W", in_files=True)]
    percentile: float
    spill_pairs: int
    upper: tuple[str, ...]
    lower: tuple[str, ...]
    absent: tuple[str, ...]
    spectral: Annotated[FloatArray, Axes("L")]
    spectral_stderr: Annotated[FloatArray, Axes("L")]
    spectral_swapped: Annotated[FloatArray, Axes("L")]
    spectral_swapped_stderr: Annotated[FloatArray, Axes("L")]
    spectral_spread: Annotated[FloatArray, Axes("L")]
    spectral_pairs: Annotated[IntArray, Axes("L")]
    features: str
    feature_count: int
    pairs: int
    warning: str
    layer: str
    distinct_images: int
    originals: str
    model: str
    operation: str
    execution: Execution
    took_s: float = math.nan

    BESIDE: ClassVar = ()

    @property
    def source(self) -> Source:
        """Which model and layer the modules are of."""
        return source_of(self, self.layer)

    @property
    def two_modules(self) -> tuple[tuple[int, int], ...]:
        """T pairs of places in `module`, in the order of `interaction_maps`."""
        count = len(self.module)
        return tuple((i, j) for i in range(count) for j in range(i + 1, count))

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        return f"<IndependenceResult of {self.source}: {len(self.module)} modules>"

    def columns(self) -> Columns:
        """As `Tabular.columns`."""
        one, other = np.array(self.two_modules, dtype=np.int64).reshape(-1, 2).T
        return {
            "module": self.module[one],
            "other": self.module[other],
            "interaction": self.interaction[one, other],
            "interaction_stderr": self.interaction_stderr[one, other],
        }

    def arrays(self) -> Arrays:
        """As `Saved.arrays`; `kinds` (S,), `measures` (M,), `upper` and `lower` (L,) name rows."""
        named = ("kinds", "measures", "upper", "lower")
        return {**super().arrays(), **{x: np.array(getattr(self, x), np.str_) for x in named}}

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        raise InputError("no version wrote such a file without saying what it is")
