"""Whether an influence job has seen enough: sums over the first shards in, a decision out.

A rule looks at the ordered prefix of shards alone, after shards that the number of shards decides,
so that it stops at the same pair for any number of workers and after any interruption. What it saw
before is in the sums. It must not know workers, checkpoints or gRPC.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import (
    NO_MODULE,
    Estimate,
    KTooLargeError,
    Method,
    NotConvergedError,
    features_of,
    find_modules,
    match_labels,
)
from graftscope.server.engine import SHARD_PAIRS
from graftscope.server.jobs._checkpoints import Looks, Sums
from graftscope.server.jobs._specification import StableLabelsSpec
from graftscope.server.workers import Run, directly

LEAST_PAIRS = 64
"""No rule looks at fewer: standard errors and labels of few pairs mislead."""

LEAST_STRATIFIED_PAIRS = 256
"""No rule believes the standard error of fewer stratified pairs: it is that of so few means of 32
pairs that it misleads."""

LEAST_STABLE_PAIRS = 2 * LEAST_PAIRS
"""The last half of fewer pairs would begin before the first look."""

# Labels are looked at after every shard up to this one, and then ever more rarely.
_EVERY_SHARD = 8


@dataclass(frozen=True)
class Verdict:
    """What came of a stopping rule.

    Attributes:
        met: whether it holds at the end.
        relative_standard_error: the largest of an individual influence; NaN where there is none.
        label_agreement: share of the maps whose labels agreed over the last half of the pairs; NaN
            where the rule does not ask for that, or could not look back so far.
        label_probability: the smallest of a map's label; NaN where the rule does not ask for it.
        settled: how many maps are known well enough.
    """

    met: bool
    relative_standard_error: float
    label_agreement: float = math.nan
    label_probability: float = math.nan
    settled: int = 0


class Rule(Protocol):
    """When a job has seen enough."""

    def is_look(self, sums: Sums) -> bool:
        """Whether `look` has something to add here."""

    def look(self, sums: Sums, run: Run = directly) -> Sums:
        """The sums with what the rule remembers of them; takes a while.

        Args:
            sums: over the first shards.
            run: makes the calls that take long, where a cancel ends them.
        """

    def holds(self, sums: Sums) -> bool:
        """Whether the job may stop."""

    def rows(self, sums: Sums) -> NDArray[np.int64] | None:
        """Indices of the maps that go on, ascending; None for all."""

    def fixed_until(self, shards: int) -> int:
        """After so many shards: up to which one `rows` stay what they are."""

    def to_go(self, sums: Sums) -> int:
        """How many pairs are still to come, summed over the maps, as far as can be told."""

    def verdict(self, sums: Sums) -> Verdict:
        """What is said at the end."""


class Together:
    """What rules have in common by which all maps go on until the job ends."""

    max_pairs: int

    def rows(self, sums: Sums) -> None:
        """As `Rule`: all."""

    def fixed_until(self, shards: int) -> int:
        """As `Rule`: the last."""
        return -(-self.max_pairs // SHARD_PAIRS)

    def to_go(self, sums: Sums) -> int:
        """As `Rule`."""
        return (self.expected_pairs(sums) - sums.pairs) * len(sums.moments.mean)

    def expected_pairs(self, sums: Sums) -> int:
        """After how many pairs the job ends, as far as can be told."""
        return self.max_pairs


@dataclass(frozen=True)
class ErrorRule(Together):
    """Until every individual influence is known to a relative standard error.

    Attributes:
        error: above 0 and below 1.
        max_pairs: where the job ends without it.
        least_pairs: of fewer the error is not believed.
    """

    error: float
    max_pairs: int
    least_pairs: int = LEAST_PAIRS

    def is_look(self, sums: Sums) -> bool:
        """As `Rule`: it remembers nothing."""
        return False

    def look(self, sums: Sums, run: Run = directly) -> Sums:
        """As `Rule`."""
        return sums

    def holds(self, sums: Sums) -> bool:
        """As `Rule`; NaN is never small enough."""
        return (
            sums.pairs >= self.least_pairs
            and relative_error(sums.individual_estimate) <= self.error
        )

    def expected_pairs(self, sums: Sums) -> int:
        """As `Together`: a standard error falls with the square root of the number of pairs."""
        needed = sums.pairs * (relative_error(sums.individual_estimate) / self.error) ** 2
        if not math.isfinite(needed):
            return self.max_pairs
        return min(self.max_pairs, max(self.least_pairs, math.ceil(needed)))

    def verdict(self, sums: Sums) -> Verdict:
        """As `Rule`."""
        errors = relative_errors(sums.individual_estimate)
        known = (sums.individual_estimate.mean.ravel() == 0) | (errors <= self.error)
        worst = relative_error(sums.individual_estimate)
        return Verdict(self.holds(sums), worst, settled=int(np.count_nonzero(known)))


@dataclass(frozen=True)
class LabelRule(Together):
    """Until every layer's labels have stayed the same over the last half of the pairs.

    Attributes:
        labels: how modules are found.
        layers: the indices of the maps of each layer.
        max_pairs: where the job ends without it.
    """

    labels: StableLabelsSpec
    layers: tuple[range, ...]
    max_pairs: int

    def is_look(self, sums: Sums) -> bool:
        """As `Rule`: after the shards of a fixed schedule, and at the end."""
        at_end = sums.pairs == self.max_pairs
        return sums.pairs >= LEAST_PAIRS and (at_end or is_scheduled(sums.shards))

    def look(self, sums: Sums, run: Run = directly) -> Sums:
        """As `Rule`: the labels of modules as they are now."""
        maps, products = sums.map_estimate.mean, sums.products
        found = np.full(len(maps), NO_MODULE, dtype=np.int64)
        for layer in self.layers:
            rows = slice(layer.start, layer.stop)
            of = None if products is None else products[rows, rows] / sums.pairs
            found[rows] = self._labels(maps[rows], of, run)
        looks = sums.looks or Looks.none(len(maps))
        return replace(sums, looks=looks.and_then(sums.pairs, found))

    def holds(self, sums: Sums) -> bool:
        """As `Rule`; never between two looks."""
        looks = sums.looks
        if looks is None or not len(looks.pairs) or looks.pairs[-1] != sums.pairs:
            return False
        return self._agreement(looks) == 1.0

    def verdict(self, sums: Sums) -> Verdict:
        """As `Rule`."""
        looks = sums.looks or Looks.none(len(sums.moments.mean))
        agreement, half = self._agreement(looks), last_half(looks)
        parts = () if half is None else agreeing_parts(half, self.layers, self.labels.k)
        settled = sum(int(np.count_nonzero(agree)) for agree, _ in parts)
        error = relative_error(sums.individual_estimate)
        return Verdict(self.holds(sums), error, agreement, settled=settled)

    def _labels(
        self, maps: NDArray[np.float64], products: NDArray[np.float64] | None, run: Run
    ) -> NDArray[np.int64]:
        """(C,) labels; all are -1 where no such modules can be found yet, which is no agreement."""
        spec = self.labels
        features = run(features_of, maps, spec.window, spec.percentile, products)
        try:
            return run(find_modules, features, spec.k, Method(spec.method), spec.seed).labels
        except (KTooLargeError, NotConvergedError):
            return np.full(len(maps), NO_MODULE, dtype=np.int64)

    def _agreement(self, looks: Looks) -> float:
        return label_agreement(last_half(looks), self.layers, self.labels.k)


def relative_error(individual: Estimate) -> float:
    """The largest standard error of an individual influence as a share of it.

    Args:
        individual: of every observation's mean over pixels, (E, 1, 1).

    Returns:
        NaN with one observation, or where no set changes anything: an influence of zero has none.
    """
    errors = relative_errors(individual)
    some = individual.mean.ravel() > 0
    return float(np.max(errors[some])) if some.any() else math.nan


def relative_errors(individual: Estimate) -> NDArray[np.float64]:
    """(E,), the standard error of each individual influence as a share of it; NaN where there is
    none, or it is of one observation.
    """
    mean, stderr = individual.mean.ravel(), individual.stderr().ravel()
    return np.divide(stderr, mean, out=np.full_like(mean, math.nan), where=mean > 0)


def is_scheduled(shards: int) -> bool:
    """Whether labels are looked at after so many shards: each up to the eighth, then 10, 13, 17...

    Every look costs as much; growing by a quarter keeps at least three in any last half.
    """
    at = min(shards, _EVERY_SHARD)
    while at < shards:
        at = -(-at * 5 // 4)
    return at == shards


def last_half(looks: Looks) -> NDArray[np.int64] | None:
    """(L, E), labels from the last look before the last half of the pairs on, or at its beginning.

    None where the first look came later.
    """
    before = np.flatnonzero(2 * looks.pairs <= looks.pairs[-1:])
    return looks.labels[before[-1] :] if len(before) else None


def label_agreement(looks: NDArray[np.int64] | None, layers: Sequence[range], k: int) -> float:
    """The share of maps whose labels, after matching, are the last look's in every look.

    Maps in no module in all looks are left out: flat maps agree without saying anything. A layer
    all of whose maps are in none does not agree.

    Args:
        looks: (L, E) labels, the oldest first; None where there are too few.
        layers: the indices of the maps of each layer.
        k: number of modules.

    Returns:
        From 0 to 1; NaN where there are too few looks.
    """
    if looks is None:
        return math.nan
    parts = agreeing_parts(looks, layers, k)
    agreeing = sum(int(np.count_nonzero(agree & counted)) for agree, counted in parts)
    return agreeing / sum(int(np.count_nonzero(counted)) or len(counted) for _, counted in parts)


def agreeing_parts(
    looks: NDArray[np.int64], layers: Sequence[range], k: int
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Which of each layer's maps agree, and which count."""
    return [_agreeing(looks[:, layer.start : layer.stop], k) for layer in layers]


def _agreeing(looks: NDArray[np.int64], k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    last = looks[-1]
    agree = np.ones(len(last), dtype=np.bool_)
    for earlier in looks[:-1]:
        match = match_labels(last, earlier, k)
        agree &= np.where(earlier == NO_MODULE, NO_MODULE, match[earlier]) == last
    counted = (looks != NO_MODULE).any(axis=0)
    return agree & counted.any(), counted
