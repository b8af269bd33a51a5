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
from graftscope.server.jobs._checkpoints import Looks, Sums
from graftscope.server.jobs._specification import InfluenceSpec, RelativeErrorSpec, StableLabelsSpec
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
            where the rule looks at no labels, or could not look back so far.
    """

    met: bool
    relative_standard_error: float
    label_agreement: float = math.nan


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

    def expected_pairs(self, sums: Sums) -> int:
        """After how many pairs it will, as far as can be told: at most the job's."""

    def verdict(self, sums: Sums) -> Verdict:
        """What is said at the end."""


def rule_of(spec: InfluenceSpec) -> Rule | None:
    """The rule that a specification names, if any."""
    match spec.until:
        case RelativeErrorSpec():
            return ErrorRule(spec.until.error, spec.pairs, least_error_pairs(spec))
        case StableLabelsSpec():
            return LabelRule(spec.until, spec.rows, spec.pairs)
        case None:
            return None


def least_error_pairs(spec: InfluenceSpec) -> int:
    """From how many pairs on a job's standard errors are believed."""
    return LEAST_STRATIFIED_PAIRS if spec.originals.stratified else LEAST_PAIRS


@dataclass(frozen=True)
class ErrorRule:
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
        """As `Rule`: a standard error falls with the square root of the number of pairs."""
        needed = sums.pairs * (relative_error(sums.individual_estimate) / self.error) ** 2
        if not math.isfinite(needed):
            return self.max_pairs
        return min(self.max_pairs, max(self.least_pairs, math.ceil(needed)))

    def verdict(self, sums: Sums) -> Verdict:
        """As `Rule`."""
        return Verdict(self.holds(sums), relative_error(sums.individual_estimate))


@dataclass(frozen=True)
class LabelRule:
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

    def expected_pairs(self, sums: Sums) -> int:
        """As `Rule`: nobody knows when labels settle."""
        return self.max_pairs

    def verdict(self, sums: Sums) -> Verdict:
        """As `Rule`."""
        looks = sums.looks or Looks.none(len(sums.moments.mean))
        agreement = self._agreement(looks)
        return Verdict(self.holds(sums), relative_error(sums.individual_estimate), agreement)

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
    mean, stderr = individual.mean.ravel(), individual.stderr().ravel()
    some = mean > 0
    return float(np.max(stderr[some] / mean[some])) if some.any() else math.nan


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
    parts = [_agreeing(looks[:, layer.start : layer.stop], k) for layer in layers]
    return sum(agreeing for agreeing, _ in parts) / sum(counted for _, counted in parts)


def _agreeing(looks: NDArray[np.int64], k: int) -> tuple[int, int]:
    """How many of a layer's maps agree, and how many count."""
    last = looks[-1]
    agree = np.ones(len(last), dtype=np.bool_)
    for earlier in looks[:-1]:
        match = match_labels(last, earlier, k)
        agree &= np.where(earlier == NO_MODULE, NO_MODULE, match[earlier]) == last
    counted = (looks != NO_MODULE).any(axis=0)
    if not counted.any():
        return 0, len(last)
    return int(np.count_nonzero(agree & counted)), int(np.count_nonzero(counted))
