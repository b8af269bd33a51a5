"""Plans are chosen by what they take, and only among those that give the same numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from graftscope.bundle import read_bundle
from graftscope.graph import GraphError
from graftscope.graph.rewrites import COMPILE
from graftscope.server.engine import (
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    PairSource,
    Plan,
    PriorPairs,
    SessionPool,
    Timings,
    Trial,
    choose,
)
from graftscope.server.engine._generator import Effects

PLAIN = Plan(batch=4, sets=2, provider="CPUExecutionProvider")
FAST = replace(PLAIN, rewrites=("share",))
OTHER = replace(PLAIN, rewrites=("share", "fold"))
SETS = 6
LONG = range(1000)


@pytest.fixture
def generator(toy_vae_bundle: Path) -> Generator:
    return Generator(read_bundle(toy_vae_bundle), SessionPool(Device.CPU, 8))


@dataclass(eq=False)
class Timed:
    """A subject whose runs take what it is told, on a clock of its own."""

    generator: Generator
    run_s: Callable[[Plan], float]
    result: Callable[[Plan], float] = lambda _: 1.0
    products: bool = False
    now_s: float = 0.0
    measured: list[Plan] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)

    def __len__(self) -> int:
        return SETS

    def only(self, _: object) -> "Timed":
        return self

    @property
    def shape(self) -> str:
        return "timed"

    def plan(self) -> Plan:
        return PLAIN

    def candidates(self, _: object) -> tuple[Plan, ...]:
        return (PLAIN, FAST, OTHER)

    def kinds(self, plan: Plan) -> list[tuple[range, int]]:
        return [(range(plan.sets), -(-SETS // plan.sets))]

    def record(self, _: PairSource, __: range, plan: Plan, ___: Cancellation) -> "TimedBatch":
        if plan not in self.measured:
            self.measured.append(plan)
        return TimedBatch(self, plan)

    def clock(self) -> float:
        return self.now_s

    def choice(self, *plans: Plan, pairs: range = LONG) -> Plan:
        source = PriorPairs(self.generator, seed=0)
        return choose(Trial(self, source, pairs, Cancellation(), self.timings), plans, self.clock)


@dataclass(frozen=True)
class TimedBatch:
    subject: Timed
    plan: Plan

    def effects(self, some: range) -> Effects:
        self.subject.now_s += self.subject.run_s(self.plan)
        value = np.full((len(some), 2, 2), self.subject.result(self.plan))
        return Effects(value, value, value[:, 0])


def test_the_fastest_is_taken(generator: Generator) -> None:
    subject = Timed(generator, lambda plan: {PLAIN: 0.9, FAST: 0.5, OTHER: 0.7}[plan])
    assert subject.choice(PLAIN, FAST, OTHER) == FAST
    slow = Timed(generator, lambda plan: {PLAIN: 0.3, FAST: 0.5, OTHER: 0.7}[plan])
    assert slow.choice(PLAIN, FAST, OTHER) == PLAIN


@pytest.mark.parametrize(("compiled_s", "others"), [(0.5, 2), (0.3, 1)])
def test_a_compiled_plan_ends_the_search_where_it_is_surely_the_fastest(
    generator: Generator, compiled_s: float, others: int
) -> None:
    compiled = replace(PLAIN, rewrites=(COMPILE,))
    subject = Timed(generator, lambda plan: {PLAIN: 0.9, compiled: compiled_s}.get(plan, 0.6))
    assert subject.choice(PLAIN, compiled, FAST) == compiled
    assert len(subject.measured) == 1 + others


def test_a_short_job_is_not_measured_for(generator: Generator) -> None:
    subject = Timed(generator, lambda plan: 0.01 if plan == PLAIN else 0.001)
    assert subject.choice(PLAIN, FAST, pairs=range(8)) == PLAIN
    assert subject.measured == [PLAIN]
    assert subject.choice(PLAIN, FAST) == FAST


@pytest.mark.parametrize("faster", [FAST, OTHER])
def test_between_plans_that_are_as_fast_the_order_decides(
    generator: Generator, faster: Plan
) -> None:
    seconds = {PLAIN: 0.9, FAST: 0.7, OTHER: 0.7}
    seconds[faster] -= 0.01
    subject = Timed(generator, lambda plan: seconds[plan])
    assert subject.choice(PLAIN, FAST, OTHER) == FAST


def test_what_was_measured_decides_whatever_the_clock_says_later(generator: Generator) -> None:
    timings = Timings()
    first = Timed(generator, lambda plan: {PLAIN: 0.9, FAST: 0.5}[plan], timings=timings)
    later = Timed(generator, lambda plan: {PLAIN: 0.5, FAST: 0.9}[plan], timings=timings.for_one())
    assert first.choice(PLAIN, FAST) == later.choice(PLAIN, FAST) == FAST
    assert (later.measured, later.timings.measured) == ([], 0)
    # A short job of the same layer asks for one of the same measurements.
    assert later.choice(PLAIN, FAST, pairs=range(4)) == FAST


def test_of_one_plan_nothing_is_measured(generator: Generator) -> None:
    subject = Timed(generator, lambda _: 1.0)
    assert subject.choice(FAST) == FAST
    assert subject.measured == []


def test_a_plan_with_other_numbers_is_left_out(generator: Generator) -> None:
    def result(plan: Plan) -> float:
        return 1.001 if plan == FAST else 1.0

    subject = Timed(generator, lambda plan: {PLAIN: 0.9, FAST: 0.5, OTHER: 0.7}[plan], result)
    assert subject.choice(PLAIN, FAST, OTHER) == OTHER


@pytest.mark.parametrize("error", [GraphError, RuntimeError, AssertionError])
def test_a_plan_that_cannot_be_built_or_run_is_left_out(
    generator: Generator, error: type[Exception]
) -> None:
    def run_s(plan: Plan) -> float:
        if plan == FAST:
            raise error("no")
        return 0.9

    assert Timed(generator, run_s).choice(PLAIN, FAST) == PLAIN


def test_a_clearly_faster_plan_ends_the_search_on_its_backend_alone(generator: Generator) -> None:
    elsewhere = replace(PLAIN, provider="OpenVINOExecutionProvider")
    seconds = {PLAIN: 0.9, FAST: 0.5, OTHER: 0.1, elsewhere: 0.3}
    subject = Timed(generator, lambda plan: seconds[plan])
    assert subject.choice(PLAIN, FAST, OTHER, elsewhere) == elsewhere
    assert OTHER not in subject.measured


def test_an_error_of_the_plain_path_is_not_hidden(generator: Generator) -> None:
    def run_s(_: Plan) -> float:
        raise GraphError("no")

    with pytest.raises(GraphError):
        Timed(generator, run_s).choice(PLAIN, FAST)


def test_channels_by_themselves_may_share_and_modules_may_not(generator: Generator) -> None:
    layer = generator.layer("intermediate")
    backends = generator.backends("fp32")
    single = np.eye(layer.channels, dtype=np.bool_)
    plans = ChannelSets(generator, layer, single, generator.areas(0)).candidates(backends)
    assert not plans[0].rewrites
    assert any("share" in plan.rewrites for plan in plans)
    both = ChannelSets(generator, layer, single | single[0], generator.areas(0))
    plans = both.candidates(backends)
    assert not any("share" in plan.rewrites for plan in plans)
    assert any("subpixel" in plan.rewrites for plan in plans)
