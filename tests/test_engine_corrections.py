"""Reduced precision corrected by float32: which batches, how many, and that the bias is gone.

Factors rounded to eight bits, three of them mantissa, stand for a precision that is worse than any.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from scipy.stats import t

from benchmarks.rounding import RoundingPool
from graftscope.bundle import read_bundle
from graftscope.server.analysis import Correction, MapMoments, TwoLevels
from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    ChannelSets,
    Generator,
    PairSource,
    Plan,
    PriorPairs,
    ShardEffects,
    Subject,
    Timings,
    Trial,
    Turns,
    choose_corrected,
    corrected,
    corrected_batches,
    shard_effects,
)
from graftscope.server.engine._generator import Effects
from graftscope.server.engine._precision import CPU

CHEAP = Plan(batch=2, sets=8, provider=CPU, precision="bf16")
# What float32's own order of sums leaves.
TOLERANCE = 1e-6
SHARDS = 3

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def subject(toy_vae_bundle: Path) -> ChannelSets:
    pool = RoundingPool(16, TensorProto.FLOAT8E4M3FN)
    generator = Generator(read_bundle(toy_vae_bundle), pool)
    layer = generator.layer("intermediate")
    sets = np.eye(layer.channels, dtype=np.bool_)[:4]
    return ChannelSets(generator, layer, sets, generator.areas(4))


def chosen(plan: Plan, pairs: int, *, grouped: bool = False, first: int = 0) -> list[range]:
    stop = first + pairs
    shards = [
        range(start, min(start + SHARD_PAIRS, stop)) for start in range(first, stop, SHARD_PAIRS)
    ]
    return [x for shard in shards for x in corrected_batches(plan, shard, first, grouped=grouped)]


def test_the_first_batches_are_corrected_and_then_one_of_so_many() -> None:
    plan = replace(CHEAP, corrected_every=64)
    found = chosen(plan, pairs=640)
    assert found[:8] == [range(start, start + 2) for start in range(0, 16, 2)]
    assert found[8:] == [range(start, start + 2) for start in range(128, 640, 128)]
    assert chosen(plan, pairs=640, first=1000) == [
        range(x.start + 1000, x.stop + 1000) for x in found
    ]
    # What comes later changes nothing of what came first.
    assert chosen(plan, pairs=96) == [x for x in found if x.stop <= 96]


def test_of_pairs_that_depend_on_each_other_one_batch_a_shard_is_an_observation() -> None:
    found = chosen(replace(CHEAP, corrected_every=64), pairs=640, grouped=True)
    starts = [x.start for x in found]
    assert starts[:8] == [SHARD_PAIRS * shard for shard in range(8)]
    assert starts[8:] == [256, 384, 512]


@pytest.mark.parametrize(("batch", "first_batches"), [(1, 16), (2, 8), (4, 4), (8, 4)])
def test_sixteen_pairs_are_corrected_at_least_in_four_batches(
    batch: int, first_batches: int
) -> None:
    plan = replace(CHEAP, batch=batch, corrected_every=1024)
    assert len(chosen(plan, pairs=SHARD_PAIRS)) == first_batches


def test_a_smaller_last_batch_is_corrected_only_where_there_is_no_other() -> None:
    plan = replace(CHEAP, batch=4, corrected_every=1)
    assert chosen(plan, pairs=33)[-1] == range(28, 32)
    assert chosen(plan, pairs=3) == [range(3)]


def test_a_plan_without_correction_corrects_nothing() -> None:
    assert chosen(CHEAP, pairs=640) == []


@dataclass(frozen=True)
class Ran:
    """A job of some shards."""

    moments: MapMoments
    individual: MapMoments
    correction: Correction | None

    @property
    def maps(self) -> TwoLevels:
        assert self.correction is not None
        return TwoLevels(self.moments, self.correction.maps)

    @property
    def means(self) -> TwoLevels:
        assert self.correction is not None
        return TwoLevels(self.individual, self.correction.individual)


def ran(
    subject: ChannelSets, plan: Plan, source: PairSource, pairs: int, *, grouped: bool = False
) -> Ran:
    def shard(start: int) -> Ran:
        some = range(start, min(start + SHARD_PAIRS, pairs))
        batches = corrected_batches(plan, some, 0, grouped=grouped)
        found: ShardEffects = shard_effects(subject, plan, source, some, Cancellation(), batches)
        moments, means = found.moments, MapMoments.from_pixel_means(found.pixel_means)
        if not grouped:
            return Ran(moments, means, found.correction)
        moments, means = moments.as_one(), means.as_one()
        return Ran(moments, means, found.correction and found.correction.as_one(moments, means))

    def merged(a: Ran, b: Ran) -> Ran:
        both = a.correction.merge(b.correction) if a.correction and b.correction else a.correction
        return Ran(a.moments.merge(b.moments), a.individual.merge(b.individual), both)

    return reduce(merged, (shard(start) for start in range(0, pairs, SHARD_PAIRS)))


def test_where_every_batch_is_corrected_the_answer_is_float32s(subject: ChannelSets) -> None:
    source = PriorPairs(subject.generator, seed=3)
    both = ran(subject, replace(CHEAP, corrected_every=1), source, pairs=40)
    exact = ran(subject, CHEAP.exact, source, pairs=40)
    np.testing.assert_allclose(both.maps.mean, exact.moments.mean, atol=TOLERANCE)
    np.testing.assert_allclose(both.means.mean, exact.individual.mean, atol=TOLERANCE)
    assert np.abs(both.moments.mean - exact.moments.mean).max() > 100 * TOLERANCE
    # Of batch means instead of pairs: the same error, known a little less well.
    ratio = both.means.stderr() / exact.individual.stderr()
    assert 0.6 < ratio.mean() < 1.4


def test_the_differences_are_those_of_the_corrected_batches(subject: ChannelSets) -> None:
    source = PriorPairs(subject.generator, seed=4)
    both = ran(subject, replace(CHEAP, corrected_every=1024), source, pairs=64)
    assert both.correction is not None
    assert both.correction.pairs_of.tolist() == [16] * len(subject)
    cheap, exact = (ran(subject, x, source, pairs=16) for x in (CHEAP, CHEAP.exact))
    for found, expected in (
        (both.correction.maps.moments.mean, exact.moments.mean - cheap.moments.mean),
        (both.correction.maps.cheap, cheap.moments.mean),
        (both.correction.individual.moments.mean, exact.individual.mean - cheap.individual.mean),
    ):
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@dataclass(frozen=True)
class Study:
    """Individual influences of many jobs, (R, E), and of the same pairs in float32."""

    cheap: Array
    corrected: Array
    stderr: Array
    exact: Array

    @classmethod
    def of(cls, subject: ChannelSets, repeats: int, *, grouped: bool) -> "Study":
        plan, pairs = (
            replace(CHEAP, batch=4, corrected_every=32),
            SHARD_PAIRS * (4 if grouped else 2),
        )
        whole = replace(plan.exact, batch=SHARD_PAIRS)
        found = []
        for seed in range(repeats):
            source = PriorPairs(subject.generator, seed, stratified=grouped)
            job = ran(subject, plan, source, pairs, grouped=grouped)
            exact = ran(subject, whole, source, pairs).individual.mean
            found.append((job.individual.mean, job.means.mean, job.means.stderr(), exact))
        return cls(*np.array(found).reshape(repeats, 4, -1).swapaxes(0, 1))

    def z(self, estimates: Array) -> Array:
        """(E,), how far estimates are from float32's of the same pairs, in standard errors.

        On the same pairs, so that what both vary by is not in the way.
        """
        errors = estimates - self.exact
        return np.asarray(errors.mean(axis=0) / errors.std(axis=0, ddof=1) * len(errors) ** 0.5)

    def coverage(self, observations: int) -> float:
        """How many 95 % intervals of Student's distribution hold the mean of all float32."""
        width = t.ppf(0.975, observations - 1) * self.stderr
        return float((np.abs(self.corrected - self.exact.mean(axis=0)) < width).mean())


BOTH_WAYS = pytest.mark.parametrize("grouped", [False, True], ids=["independent", "stratified"])


@BOTH_WAYS
def test_the_bias_is_gone_in_expectation(subject: ChannelSets, grouped: bool) -> None:
    study = Study.of(subject, 10, grouped=grouped)
    assert (np.abs(study.z(study.corrected)) < 4).all()
    assert (np.abs(study.z(study.cheap)) > 6).all()


@pytest.mark.soak
@BOTH_WAYS
def test_over_many_jobs_intervals_hold_what_float32_gives(
    subject: ChannelSets, grouped: bool
) -> None:
    study = Study.of(subject, 300, grouped=grouped)
    assert (np.abs(study.z(study.corrected)) < 3.5).all()
    assert (np.abs(study.z(study.cheap)) > 20).all()
    told = np.sqrt(np.square(study.stderr).mean(axis=0))
    np.testing.assert_allclose(told, study.corrected.std(axis=0, ddof=1), rtol=0.15)
    assert 0.92 < study.coverage(SHARDS if grouped else SHARDS * SHARD_PAIRS) < 0.98


@dataclass(frozen=True)
class KnownTrial(Trial):
    """A trial in which it is known how long a pair takes in each precision."""

    seconds: Mapping[str, float] = field(default_factory=dict)

    def remembered(self, what: object, pairs: int, measure: Callable[[], float]) -> float:
        match what:
            case ("seconds a pair", Plan(precision=precision), _):
                return self.seconds[precision]
            case _:
                return measure()


@dataclass(frozen=True)
class Numbers:
    """Maps that are known; of each precision so much noise is added, after its share as bias."""

    noise: Mapping[str, float]
    generator: Generator = field(default_factory=lambda: cast(Generator, Plain()))
    products: bool = False

    def __len__(self) -> int:
        return 64

    def kinds(self, plan: Plan) -> list[tuple[range, int]]:
        return [(range(len(self)), 1)]

    def record(
        self, source: PairSource, pairs: range, plan: Plan, cancellation: Cancellation
    ) -> "NumbersBatch":
        shape, rows = (1000, len(self)), slice(pairs.start, pairs.stop)
        own = np.random.default_rng(0).random(shape)[rows]
        added = np.random.default_rng(1).standard_normal(shape)[rows]
        return NumbersBatch(own + self.noise.get(plan.precision, 0.0) * (0.3 + added))


@dataclass(frozen=True)
class Plain:
    provider: str = CPU
    turns: Turns = field(default_factory=Turns)


@dataclass(frozen=True)
class NumbersBatch:
    values: Array

    def effects(self, some: range) -> Effects:
        values = self.values[:, some.start : some.stop].T
        total = values.sum(axis=1).reshape(-1, 1, 1)
        return Effects(total, np.zeros_like(total), values)


FLOAT32 = Plan(batch=32, sets=3, provider=CPU)
BF16, TF32 = (replace(FLOAT32, precision=x) for x in ("bf16", "tf32"))


def trial_of(noise: float, seconds: Mapping[str, float], pairs: int = 1000) -> Trial:
    subject = Numbers({"bf16": noise, "tf32": noise / 8})
    source = cast(PairSource, None)
    return KnownTrial(
        cast(Subject, subject), source, range(pairs), Cancellation(), Timings(), seconds
    )


def auto(noise: float, seconds: Mapping[str, float], pairs: int = 1000) -> Plan:
    found = trial_of(noise, seconds, pairs)
    return choose_corrected(found, [FLOAT32, BF16, TF32], lambda _, plans: plans[0])


def test_auto_takes_reduced_precision_with_its_correction_where_that_is_faster() -> None:
    found = auto(0.01, {"fp32": 0.03, "bf16": 0.01, "tf32": 0.02})
    assert found.precision == "bf16"
    assert found.corrected_every > 0
    assert (found.batch, found.sets) == (2, 48)


@pytest.mark.parametrize(
    ("noise", "seconds", "pairs", "why"),
    [
        (0.01, {"fp32": 0.03, "bf16": 0.028, "tf32": 0.03}, 1000, "hardly faster"),
        (0.5, {"fp32": 0.03, "bf16": 0.02, "tf32": 0.03}, 1000, "too noisy for what it gains"),
        (0.01, {"fp32": 0.03, "bf16": 0.01, "tf32": 0.02}, 16, "too short"),
        (0.01, {"fp32": 0.05, "bf16": 0.02, "tf32": 0.04}, 24, "most of it would be corrected"),
    ],
)
def test_auto_stays_in_float32_elsewhere(
    noise: float, seconds: Mapping[str, float], pairs: int, why: str
) -> None:
    assert auto(noise, seconds, pairs) == FLOAT32, why


def test_auto_takes_more_bits_where_fewer_vary_too_much() -> None:
    assert auto(0.8, {"fp32": 0.04, "bf16": 0.01, "tf32": 0.015}).precision == "tf32"


@pytest.mark.parametrize("noise", [0.003, 0.03, 0.3])
def test_the_share_that_is_corrected_is_the_best_one_to_a_factor_of_two(noise: float) -> None:
    plan = corrected(trial_of(noise, {"fp32": 0.03, "bf16": 0.01}), BF16)
    # Uniform numbers have a variance of 1 / 12.
    best = min(1.0, np.sqrt(0.01 / 0.03 * noise**2 / (1 / 12)))
    assert np.log2(plan.corrected_every * best) == pytest.approx(0, abs=1)
    assert plan.corrected_every.bit_count() == 1


def test_float32_has_nothing_to_correct() -> None:
    assert corrected(trial_of(0.1, {}), FLOAT32) == FLOAT32


def test_a_job_of_few_pairs_is_corrected_whole() -> None:
    plan = corrected(trial_of(0.01, {"fp32": 0.03, "bf16": 0.01}, pairs=3), BF16)
    assert plan.corrected_every == 1
