"""Probing: what classifiers make of modules' hybrids.

Axis letters: M classifiers, S sets of hybrids, K modules, N pairs, R rows of pairs of classes, T
rows of attributes, C channels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    Axes,
    By,
    Checked,
    Columns,
    Drawn,
    Flag,
    Saved,
    Source,
    Tabular,
    Whole,
    listed,
)
from graftscope.client.errors import InputError, UsageError
from graftscope.client.values._contents import (
    FloatArray,
    IntArray,
    checked_labels,
    contents_but,
    source_of,
)
from graftscope.client.values._execution import Execution
from graftscope.client.values._networks import AnyNetwork, ImageNetwork, Layout
from graftscope.client.values._pairs import (
    FirstPair,
    FixedInputs,
    Originals,
    PairCount,
    Pairs,
    PairSeed,
    Shared,
    Stratified,
)

_SURE_STDERRS = 2.0
"""A module differs from its controls where the difference is more standard errors than that."""


def _networks(name: str, given: Sequence[AnyNetwork] | AnyNetwork) -> tuple[ImageNetwork, ...]:
    """Take one network or several, each a network, a name, or a path."""
    single = isinstance(given, ImageNetwork | str) or not isinstance(given, Sequence)
    several = [cast(AnyNetwork, given)] if single else listed(name, given)
    if not several:
        raise InputError(f"no {name}: name at least one", field=name)
    return tuple(ImageNetwork.named(each) for each in several)


@dataclass(frozen=True, eq=False, repr=False)
class ProbeTask(Checked):
    """What classifiers make of modules' hybrids (Definition 5).

    Args:
        model: The model's name, with ``@DIGEST`` to insist on one version.
        layer: A layer's name or a level's.
        labels: (C,) the module of every channel, -1 for none; as `ModulesResult.labels`.
        classifiers: One or several: an ONNX file (`ImageNetwork` says how it takes images), or the
            name of one that the server brings, such as ``"cifar10"`` or ``"celeba"``; None for the
            one that suits the model.
        pairs: How many pairs, at least 1.
        controls: Random sets of as many channels that each module is compared with, 1 to 64.
        seed: Any number in [0, 2^32): decides the pairs.
        draws: Decides the random sets, likewise.
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
    classifiers: Annotated[Sequence[AnyNetwork] | AnyNetwork | None, By(_networks)] = None
    pairs: PairCount = 1000
    controls: Annotated[
        int,
        Whole(1, 64),
        Flag(
            "--controls",
            "N",
            "Random sets of as many channels that each module is compared with, 1 to 64.",
        ),
    ] = 4
    seed: PairSeed = 0
    draws: Annotated[int, Whole()] = 0
    first: FirstPair = 0
    originals: Originals | None = None
    share: Shared = ()
    fix: FixedInputs = None
    stratified: Stratified = False

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        asked = (ImageNetwork(),) if self.classifiers is None else self.classifiers
        return {
            **contents_but(self, Pairs, "draws"),
            "labels": np.asarray(self.labels),
            "classifiers": [each.said() for each in cast("tuple[ImageNetwork, ...]", asked)],
            "seed": self.draws,
            "pairs": Pairs.of(self),
        }


@dataclass(frozen=True)
class StatedPreprocessing:
    """What was done with images before a classifier took them, in this order.

    Args:
        height: The size that they were resized to, in pixels.
        width: Likewise.
        low: What the low end of the generator's range became.
        high: What its high end became.
        mean: Subtracted from each colour, or from all.
        deviation: What each colour, or all, were divided by then.
        layout: (B, C, H, W) or (B, H, W, C).
        bgr: Whether blue came first.
    """

    height: int
    width: int
    low: float
    high: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    layout: Layout
    bgr: bool

    def __str__(self) -> str:
        """Tell all of it in a line."""
        told = [f"{self.height} x {self.width} pixels from {self.low:g} to {self.high:g}"]
        for word, numbers, idle in (("less", self.mean, 0), ("divided by", self.deviation, 1)):
            if any(each != idle for each in numbers):
                told.append(f"{word} {' '.join(f'{each:g}' for each in numbers)}")
        told.append("(B, C, H, W)" if self.layout is Layout.NCHW else "(B, H, W, C)")
        return ", ".join([*told, *(["blue first"] if self.bgr else [])])


@dataclass(frozen=True)
class ProbedClassifier:
    """A classifier that was asked.

    Args:
        name: What it is called.
        sha256: Of its file.
        classes: Names of its classes or attributes; none where it has no names for them.
        exclusive: Whether an image is of exactly one class; else it has any number of attributes.
        probabilities: Whether its scores are probabilities; else they were taken for logits.
        preprocessing: How it took images.
        input: Name of its input.
        output: Name of the output that was read.
    """

    name: str
    sha256: str
    classes: tuple[str, ...]
    exclusive: bool
    probabilities: bool
    preprocessing: StatedPreprocessing
    input: str
    output: str

    def called(self, number: int) -> str:
        """What a class or an attribute is called: its name, or else its number."""
        return self.classes[number] if number < len(self.classes) else str(number)


@dataclass(frozen=True, eq=False, repr=False)
class ProbeResult(Saved, Tabular, Drawn):
    """What classifiers make of modules' hybrids.

    A hybrid is original 1 with a module of original 2. Where the originals are of different
    classes, its class *stays* original 1's, *becomes* original 2's, or is *neither*; where both are
    of one class, it keeps that or not. Of attributes the same is told of their signs, where neither
    is none. Intervals are Wilson's, of 95 %; attributes of a pair count as one trial there. As a
    table, a row for each classifier and set.

    Args:
        kinds: S words: module; count, a random set of as many channels as a module; layer, all
            channels.
        classifiers: M classifiers, and how they took images.
        module: (S,) int64 which module a set is, or is a control of; -1 for none.
        channels: (S,) int64 how many channels are swapped.
        differ: (M,) int64 pairs whose originals are of different classes; of attributes how many
            attributes of pairs differ.
        same: (M,) int64 pairs whose originals are of one class, or attributes that they agree in.
        stays: (M, S) share of `differ`; NaN where that is 0, and so the others.
        stays_low: (M, S) the low end of its interval.
        stays_high: (M, S) the high end.
        becomes: (M, S) share of `differ`.
        becomes_low: (M, S).
        becomes_high: (M, S).
        neither: (M, S) share of `differ`.
        neither_low: (M, S).
        neither_high: (M, S).
        same_stays: (M, S) share of `same` that keeps its class.
        same_stays_low: (M, S).
        same_stays_high: (M, S).
        entropy: (M, S) mean entropy of the classifier's distribution, in nats; of attributes the
            mean over them.
        entropy_stderr: (M, S) its standard error over pairs.
        originals_entropy: (M,) the same of both originals.
        originals_entropy_stderr: (M,).
        verdict: (M, K) how much more often a module's hybrids stay original 1's than those of its
            random sets: above 0 where the classifier minds the module less than those. Pairs are
            compared with themselves. NaN where nothing differs.
        verdict_stderr: (M, K) its standard error, over pairs and over which sets were drawn.
        class1: (M, N) int64 class of original 1 of each pair; -1 of attributes.
        class2: (M, N) int64 class of original 2.
        pair_classifier: (R,) int64 a row for each pair of classes that occurs, and each set: which
            classifier,
        pair_set: (R,) which of the S sets,
        pair_class1: (R,) the class of original 1,
        pair_class2: (R,) that of original 2,
        pair_count: (R,) how many pairs are of these classes,
        pair_stays: (R,) how many hybrids are of original 1's,
        pair_becomes: (R,) how many of original 2's, if that is another,
        pair_neither: (R,) how many of neither.
        attribute_classifier: (T,) int64 a row for each attribute and set: which classifier,
        attribute_set: (T,) which of the S sets,
        attribute_index: (T,) which attribute,
        attribute_differ: (T,) pairs of whose originals one has it,
        attribute_stays: (T,) how many of these keep original 1's sign,
        attribute_same: (T,) pairs whose originals both have it, or both lack it,
        attribute_same_stays: (T,) how many of those keep the sign.
        pairs: How many pairs, N.
        layer: The layer's name.
        distinct_images: How many different real images were originals; 0 where none were.
        originals: prior, encoded, images, latents or image_pairs.
        model: The model's name.
        operation: The operation that computed it.
        execution: What computed it.
        took_s: Seconds from its first request to its end, waits included; NaN where not known.
    """

    kinds: tuple[str, ...]
    classifiers: tuple[ProbedClassifier, ...]
    module: Annotated[IntArray, Axes("S")]
    channels: Annotated[IntArray, Axes("S")]
    differ: Annotated[IntArray, Axes("M")]
    same: Annotated[IntArray, Axes("M")]
    stays: Annotated[FloatArray, Axes("M S")]
    stays_low: Annotated[FloatArray, Axes("M S")]
    stays_high: Annotated[FloatArray, Axes("M S")]
    becomes: Annotated[FloatArray, Axes("M S")]
    becomes_low: Annotated[FloatArray, Axes("M S")]
    becomes_high: Annotated[FloatArray, Axes("M S")]
    neither: Annotated[FloatArray, Axes("M S")]
    neither_low: Annotated[FloatArray, Axes("M S")]
    neither_high: Annotated[FloatArray, Axes("M S")]
    same_stays: Annotated[FloatArray, Axes("M S")]
    same_stays_low: Annotated[FloatArray, Axes("M S")]
    same_stays_high: Annotated[FloatArray, Axes("M S")]
    entropy: Annotated[FloatArray, Axes("M S")]
    entropy_stderr: Annotated[FloatArray, Axes("M S")]
    originals_entropy: Annotated[FloatArray, Axes("M")]
    originals_entropy_stderr: Annotated[FloatArray, Axes("M")]
    verdict: Annotated[FloatArray, Axes("M K")]
    verdict_stderr: Annotated[FloatArray, Axes("M K")]
    class1: Annotated[IntArray, Axes("M N", in_files=True)]
    class2: Annotated[IntArray, Axes("M N", in_files=True)]
    pair_classifier: Annotated[IntArray, Axes("R")]
    pair_set: Annotated[IntArray, Axes("R")]
    pair_class1: Annotated[IntArray, Axes("R")]
    pair_class2: Annotated[IntArray, Axes("R")]
    pair_count: Annotated[IntArray, Axes("R")]
    pair_stays: Annotated[IntArray, Axes("R")]
    pair_becomes: Annotated[IntArray, Axes("R")]
    pair_neither: Annotated[IntArray, Axes("R")]
    attribute_classifier: Annotated[IntArray, Axes("T")]
    attribute_set: Annotated[IntArray, Axes("T")]
    attribute_index: Annotated[IntArray, Axes("T")]
    attribute_differ: Annotated[IntArray, Axes("T")]
    attribute_stays: Annotated[IntArray, Axes("T")]
    attribute_same: Annotated[IntArray, Axes("T")]
    attribute_same_stays: Annotated[IntArray, Axes("T")]
    pairs: int
    layer: str
    distinct_images: int
    originals: str
    model: str
    operation: str
    execution: Execution
    took_s: float = math.nan

    BESIDE: ClassVar = ("modules",)

    @property
    def modules(self) -> tuple[int, ...]:
        """K modules' numbers, those that have channels."""
        return tuple(int(self.module[at]) for at in self.places("module"))

    @property
    def source(self) -> Source:
        """Which model and layer the modules are of."""
        return source_of(self, self.layer)

    @property
    def judged(self) -> IntArray:
        """(M, K) how a module differs from random sets of as many channels.

        1 where its hybrids stay original 1's more often, by more than two standard errors, -1 where
        less often, 0 where it cannot be told.
        """
        apart = np.abs(self.verdict) > _SURE_STDERRS * self.verdict_stderr
        found: IntArray = np.where(apart, np.sign(self.verdict), 0.0).astype(np.int64)
        return found

    def places(self, kind: str, module: int | None = None) -> list[int]:
        """Where sets of a kind are among the S sets; or those of one module.

        Args:
            kind: module, count or layer.
            module: Its number; None for all.
        """
        return [
            at
            for at, each in enumerate(self.kinds)
            if each == kind and module in (None, int(self.module[at]))
        ]

    def which(self, classifier: str) -> int:
        """Find a classifier's place by its name.

        Raises:
            UsageError: If none of them is called so.
        """
        names = [each.name for each in self.classifiers]
        if classifier not in names:
            raise UsageError(f"no classifier {classifier!r} was asked; there are: {names}")
        return names.index(classifier)

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        names = ", ".join(each.name for each in self.classifiers)
        return f"<ProbeResult of {self.source}: {len(self.modules)} modules, asked: {names}>"

    def columns(self) -> Columns:
        """As `Tabular.columns`."""
        classifier, at = (each.reshape(-1) for each in np.indices(self.stays.shape))
        names = np.array([each.name for each in self.classifiers], np.str_)
        shares = ("stays", "becomes", "neither", "same_stays")
        told = [f"{name}{end}" for name in shares for end in ("", "_low", "_high")]
        arrays: dict[str, NDArray[Any]] = {
            name: getattr(self, name).reshape(-1) for name in (*told, "entropy", "entropy_stderr")
        }
        return {
            "classifier": names[classifier],
            "kind": np.array(self.kinds, np.str_)[at],
            "module": self.module[at],
            "channels": self.channels[at],
            "differ": self.differ[classifier],
            "same": self.same[classifier],
            **arrays,
        }
