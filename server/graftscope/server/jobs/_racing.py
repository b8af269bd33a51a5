"""Rules by which maps stop one by one: those that are known well enough get no more pairs.

Which maps go on is decided at looks, after numbers of shards that are fixed beforehand and grow
geometrically: between two looks the rows of every shard are known, so that shards go side by side,
and no worker, order or interruption changes a bit. At the maximum there is always a look. Workers
wait for looks: shards that went on meanwhile would have had rows of their own, and so, by rounding,
other bits than those of the maps that go on. It must not know workers, checkpoints or gRPC.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import (
    NO_MODULE,
    Confidence,
    Features,
    KTooLargeError,
    Method,
    NotConvergedError,
    ShardGroups,
    features_of,
    find_modules,
    label_confidence,
)
from graftscope.server.engine import SHARD_PAIRS
from graftscope.server.jobs._checkpoints import Race, Sums
from graftscope.server.jobs._specification import ConfidentLabelsSpec
from graftscope.server.jobs._stopping import Verdict, relative_error, relative_errors
from graftscope.server.workers import Run, directly

LEAST_RACE_PAIRS = 64
"""No map stops by its standard error after fewer."""

LEAST_STRATIFIED_RACE_PAIRS = 512
"""Likewise, of stratified pairs, 32 of which are one observation. Whoever stops at the first small
estimate of an error finds it too small: by 2 % with 16 observations at least, and by up to 17 %
with 8 (benchmarks/optional_stopping.py)."""

LEAST_CONFIDENT_PAIRS = 128
"""No map stops by the probability of its label after fewer."""

LEAST_LABEL_PROBABILITY = 0.5
"""A rule asks for more than this."""


class Judge(Protocol):
    """Which maps are known well enough.

    Attributes:
        reopens: whether a map that has stopped goes on where a later look says so.
    """

    @property
    def reopens(self) -> bool:
        """As above."""

    def judged(self, sums: Sums, run: Run) -> Race:
        """What can be said of each map now, whatever was said before; may take a while.

        Args:
            sums: over the first shards.
            run: makes the calls that take long, where a cancel ends them.
        """

    def needed(self, sums: Sums, most: int) -> NDArray[np.float64]:
        """(E,), after how many pairs each map will be known, as far as can be told."""


@dataclass(frozen=True)
class RaceRule:
    """Until every map is known well enough, each by itself.

    Attributes:
        judge: says which are.
        max_pairs: where the job ends without it.
        least_shards: before so many nobody looks, but at the end.
        together: whether no map stops before all may.
    """

    judge: Judge
    max_pairs: int
    least_shards: int
    together: bool = False

    def is_look(self, sums: Sums) -> bool:
        """As `Rule`."""
        return sums.shards == self._end or sums.shards == self._next_look(sums.shards - 1)

    def look(self, sums: Sums, run: Run = directly) -> Sums:
        """As `Rule`: the sums with which maps have stopped."""
        race = self.judge.judged(sums, run)
        if sums.race is not None and not self.together and not self.judge.reopens:
            race = replace(race, settled=race.settled | sums.race.settled)
        return replace(sums, race=race)

    def holds(self, sums: Sums) -> bool:
        """As `Rule`."""
        return sums.race is not None and bool(sums.race.settled.all())

    def rows(self, sums: Sums) -> NDArray[np.int64] | None:
        """As `Rule`."""
        if self.together or sums.race is None:
            return None
        return np.flatnonzero(~sums.race.settled)

    def fixed_until(self, shards: int) -> int:
        """As `Rule`: the next look."""
        return self._end if self.together else min(self._end, self._next_look(shards))

    def to_go(self, sums: Sums) -> int:
        """As `Rule`."""
        needed = np.clip(self.judge.needed(sums, self.max_pairs), sums.pairs, self.max_pairs)
        if self.together:
            return int(np.ceil(needed.max()) - sums.pairs) * len(needed)
        rows = self.rows(sums)
        going = needed if rows is None else needed[rows]
        return int((np.ceil(going) - sums.pairs).sum())

    def verdict(self, sums: Sums) -> Verdict:
        """As `Rule`."""
        race = sums.race or Race.none(len(sums.moments.mean))
        sure = race.sure[~np.isnan(race.sure)]
        return Verdict(
            self.holds(sums),
            relative_error(sums.individual_estimate),
            label_probability=float(sure.min()) if sure.size else np.nan,
            settled=int(np.count_nonzero(race.settled)),
        )

    @property
    def _end(self) -> int:
        return -(-self.max_pairs // SHARD_PAIRS)

    def _next_look(self, shards: int) -> int:
        """After how many shards the first look after so many is: each a third later."""
        at = self.least_shards
        while at <= shards:
            at = -(-at * 4 // 3)
        return at


@dataclass(frozen=True)
class ErrorJudge:
    """A map is known once its individual influence has a small relative standard error.

    A map of no influence has none: it is known, and stops at the first look.

    Attributes:
        error: above 0 and below 1.
    """

    reopens: ClassVar[bool] = False

    error: float

    def judged(self, sums: Sums, run: Run) -> Race:
        """As `Judge`."""
        errors = relative_errors(sums.individual_estimate)
        flat = sums.individual_estimate.mean.ravel() == 0
        return Race(flat | (errors <= self.error), np.full(len(errors), np.nan))

    def needed(self, sums: Sums, most: int) -> NDArray[np.float64]:
        """As `Judge`: a standard error falls with the square root of the number of pairs."""
        needed = sums.pairs_of * (relative_errors(sums.individual_estimate) / self.error) ** 2
        flat = sums.individual_estimate.mean.ravel() == 0
        return np.where(flat, 0.0, np.nan_to_num(needed, nan=most))


@dataclass(frozen=True)
class LabelJudge:
    """A map is known once the module that it belongs to is sure.

    A map in no module, since it is flat, has no label to be unsure of: it stops at the first look.
    Where no such modules can be found yet, as in fewer maps that are not flat than modules, no
    other map is known.

    Attributes:
        labels: how modules are found, and how sure their labels have to be.
        layers: the indices of the maps of each layer.
    """

    reopens: ClassVar[bool] = True
    """Modules move as the other maps get more pairs."""

    labels: ConfidentLabelsSpec
    layers: tuple[range, ...]

    def judged(self, sums: Sums, run: Run) -> Race:
        """As `Judge`."""
        race, by_products = (
            Race.none(len(sums.moments.mean)),
            Method(self.labels.method).needs_products,
        )
        groups, products = sums.group_estimate, sums.product_groups
        if groups is None or (by_products and products is None):
            return race  # The first shards are of an earlier version: nothing is known of them.
        maps, means = sums.map_estimate.mean, sums.mean_products
        for layer in self.layers:
            rows = slice(layer.start, layer.stop)
            of = None if means is None or not by_products else means[rows, rows]
            grouped = None if of is None or products is None else products.squared(rows)
            smoothing = (self.labels.window, self.labels.percentile)
            features = run(features_of, maps[rows], *smoothing, of)
            # Whether a map is flat does not depend on what modules there are.
            race.settled[features.binary.empty + layer.start] = True
            found = self._confidence(features, groups.of(rows), grouped, run)
            if found is not None:
                unlabelled = found.labels == NO_MODULE
                race.sure[rows] = found.own
                race.settled[rows] |= unlabelled | (found.own >= self.labels.probability)
        return race

    def needed(self, sums: Sums, most: int) -> NDArray[np.float64]:
        """As `Judge`: nobody knows when labels settle."""
        return np.full(len(sums.moments.mean), float(most))

    def _confidence(
        self,
        features: Features,
        groups: ShardGroups,
        product_groups: ShardGroups | None,
        run: Run,
    ) -> Confidence | None:
        """How sure the labels of a layer are; None where there are no such modules."""
        spec = self.labels
        try:
            modules = run(find_modules, features, spec.k, Method(spec.method), spec.seed)
        except (KTooLargeError, NotConvergedError):
            return None
        smoothing = (spec.window, spec.percentile)
        return run(label_confidence, groups, modules, *smoothing, product_groups)
