"""Faithfulness: whether modules' hybrids look like samples, and like real images (Definition 2).

Axis letters: S sets of images, R references, K modules, Q kinds of controls, C channels.
"""

import math
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
    Flag,
    Saved,
    Source,
    Tabular,
    Whole,
    finite,
    numbers,
    pictures,
    told,
)
from graftscope.client.errors import InputError
from graftscope.client.values._contents import (
    FloatArray,
    IntArray,
    checked_labels,
    contents_but,
    source_of,
)
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

LEAST_PAIRS = 64
"""Two in each of the groups that are left out in turn, for standard errors."""

MOST_FAITHFULNESS_PAIRS = 100_000

MEASURES = ("frechet", "kernel", "precision", "recall", "density", "coverage")
"""What sets are compared by, as results and files call it."""

SURE_STDERRS = 2.0
"""A module differs from its controls where the difference is more standard errors than that."""


def checked_individual(name: str, values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Check individual influences: (C,) numbers of at least 0; they are kept as they are."""
    array = finite(name, numbers(name, values))
    if array.ndim != 1 or array.dtype.kind != "f" or (np.asarray(array, np.float64) < 0).any():
        raise InputError(
            f"{name} {told(array)}: they must be (C,) numbers of at least 0", field=name
        )
    return values


def checked_templates(name: str, values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Check templates: (K, h, w) finite numbers; they are kept as they are."""
    array = finite(name, numbers(name, values))
    if array.ndim != 3 or array.dtype.kind != "f":
        raise InputError(f"{name} {told(array)}: they must be (K, h, w) numbers", field=name)
    return values


@dataclass(frozen=True, eq=False, repr=False)
class FaithfulnessTask(Checked):
    """Whether modules' hybrids look like samples, and like real images (Definition 2).

    Args:
        model: The model's name, with ``@DIGEST`` to insist on one version.
        layer: A layer's name or a level's.
        labels: (C,) the module of every channel, -1 for none; as `ModulesResult.labels`.
        individual: (C,) the channels' individual influence, as `ModulesResult.individual`: with it
            each module is also compared with random sets of as much influence.
        templates: (K, h, w) where each module changes the image, as `ModulesResult.templates`:
            with it originals are also pasted there, in pixels.
        data: (N, H, W, c) uint8, at least 64 real images of the model's image size: they are
            compared with too.
        features: What images are compared by: a server's network by its name, ``"encoder"`` for
            the model's own, or an ONNX file; None for the one that suits the model.
        pairs: Hybrids of each set, 64 to 100,000; as many pairs that follow give the samples that
            they are compared with. Where `originals` holds pairs, the first half of those and the
            second.
        controls: Random sets a module, of each kind, 2 to 64.
        neighbours: To which neighbour precision, recall, density and coverage reach, 1 to 32.
        seed: Any number in [0, 2^32): decides the pairs.
        draws: Decides the random sets, and which real images are taken, likewise.
        first: Index of the first pair.
        originals: Where the pairs come from; None for `Encoded` where there are encodings, else
            `Prior`.
        share: As of `InfluenceTask`.
        fix: As of `InfluenceTask`.
        stratified: As of `InfluenceTask`.
    """

    model: str
    layer: str
    labels: Annotated[NDArray[np.integer], By(checked_labels)]
    individual: Annotated[NDArray[np.floating] | None, By(checked_individual)] = None
    templates: Annotated[NDArray[np.floating] | None, By(checked_templates)] = None
    data: Annotated[NDArray[np.uint8] | None, By(pictures)] = None
    features: AnyNetwork | None = None
    pairs: Annotated[
        int,
        Whole(LEAST_PAIRS, MOST_FAITHFULNESS_PAIRS),
        Flag(
            "--pairs",
            "N",
            "Hybrids of each set, at least 64; as many other pairs give the samples that they are "
            "compared with.",
            PAIRS,
        ),
    ] = 2000
    controls: Annotated[
        int,
        Whole(2, 64),
        Flag("--controls", "N", "Random sets of channels a module, of each kind, 2 to 64."),
    ] = 4
    neighbours: Annotated[
        int,
        Whole(1, 32),
        Flag(
            "--neighbours",
            "N",
            "To which neighbour precision, recall, density and coverage reach, 1 to 32.",
        ),
    ] = 5
    seed: PairSeed = 0
    draws: Annotated[int, Whole()] = 0
    first: FirstPair = 0
    originals: Originals | None = None
    share: Shared = ()
    fix: FixedInputs = None
    stratified: Stratified = False

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        said = contents_but(self, Pairs, "draws")
        given = {
            name: None if value is None else np.asarray(value, np.float64)
            for name, value in (("individual", self.individual), ("templates", self.templates))
        }
        features = ImageNetwork.named(self.features).said()
        pairs = Pairs.of(self)
        labels = np.asarray(self.labels)
        return {
            **said,
            **given,
            "labels": labels,
            "features": features,
            "seed": self.draws,
            "pairs": pairs,
        }


@dataclass(frozen=True, eq=False, repr=False)
class FaithfulnessResult(Saved, Tabular):
    """Whether modules' hybrids look like samples, and like real images (Definition 2).

    S sets of images, each of the same pairs, are compared with R references by the features that a
    network sees. Standard errors are over pairs, by leaving out a 32nd of them in turn; they are
    upper bounds in the mean. As a table, a row for each reference and set.

    Args:
        kinds: S words: module; count, a random set of as many channels as a module; influence, one
            of as much influence; layer, all channels; floor, other samples: what as many samples
            differ by chance; pasted, a half of original 2 in the pixels of original 1, or what a
            module's template shows; blended, the mean of two originals.
        references: R words: samples, and data where real images were given.
        against: Q kinds of controls: count, and influence where influences were given.
        module: (S,) int64 which module a set is, or is a control or a ceiling of; -1 for none.
        channels: (S,) int64 how many channels are swapped; 0 where pixels are mixed.
        frechet: (R, S) Fréchet distance. That of few images is too large, for all sets by about as
            much as for the floor.
        frechet_stderr: (R, S).
        kernel: (R, S) kernel distance, 0 in the mean for equal distributions, so sometimes below.
        kernel_stderr: (R, S).
        precision: (R, S) share of the set's images that are near some of the reference.
        precision_stderr: (R, S).
        recall: (R, S) share of the reference's images that are near some of the set.
        recall_stderr: (R, S).
        density: (R, S) how densely the reference surrounds the set's images; 1 for equal
            distributions.
        density_stderr: (R, S).
        coverage: (R, S) share of the reference's images that have one of the set nearby.
        coverage_stderr: (R, S).
        excess: (R, S) the Fréchet distance less the floor's.
        excess_stderr: (R, S), of the same pairs, so smaller than those of the two.
        verdict: (Q, R, K) a module's Fréchet distance less the mean of its controls': below 0
            where the module is more faithful than they are. NaN where it has no controls.
        verdict_stderr: (Q, R, K) its standard error, over pairs and over which sets were drawn.
        kernel_verdict: (Q, R, K) the same of the kernel distance.
        kernel_verdict_stderr: (Q, R, K).
        decoding: (S,) root mean squared difference between an image and what its own encoding
            gives, as a share of the range; None without an encoder.
        decoding_stderr: (S,).
        response: (K, K) share of the squared change that module i makes of the encoder's latents
            which lies along the change that module j makes in the same pair, 0 to 1; None without
            an encoder.
        response_stderr: (K, K).
        features: What the network is called.
        feature_count: How many features it gives.
        neighbours: To which neighbour precision, recall, density and coverage reach.
        pairs: Images of each set, and of the samples that they are compared with.
        images: Real images that they were compared with; 0 where none were given.
        warning: In a sentence; empty where there are pairs enough.
        layer: The layer's name.
        distinct_images: How many different real images were originals; 0 where none were.
        originals: prior, encoded, images, latents or image_pairs.
        model: The model's name.
        operation: The operation that computed it.
        execution: What computed it.
        took_s: Seconds from its first request to its end, waits included; NaN where not known.
    """

    kinds: tuple[str, ...]
    references: tuple[str, ...]
    against: tuple[str, ...]
    module: Annotated[IntArray, Axes("S")]
    channels: Annotated[IntArray, Axes("S")]
    frechet: Annotated[FloatArray, Axes("R S")]
    frechet_stderr: Annotated[FloatArray, Axes("R S")]
    kernel: Annotated[FloatArray, Axes("R S")]
    kernel_stderr: Annotated[FloatArray, Axes("R S")]
    precision: Annotated[FloatArray, Axes("R S")]
    precision_stderr: Annotated[FloatArray, Axes("R S")]
    recall: Annotated[FloatArray, Axes("R S")]
    recall_stderr: Annotated[FloatArray, Axes("R S")]
    density: Annotated[FloatArray, Axes("R S")]
    density_stderr: Annotated[FloatArray, Axes("R S")]
    coverage: Annotated[FloatArray, Axes("R S")]
    coverage_stderr: Annotated[FloatArray, Axes("R S")]
    excess: Annotated[FloatArray, Axes("R S")]
    excess_stderr: Annotated[FloatArray, Axes("R S")]
    verdict: Annotated[FloatArray, Axes("Q R K")]
    verdict_stderr: Annotated[FloatArray, Axes("Q R K")]
    kernel_verdict: Annotated[FloatArray, Axes("Q R K")]
    kernel_verdict_stderr: Annotated[FloatArray, Axes("Q R K")]
    features: str
    feature_count: int
    neighbours: int
    pairs: int
    images: int
    warning: str
    layer: str
    distinct_images: int
    originals: str
    model: str
    operation: str
    execution: Execution
    decoding: Annotated[FloatArray | None, Axes("S", optional=True)] = None
    decoding_stderr: Annotated[FloatArray | None, Axes("S", optional=True)] = None
    response: Annotated[FloatArray | None, Axes("K K", optional=True)] = None
    response_stderr: Annotated[FloatArray | None, Axes("K K", optional=True)] = None
    took_s: float = math.nan

    BESIDE: ClassVar = ()

    @property
    def modules(self) -> tuple[int, ...]:
        """The K modules, as labels number them."""
        return tuple(self.module[self.places("module")].tolist())

    @property
    def judged(self) -> IntArray:
        """(Q, R, K) 1 where a module is more faithful than its controls, -1 where it is less.

        0 where the difference of Fréchet distances is within two standard errors, or not known.
        """
        with np.errstate(invalid="ignore"):
            clear = np.abs(self.verdict) > SURE_STDERRS * self.verdict_stderr
        return np.where(clear, -np.sign(self.verdict), 0).astype(np.int64)

    @property
    def source(self) -> Source:
        """Which model and layer the modules are of."""
        return source_of(self, self.layer)

    def places(self, kind: str, module: int | None = None) -> list[int]:
        """Tell where the sets of a kind are; or those of them that belong to a module.

        Args:
            kind: One of `kinds`.
            module: Its number; -1 for sets that belong to none.
        """
        return [
            place
            for place, each in enumerate(self.kinds)
            if each == kind and module in (None, int(self.module[place]))
        ]

    def of_controls(
        self, measure: str, kind: str, module: int, reference: int = 0
    ) -> tuple[float, float]:
        """Average a measure over a module's random sets.

        Args:
            measure: One of `MEASURES`, or ``"excess"``.
            kind: count or influence.
            module: Its number.
            reference: Which reference.

        Returns:
            The mean and its standard error: that of one set's, which share the pairs, and that
            over which sets were drawn. NaN where there are none.
        """
        places = self.places(kind, module)
        if len(places) < 2:
            return math.nan, math.nan
        values = getattr(self, measure)[reference, places]
        errors = getattr(self, f"{measure}_stderr")[reference, places]
        over_sets = values.std(ddof=1) / math.sqrt(len(places))
        return float(values.mean()), float(np.hypot(np.sqrt(np.square(errors).mean()), over_sets))

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        return (
            f"<FaithfulnessResult of {self.source}: {len(self.modules)} modules, "
            f"{len(self.kinds)} sets of {self.pairs} images>"
        )

    def columns(self) -> Columns:
        """As `Tabular.columns`."""
        count = len(self.references)
        both = ("", "_stderr")
        names = [f"{measure}{end}" for measure in (*MEASURES, "excess") for end in both]
        return {
            "reference": np.repeat(np.array(self.references, np.str_), len(self.kinds)),
            "kind": np.tile(np.array(self.kinds, np.str_), count),
            "module": np.tile(self.module, count),
            "channels": np.tile(self.channels, count),
            **{name: getattr(self, name).reshape(-1) for name in names},
        }

    def arrays(self) -> Arrays:
        """As `Saved.arrays`; `kinds` (S,), `references` (R,) and `against` (Q,) name the rows."""
        named = {x: np.array(getattr(self, x), np.str_) for x in ("kinds", "references", "against")}
        return {**super().arrays(), **named}

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        raise InputError("no version wrote such a file without saying what it is")
