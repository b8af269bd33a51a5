"""How far what ran is from the plain path in float32, on a sample of the same pairs.

Plans are compared by their influence maps; images and encodings in another precision with those in
float32. Letters: E sets of the sample, (h, w) the map. It must not know jobs or gRPC.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine._generator import Generator
from graftscope.server.engine._plan import Plan
from graftscope.server.engine._precision import AUTO, Backend, Precision
from graftscope.server.engine._trials import Trial, choose

SAMPLE_PAIRS, SAMPLE_SETS = 8, 16
"""Pairs of a sample of influence, and its sets, spread over all."""

REORDERED_PAIRS, REORDERED_SETS = 2, 8
"""The same where all is in float32: reordered sums differ in the last digits alone, and every job
pays for the comparison."""

SAMPLE_IMAGES = 4
"""Samples whose images are made twice."""

INDIVIDUAL_WORST = 0.02
INDIVIDUAL_MEDIAN = 0.005
"""What `auto` accepts of individual influences: far below what 200 pairs are uncertain of."""

IMAGE_WORST = 0.02
"""What `auto` accepts of a pixel, as a share of the width of the range."""

Chooser: TypeAlias = Callable[[Trial, Sequence[Plan]], Plan]

_BITS = {Precision.FP16: 16, Precision.BF16: 16, Precision.TF32: 19, Precision.FP32: 32}

# A set that does next to nothing is measured against this share of the largest influence, or noise
# in the last digit of zero would count as infinite.
_LEAST_SHARE = 1e-2

Made = TypeVar("Made")

Images: TypeAlias = Sequence[NDArray[np.float32]]

# The fewer bits, the faster, on every device that has instructions for them.
_FASTEST_FIRST = (Precision.FP16, Precision.BF16, Precision.TF32)


@dataclass(frozen=True)
class Deviation:
    """Difference from the plain path in float32.

    Attributes:
        pairs: of the sample.
        sets: of the sample; 0 for images.
        individual_median: relative difference of individual influences, those below a hundredth of
            the largest as shares of that hundredth; 0 for images.
        individual_worst: the largest of them.
        worst: largest difference of an entry: of maps as a share of the largest entry, of images
            as a share of the width of the range, of encodings as a share of the largest number.
    """

    pairs: int
    sets: int
    individual_median: float
    individual_worst: float
    worst: float

    @property
    def is_close(self) -> bool:
        """Whether `auto` accepts it."""
        entries = self.sets > 0 or self.worst <= IMAGE_WORST
        individual = self.individual_worst <= INDIVIDUAL_WORST
        return individual and self.individual_median <= INDIVIDUAL_MEDIAN and entries


@dataclass(frozen=True, eq=False)
class Ran(Generic[Made]):
    """What was made, and how.

    Attributes:
        made: what was asked for.
        backend: what ran it.
        deviation: difference from float32; None where that is what ran.
    """

    made: Made
    backend: Backend
    deviation: Deviation | None = None


def is_plain(generator: Generator, plan: Plan) -> bool:
    """Whether a plan is the plain path in float32, which deviates from nothing."""
    return plan == plain(generator, plan)


def plain(generator: Generator, plan: Plan) -> Plan:
    """The same size of runs on the plain path: the device's own provider in float32."""
    return replace(plan.on(Backend(generator.provider)), rewrites=())


def deviation(trial: Trial, plan: Plan) -> Deviation:
    """Measures a plan against the plain path.

    Args:
        trial: what is compared.
        plan: what ran, or may run.

    Raises:
        Cancelled: it was stopped.
    """
    is_float32 = plan.precision == Precision.FP32.value
    sample = trial.pairs[: REORDERED_PAIRS if is_float32 else SAMPLE_PAIRS]
    sets = spread(len(trial.subject), REORDERED_SETS if is_float32 else SAMPLE_SETS)
    reference = plain(trial.subject.generator, plan)
    maps, plain_maps = (_maps(trial, x, sample, sets) for x in (plan, reference))
    individual, expected = (x.mean(axis=(1, 2)) for x in (maps, plain_maps))
    floor = max(_LEAST_SHARE * expected.max(), np.finfo(np.float64).tiny)
    relative = np.abs(individual - expected) / np.maximum(expected, floor)
    return Deviation(
        pairs=len(sample),
        sets=len(sets),
        individual_median=float(np.median(relative)),
        individual_worst=float(relative.max()),
        worst=_share(maps - plain_maps, float(plain_maps.max())),
    )


def choose_close(trial: Trial, candidates: Sequence[Plan], choose: Chooser = choose) -> Plan:
    """What `auto` takes: the fastest plan that is in float32 or close to it.

    Args:
        trial: what is measured and compared.
        candidates: plans, the plain one first.
        choose: finds the fastest of plans.

    Raises:
        Cancelled: it was stopped.
    """
    left = sorted(candidates[1:], key=lambda plan: _BITS[plan.backend.precision])
    # Fewer bits are likelier to be fast, and the search ends at what is clearly faster.
    plans = [candidates[0], *left]
    while True:
        chosen = choose(trial, plans)
        if chosen.backend.precision is Precision.FP32:
            return chosen
        if deviation(trial, chosen).is_close:
            return chosen
        plans = [plan for plan in plans if plan.backend != chosen.backend]


def image_deviation(
    images: Sequence[NDArray[np.float32]], plain_images: Sequence[NDArray[np.float32]], width: float
) -> Deviation:
    """The largest difference of a pixel.

    Args:
        images: what was answered, each (B, ...).
        plain_images: the same of the first samples on the plain path, each (b, ...) with b <= B.
        width: of the range; for encodings, the largest number.
    """
    count = len(plain_images[0])
    worst = max(
        _share(image[:count] - reference, width)
        for image, reference in zip(images, plain_images, strict=True)
    )
    return Deviation(count, 0, 0.0, 0.0, worst)


def run_in(
    generator: Generator,
    wanted: str,
    make: Callable[[Generator, int | None], Made],
    images_of: Callable[[Made], Images],
    *,
    width: float | None = None,
) -> Ran[Made]:
    """Makes something in the precision that is asked for; for `auto`, in the fastest close one.

    Args:
        generator: the generator in float32.
        wanted: fp32, bf16, tf32, fp16 or auto.
        make: makes it with a generator: of all samples, or of this many first ones.
        images_of: its arrays, each (B, ...).
        width: of the images' range; None for the largest number there is.

    Raises:
        PrecisionUnavailable: the precision cannot be run.
        Cancelled: `make` was stopped.
    """

    def measured(backend: Backend, count: int | None) -> tuple[Ran[Made], Deviation]:
        made = make(generator.on(backend), count)
        plain = images_of(make(generator, SAMPLE_IMAGES))
        of = max(float(np.abs(x).max()) for x in plain) if width is None else width
        found = image_deviation(images_of(made), plain, of)
        return Ran(made, backend, found), found

    offered = generator.backends(wanted)
    if wanted != AUTO and offered[0] != generator.backend:
        return measured(offered[0], None)[0]
    for backend in _fastest_first(offered) if wanted == AUTO else ():
        if measured(backend, SAMPLE_IMAGES)[1].is_close:
            return measured(backend, None)[0]
    return Ran(make(generator, None), generator.backend)


def spread(count: int, most: int) -> list[int]:
    """At most so many indices from the first to the last.

    Args:
        count: how many indices there are.
        most: how many are wanted.
    """
    spread: list[int] = np.unique(np.linspace(0, count - 1, most).round().astype(int)).tolist()
    return spread


def batch_means(trial: Trial, plan: Plan, pairs: range, sets: Sequence[int]) -> NDArray[np.float64]:
    """Mean maps of some sets over each of the plan's batches.

    Args:
        trial: whose pairs they are.
        plan: how they are run.
        pairs: some of them; the last batch may be smaller.
        sets: E indices.

    Returns:
        (N, E, h, w) for N batches.

    Raises:
        Cancelled: it was stopped.
    """
    means = []
    for start in range(0, len(pairs), plan.batch):
        some = pairs[start : start + plan.batch]
        with trial.turn():
            batch = trial.record(plan, some)
            totals = [batch.effects(range(e, e + 1)).total for e in sets]
        means.append(np.concatenate(totals) / len(some))
    return np.array(means)


def _maps(trial: Trial, plan: Plan, pairs: range, sets: Sequence[int]) -> NDArray[np.float64]:
    """(E, h, w), means over the pairs."""
    means = batch_means(trial, plan, pairs, sets)
    sizes = [len(pairs[i : i + plan.batch]) for i in range(0, len(pairs), plan.batch)]
    return np.average(means, axis=0, weights=sizes)


def _share(difference: NDArray[np.floating], of: float) -> float:
    largest = float(np.abs(difference).max(initial=0.0))
    return largest / of if of > 0 else float(largest > 0)


def _fastest_first(offered: Sequence[Backend]) -> list[Backend]:
    reduced = [x for x in offered if x.precision in _FASTEST_FIRST]
    return sorted(reduced, key=lambda x: _FASTEST_FIRST.index(x.precision))
