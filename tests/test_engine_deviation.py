"""How far a plan is from the plain path, on a subject whose maps are known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.server.engine import (
    Cancellation,
    Deviation,
    Generator,
    PairSource,
    Plan,
    Subject,
    Trial,
    Turns,
    choose_close,
    deviation,
    is_plain,
)
from graftscope.server.engine._deviation import image_deviation
from graftscope.server.engine._generator import Effects
from graftscope.server.engine._precision import CPU, OPENVINO
from graftscope.server.errors import Cancelled

SIDE = 2
PLAIN = Plan(batch=4, sets=8, provider=CPU)
BF16 = replace(PLAIN, provider=OPENVINO, precision="bf16")
TF32 = replace(PLAIN, provider=OPENVINO, precision="tf32")
REWRITTEN = replace(PLAIN, rewrites=("folded",))
NO_SOURCE = cast(PairSource, None)


@dataclass(frozen=True)
class FakeGenerator:
    provider: str = CPU
    turns: Turns = field(default_factory=Turns)


@dataclass
class FakeSubject:
    """Set e of pair i has the map (e + 1) + i everywhere; a plan's factor multiplies it."""

    sets: int
    factors: dict[Plan, Callable[[int], float]] = field(default_factory=dict)
    recorded: list[tuple[Plan, range]] = field(default_factory=list)
    generator: Generator = field(default_factory=lambda: cast(Generator, FakeGenerator()))
    products: bool = False

    def __len__(self) -> int:
        return self.sets

    def record(
        self, source: PairSource, pairs: range, plan: Plan, cancellation: Cancellation
    ) -> "FakeBatch":
        cancellation.check()
        self.recorded.append((plan, pairs))
        return FakeBatch(pairs, self.factors.get(plan, lambda _: 1.0))


@dataclass(frozen=True)
class FakeBatch:
    pairs: range
    factor: Callable[[int], float]

    def effects(self, some: range) -> Effects:
        means = np.array([[self.factor(e) * (e + 1 + i) for i in self.pairs] for e in some])
        total: NDArray[np.float64] = np.repeat(means.sum(axis=1), SIDE * SIDE)
        total = total.reshape(len(some), SIDE, SIDE)
        return Effects(total, np.zeros_like(total), means)


def trial_of(subject: FakeSubject, pairs: range, cancellation: Cancellation | None = None) -> Trial:
    return Trial(cast(Subject, subject), NO_SOURCE, pairs, cancellation or Cancellation())


def measured(subject: FakeSubject, plan: Plan, pairs: range = range(100, 1000)) -> Deviation:
    return deviation(trial_of(subject, pairs), plan)


def test_a_plan_that_gives_the_same_numbers_deviates_by_nothing() -> None:
    assert measured(FakeSubject(64), BF16) == Deviation(8, 16, 0.0, 0.0, 0.0)


def test_the_sample_is_the_first_pairs_and_sets_spread_over_all() -> None:
    subject = FakeSubject(64)
    measured(subject, BF16)
    assert subject.recorded == [
        (plan, pairs) for plan in (BF16, PLAIN) for pairs in (range(100, 104), range(104, 108))
    ]


def test_reordered_sums_in_float32_are_compared_on_less() -> None:
    subject = FakeSubject(64)
    assert measured(subject, REWRITTEN) == Deviation(2, 8, 0.0, 0.0, 0.0)
    assert subject.recorded == [(plan, range(100, 102)) for plan in (REWRITTEN, PLAIN)]


def test_a_job_that_is_smaller_than_the_sample_is_compared_whole() -> None:
    subject = FakeSubject(3, {BF16: lambda e: 1.5 if e == 2 else 1.0})
    found = measured(subject, BF16, range(5))
    assert (found.pairs, found.sets) == (5, 3)
    assert found.individual_median == 0
    assert found.individual_worst == pytest.approx(0.5)


def test_differences_are_relative_to_each_sets_own_influence() -> None:
    # One percent everywhere: of maps it is one percent of the largest entry.
    found = measured(FakeSubject(16, {BF16: lambda _: 1.01}), BF16)
    assert found.individual_median == pytest.approx(0.01)
    assert found.individual_worst == pytest.approx(0.01)
    assert found.worst == pytest.approx(0.01)


def test_noise_in_a_set_that_does_nothing_is_not_infinite() -> None:
    plain = {PLAIN: lambda e: 0.0 if e == 0 else 1.0}
    noise = {BF16: lambda e: 1e-9 if e == 0 else 1.0}
    found = measured(FakeSubject(16, plain | noise), BF16)
    # 104.5 * 1e-9, against a hundredth of the largest influence, which is 119.5.
    assert found.individual_worst == pytest.approx(104.5e-9 / 1.195)


def test_where_nothing_does_anything_nothing_differs() -> None:
    nothing = {plan: lambda _: 0.0 for plan in (PLAIN, BF16)}
    assert measured(FakeSubject(4, nothing), BF16) == Deviation(8, 4, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("plan", "expected"), [(PLAIN, True), (BF16, False), (REWRITTEN, False)])
def test_the_plain_path_is_the_devices_own_provider_without_rewrites(
    plan: Plan, expected: bool
) -> None:
    assert is_plain(FakeSubject(1).generator, plan) is expected


@pytest.mark.parametrize(
    ("bf16", "tf32", "chosen"),
    [(1.004, 1.0, BF16), (1.03, 1.004, TF32), (1.03, 1.03, REWRITTEN)],
)
def test_auto_takes_the_fastest_plan_that_is_close_to_float32(
    bf16: float, tf32: float, chosen: Plan
) -> None:
    asked: list[list[Plan]] = []

    def fastest(_: Trial, plans: Sequence[Plan]) -> Plan:
        """The fewer bits the faster, and the plain path is the slowest."""
        asked.append(list(plans))
        return plans[1]

    subject = FakeSubject(16, {BF16: lambda _: bf16, TF32: lambda _: tf32})
    plans = (PLAIN, REWRITTEN, TF32, BF16)
    assert choose_close(trial_of(subject, range(8)), plans, choose=fastest) == chosen
    assert asked[0] == [PLAIN, BF16, TF32, REWRITTEN]


@pytest.mark.parametrize(
    ("found", "close"),
    [
        (Deviation(8, 16, 0.005, 0.02, 0.3), True),
        (Deviation(8, 16, 0.0051, 0.02, 0.0), False),
        (Deviation(8, 16, 0.005, 0.021, 0.0), False),
        (Deviation(4, 0, 0.0, 0.0, 0.02), True),
        (Deviation(4, 0, 0.0, 0.0, 0.021), False),
    ],
)
def test_close_is_two_percent_at_worst_and_half_a_percent_in_the_middle(
    found: Deviation, close: bool
) -> None:
    assert found.is_close is close


def test_images_are_compared_where_both_were_made_in_shares_of_the_range() -> None:
    images = np.zeros((8, 3, 2, 2), dtype=np.float32)
    images[1, 2, 0, 1] = 0.5
    images[5] = 100.0  # Beyond what the plain path made.
    found = image_deviation([images, images], [np.zeros_like(images[:4])] * 2, width=2.0)
    assert found == Deviation(4, 0, 0.0, 0.0, 0.25)


def test_a_comparison_can_be_stopped() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(Cancelled):
        deviation(trial_of(FakeSubject(4), range(8), cancellation), BF16)
