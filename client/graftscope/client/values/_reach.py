"""Reach: how much of an effect few latents give, and few channels (Definitions 3 and 4).

Axis letters: U kinds of units (the latents, then the layers), L layers, n places of a ranking,
H, W pixels.
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
    Names,
    Saved,
    Source,
    Tabular,
    Whole,
    finite,
)
from graftscope.client.errors import InputError, UsageError
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

LATENTS = "latents"
"""What results call the kind of units that are no layer's channels."""

LEAST_PAIRS = 4
"""Two rank, and two measure."""

MOST_PAIRS = 10_000_000


def checked_region(name: str, region: NDArray[np.generic]) -> FloatArray:
    """Check a region: (H, W) numbers from 0 outside to 1 inside; something is inside."""
    given = np.asarray(region)
    if given.ndim != 2 or given.dtype.kind not in "biuf" or not given.size:
        raise InputError(
            f"{name} of shape {given.shape} and type {given.dtype}: it must be (H, W) numbers from"
            " 0 to 1",
            field=name,
        )
    values = np.asarray(finite(name, given), np.float64)
    if values.min() < 0.0 or values.max() > 1.0 or not values.any():
        raise InputError(
            f"{name} of values from {values.min():g} to {values.max():g}: they must be from 0"
            " (outside) to 1 (inside), and something must be inside",
            field=name,
        )
    return values


@dataclass(frozen=True, eq=False, repr=False)
class ReachTask(Checked):
    """How much of what can be reached the best few latents give, and the best few channels.

    What is to be changed is a region of the image, or a network's score: an attribute, or a class.
    Exactly one of the three is given.

    Args:
        model: The model's name, with ``@DIGEST`` to insist on one version.
        layers: Layers' or levels' names; None for all that are maps.
        region: (H, W) of the image's size, how far each pixel is inside, 0 to 1.
        attribute: An output of the network by its name or number; its score is to go where
            original 2's is.
        of_class: A class likewise; its probability is to, among all classes.
        classifier: The network: a server's by its name, or an ONNX file; None for the one that
            suits the model.
        units: At most so many latents, and channels of each layer, are chosen, at least 1.
        pairs: How many, at least 4: the first half ranks (64 of it at most), the second measures.
        seed: Any number in [0, 2^32): decides the pairs.
        draws: Decides random orders, and the pairs that are drawn anew for errors, likewise.
        first: Index of the first pair.
        originals: Where the pairs come from; None for `Encoded` where there are encodings, else
            `Prior`.
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
            "Names of layers or levels, with commas or by repeating the option. Default: all that "
            "are maps.",
        ),
    ] = None
    region: Annotated[NDArray[np.generic] | None, By(checked_region)] = None
    attribute: str | None = None
    of_class: str | None = None
    classifier: AnyNetwork | None = None
    units: Annotated[
        int,
        Whole(1, 4096),
        Flag(
            "--units",
            "N",
            "At most so many latents, and channels of each layer, are chosen, at least 1.",
        ),
    ] = 16
    pairs: Annotated[
        int,
        Whole(LEAST_PAIRS, MOST_PAIRS),
        Flag(
            "--pairs",
            "N",
            "How many pairs, at least 4. The first half ranks (64 of it at most), the second half "
            "measures.",
            PAIRS,
        ),
    ] = 256
    seed: PairSeed = 0
    draws: Annotated[int, Whole()] = 0
    first: FirstPair = 0
    originals: Originals | None = None
    share: Shared = ()
    fix: FixedInputs = None
    stratified: Stratified = False

    def __post_init__(self) -> None:
        """Check the fields, and that one thing is to be changed."""
        super().__post_init__()
        said = [x for x in ("region", "attribute", "of_class") if getattr(self, x) is not None]
        if len(said) != 1:
            told = " and ".join(said) or "nothing"
            raise UsageError(
                f"{told} is to be changed: give one of `region`, `attribute` and `of_class`"
            )
        if said == ["region"] and self.classifier is not None:
            raise UsageError("a region is of the image: leave out `classifier`")

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        left = ("attribute", "of_class", "classifier", "draws")
        said = contents_but(self, Pairs, *left)
        score = None
        if self.region is None:
            score = {
                "network": ImageNetwork.named(self.classifier).said(),
                "name": self.attribute if self.of_class is None else self.of_class,
                "probability": self.of_class is not None,
            }
        return {**said, "score": score, "seed": self.draws, "pairs": Pairs.of(self)}


@dataclass(frozen=True, eq=False, repr=False)
class ReachResult(Saved, Tabular, Drawn):
    """How much of what can be reached the best few latents give, and the best few channels.

    The effect of some units (latents, or channels of a layer) in a pair is what swapping them does
    to the target. Of a region: the mean of ``|hybrid - original 1|`` inside, as a share of the
    range's width. Of a score: its change towards original 2's. What all units of a kind do together
    is what they can reach.

    As a table, a row for each kind of units and place of its ranking.

    Args:
        target: What is to be changed, in words.
        layers: L layers' names.
        inputs: Names of the generator's inputs that latents are of.
        input_units: How many latents each has: its numbers, or 1 where it is swapped whole (a
            class, noise).
        units: (U,) int64 how many units each kind has.
        order: (U, n) int64 the units in their order, the best first: latents as counted through
            the inputs, or channels; -1 where a kind has no more.
        share: (U, n) effect of the first 1, 2, ..., n of them as a share of what all can reach,
            over the pairs held out; NaN where a kind has no more.
        share_stderr: (U, n) its standard error over pairs.
        random: (U, n) the same of units in random order.
        random_stderr: (U, n) its standard error over pairs and orders.
        reachable: (U,) what all units of a kind do together, the mean over the pairs held out.
        reachable_stderr: (U,) its standard error.
        by_count: (L,) how far a layer's curve lies above that of the latents, the mean over equal
            numbers of units.
        by_count_stderr: (L,) its standard error over pairs.
        by_share: (L,) the same over equal shares of all units of a kind.
        by_share_stderr: (L,) its standard error over pairs.
        ranking_pairs: How many pairs ranked.
        held_out_pairs: How many others measured.
        pairs: How many there were in all.
        distinct_images: How many different real images were used; 0 where none were.
        originals: prior, encoded, images, latents or image_pairs.
        model: The model's name.
        operation: The operation that computed it.
        execution: What computed it.
        spill: (U, n) share of the change of the image that falls outside of the region; None
            where a score is the target.
        spill_stderr: (U, n) its standard error over pairs.
        whole_spill: (U,) the same of all units together.
        whole_spill_stderr: (U,) its standard error.
        took_s: Seconds from its first request to its end, waits included; NaN where not known.
    """

    target: str
    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    input_units: tuple[int, ...]
    units: Annotated[IntArray, Axes("U")]
    order: Annotated[IntArray, Axes("U n")]
    share: Annotated[FloatArray, Axes("U n")]
    share_stderr: Annotated[FloatArray, Axes("U n")]
    random: Annotated[FloatArray, Axes("U n")]
    random_stderr: Annotated[FloatArray, Axes("U n")]
    reachable: Annotated[FloatArray, Axes("U")]
    reachable_stderr: Annotated[FloatArray, Axes("U")]
    by_count: Annotated[FloatArray, Axes("L")]
    by_count_stderr: Annotated[FloatArray, Axes("L")]
    by_share: Annotated[FloatArray, Axes("L")]
    by_share_stderr: Annotated[FloatArray, Axes("L")]
    ranking_pairs: int
    held_out_pairs: int
    pairs: int
    distinct_images: int
    originals: str
    model: str
    operation: str
    execution: Execution
    spill: Annotated[FloatArray | None, Axes("U n", optional=True)] = None
    spill_stderr: Annotated[FloatArray | None, Axes("U n", optional=True)] = None
    whole_spill: Annotated[FloatArray | None, Axes("U", optional=True)] = None
    whole_spill_stderr: Annotated[FloatArray | None, Axes("U", optional=True)] = None
    took_s: float = math.nan

    BESIDE: ClassVar = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """U kinds of units: ``latents``, then the layers."""
        return (LATENTS, *self.layers)

    @property
    def source(self) -> Source:
        """Which model and layers it is of; the layers with commas."""
        return source_of(self, ", ".join(self.layers))

    def unit_name(self, kind: str, unit: int) -> str:
        """Name one unit: ``channel 3``, or a latent as its input's name and number, ``z 17``.

        Args:
            kind: One of `kinds`.
            unit: As `order` has it.
        """
        if kind != LATENTS:
            return f"channel {unit}"
        left = unit
        for name, count in zip(self.inputs, self.input_units, strict=True):
            if left < count:
                return name if count == 1 else f"{name} {left}"
            left -= count
        raise InputError(f"unit {unit} is beyond the latents", field="unit")

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        return f"<ReachResult of {self.source}: {self.target}, {self.share.shape[1]} units>"

    def columns(self) -> Columns:
        """As `Tabular.columns`."""
        there = self.order >= 0
        kind, place = np.nonzero(there)
        names = ("order", "share", "share_stderr", "random", "random_stderr")
        spills = ("spill", "spill_stderr") if self.spill is not None else ()
        return {
            "kind": np.array(self.kinds, np.str_)[kind],
            "units": place + 1,
            "of_units": self.units[kind],
            **{name: getattr(self, name)[there] for name in (*names, *spills)},
        }

    def arrays(self) -> Arrays:
        """As `Saved.arrays`; `kinds` (U,) names the rows."""
        return {**super().arrays(), "kinds": np.array(self.kinds, np.str_)}

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        raise InputError("no version wrote such a file without saying what it is")
