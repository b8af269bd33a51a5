"""Whether standard errors are right though every map stops at the first small one.

    python benchmarks/optional_stopping.py [--channels N] [--json FILE]

Influence of a channel is measured over many pairs; its mean is taken for the truth. Simulated
channels draw pairs, or groups of 32 stratified ones, from those with repetition, and stop as maps
of a job do, each at an error that it needs half to 16 times the least number of observations for.
What is told is how often 1.96 standard errors, and Student's multiple of them, reach the truth,
which ought to be 0.95 of the time; and the errors' root mean square as a share of that of the
standard errors, which ought to be 1. Beside it: stopping nowhere but at a fixed number, and looking
after every shard from fewer observations on.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from graftscope.bundle import shipped
from graftscope.server.analysis import MapMoments
from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    PriorPairs,
    SessionPool,
    open_bundles,
    shard_effects,
)
from graftscope.server.jobs._checkpoints import Race, Sums
from graftscope.server.jobs._racing import (
    LEAST_RACE_PAIRS,
    LEAST_STRATIFIED_RACE_PAIRS,
    ErrorJudge,
    RaceRule,
)
from graftscope.server.jobs._stopping import relative_errors
from graftscope.server.workers import Run

MODEL = "gan-cifar10"
MEASURED_SHARDS = 128
MOST_TIMES = 256
"""A channel that has not stopped after so many times the least observations is left out."""

Observations = NDArray[np.float64]


@dataclass(frozen=True)
class EachJudge(ErrorJudge):
    """An error of its own for each map: (E,), in units of `error`."""

    units: Observations = field(default_factory=lambda: np.ones(1))

    def judged(self, sums: Sums, run: Run) -> Race:
        """As `Judge`."""
        known = relative_errors(sums.individual) <= self.error * self.units
        return Race(known, np.full(len(known), np.nan))


@dataclass(frozen=True)
class Every(RaceRule):
    """Looks after every shard, as nobody should."""

    def _next_look(self, shards: int) -> int:
        return max(self.least_shards, shards + 1)


@dataclass(frozen=True)
class Row:
    """What came of one way to stop: see the module.

    Attributes:
        pairs: drawn independently, or stratified.
        rule: how it was stopped.
        least: pairs.
        usual: pairs, the mean.
        normal: how often 1.96 standard errors reached the truth.
        student: how often Student's multiple of them did.
        ratio: of errors to standard errors.
    """

    pairs: str
    rule: str
    least: int
    usual: float
    normal: float
    student: float
    ratio: float


def measured(stratified: bool) -> Observations:
    """(N, C): every channel's effect in each pair, or the mean over each 32 stratified ones."""
    (folder,) = open_bundles([shipped()[MODEL]])
    generator = Generator(folder, SessionPool(Device.CPU, 8))
    layer = generator.layer("intermediate")
    every = np.eye(layer.channels, dtype=np.bool_)
    subject = ChannelSets(generator, layer, every, generator.areas(16))
    source, plan = PriorPairs(generator, 0, stratified), subject.plan()
    shards = [range(i * SHARD_PAIRS, (i + 1) * SHARD_PAIRS) for i in range(MEASURED_SHARDS)]
    means = [shard_effects(subject, plan, source, x, Cancellation()).pixel_means for x in shards]
    found = np.array(means)
    return found.mean(axis=1) if stratified else found.reshape(-1, found.shape[-1])


def stopped(draws: Iterator[Observations], rule: RaceRule) -> Sums:
    """The sums of simulated channels once all have stopped, or at the rule's maximum.

    Args:
        draws: each shard's observations of every channel, (B, E).
        rule: which channels stop, and when.
    """
    sums: Sums | None = None
    for shard, drawn in enumerate(draws, start=1):
        rows = None if sums is None else rule.rows(sums)
        moments = MapMoments.from_pixel_means(drawn if rows is None else drawn[:, rows])
        pairs_each = SHARD_PAIRS // len(drawn)
        if sums is None:
            sums = Sums(shard, moments, moments, pairs_each=pairs_each)
        else:
            merged = sums.moments.merge(moments, rows)
            sums = Sums(shard, merged, merged, pairs_each=pairs_each, race=sums.race)
        if rule.is_look(sums):
            sums = rule.look(sums)
        if rule.holds(sums) or sums.pairs >= rule.max_pairs:
            return sums
    raise AssertionError("draws end before the rule's maximum")


@dataclass(frozen=True, eq=False)
class Simulated:
    """Channels that have stopped.

    Attributes:
        sums: theirs.
        truth: (E,), what was to be found.
        kept: (E,), which of them stopped by themselves.
    """

    sums: Sums
    truth: Observations
    kept: NDArray[np.bool_]


def simulate(
    found: Observations, least: int, way: type[RaceRule], channels: int, *, fixed: bool = False
) -> Simulated:
    """Simulated channels that stop by a rule.

    Args:
        found: (N, C), what is drawn from.
        least: pairs.
        way: which class of rule.
        channels: how many.
        fixed: whether all stop at the least number of pairs.
    """
    random = np.random.default_rng(0)
    of = random.integers(found.shape[1], size=channels)
    each = 1 if len(found) == MEASURED_SHARDS else SHARD_PAIRS  # observations a shard
    truth, spread = found.mean(axis=0)[of], found.std(axis=0)[of]
    needed = least // SHARD_PAIRS * each * np.exp(random.uniform(np.log(0.5), np.log(16), channels))
    most = least if fixed else least * MOST_TIMES
    judge = EachJudge(1.0, spread / truth / np.sqrt(needed))
    rule = way(judge, most, least // SHARD_PAIRS)

    def draws() -> Iterator[Observations]:
        while True:
            yield found[random.integers(len(found), size=(each, channels)), of]

    sums = stopped(draws(), rule)
    assert sums.race is not None
    return Simulated(sums, truth, sums.race.settled | fixed)


def row_of(pairs: str, rule: str, least: int, simulated: Simulated) -> Row:
    """What came of a simulation, in numbers."""
    kept, individual = simulated.kept, simulated.sums.individual
    mean, stderr = individual.mean.ravel()[kept], individual.stderr().ravel()[kept]
    truth = simulated.truth[kept]
    off, most = np.abs(mean - truth), student.ppf(0.975, individual.count[kept] - 1)
    return Row(
        pairs,
        rule,
        least,
        float(simulated.sums.pairs_of[kept].mean()),
        float((off <= 1.96 * stderr).mean()),
        float((off <= most * stderr).mean()),
        float(np.sqrt(np.mean((off / truth) ** 2) / np.mean((stderr / truth) ** 2))),
    )


def compare(channels: int) -> list[Row]:
    """The table's rows."""
    rows = []
    for pairs, ours, fewer in (
        ("independent", LEAST_RACE_PAIRS, LEAST_RACE_PAIRS),
        ("stratified", LEAST_STRATIFIED_RACE_PAIRS, LEAST_STRATIFIED_RACE_PAIRS // 2),
    ):
        found = measured(pairs == "stratified")
        for rule, way, least, fixed in (
            ("a fixed number", RaceRule, ours, True),
            ("as jobs do", RaceRule, ours, False),
            ("a look after every shard", Every, fewer, False),
        ):
            simulated = simulate(found, least, way, channels, fixed=fixed)
            rows.append(row_of(pairs, rule, least, simulated))
    return rows


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = compare(options.channels)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in found]))
    heads = ("pairs", "stops", "least", "mean", "1.96 reach", "Student's reach", "error / stderr")
    sys.stdout.write(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|\n")
    for row in found:
        cells = f"{row.normal:.3f} | {row.student:.3f} | {row.ratio:.3f}"
        sys.stdout.write(
            f"| {row.pairs} | {row.rule} | {row.least} | {row.usual:.0f} | {cells} |\n"
        )


if __name__ == "__main__":
    main()
