"""Extrinsic against intrinsic: what few latents reach, and few channels (Definitions 3 and 4).

A region of the image or a network's score is to be changed towards original 2's. Some pairs rank
the latents greedily by how much of that they do, and the channels of each layer likewise; other
pairs measure what the first 1, 2, ... of them do, as a share of what all together do, beside units
in random orders.

Axes: U kinds of units (latents, then layers), L layers, n places, N units of a kind, S sets, R
orders, B pairs, Q quantities.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import (
    Reached,
    area_between,
    first_sets,
    greedy_sets,
    random_orders,
    rank_greedily,
    reach_curve,
)
from graftscope.server.engine import samples_a_run
from graftscope.server.worth._making import Images, Making
from graftscope.server.worth._measure import BATCH_PAIRS, Each, Found, batches
from graftscope.server.worth._targets import Doubles, Target
from graftscope.server.worth._units import ChannelUnits, LatentUnits, Space

RANKING_PAIRS = 64
"""At most so many rank: a unit's place needs fewer pairs than a share."""

RANDOM_ORDERS = 4

_SETS = 32
"""Sets of a piece of work."""

_Piece: TypeAlias = tuple[range, NDArray[np.bool_]]
"""Pairs, and sets (S, N)."""


@dataclass(frozen=True, eq=False)
class Reach:
    """How much of the reachable effect the best latents give, and the best channels of each layer.

    Attributes:
        making: makes the images.
        target: what is to be changed.
        layers: names of layers, each once.
        first: index of the first pair.
        pairs: how many: the first half ranks, or the first 64 of it; the others measure. At
            least 4.
        most: how many units to choose at most, of each kind.
        seed: of random orders, and of the pairs drawn anew for errors.
        ranking: at most so many pairs rank.
        orders: R, how many random orders there are.
    """

    making: Making
    target: Target
    layers: tuple[str, ...]
    first: int
    pairs: int
    most: int
    seed: int = 0
    ranking: int = RANKING_PAIRS
    orders: int = RANDOM_ORDERS

    @property
    def spaces(self) -> list[Space]:
        """Latents, then the channels of each layer."""
        layers = [ChannelUnits(self.making.layer(name)) for name in self.layers]
        return [LatentUnits.of(self.making.generator.manifest), *layers]

    @property
    def ranking_pairs(self) -> range:
        """Those that rank."""
        return range(self.first, self.first + min(self.ranking, self.pairs // 2))

    @property
    def held_out(self) -> range:
        """Those that measure: the second half."""
        return range(self.first + self.pairs // 2, self.first + self.pairs)

    @property
    def pieces(self) -> int:
        """As `Measure`."""
        ranking, held_out = self._batches(self.ranking_pairs), self._batches(self.held_out)
        pieces = len(ranking) + len(held_out)
        for space in self.spaces:
            steps = range(space.units, space.units - self._chosen(space), -1)
            pieces += len(ranking) * sum(_chunks(left) for left in steps)
            pieces += len(held_out) * _chunks(self._measured_sets(space))
        return pieces

    @property
    def hybrids(self) -> int:
        """As `Measure`."""
        ranking, held_out = len(self.ranking_pairs), len(self.held_out)
        return sum(
            ranking * greedy_sets(space.units, self._chosen(space))
            + held_out * self._measured_sets(space)
            for space in self.spaces
        )

    @property
    def bytes(self) -> int:
        """As `Measure`: the sets and the effects of the kind with the most units."""
        return max(
            max(space.units, self._measured_sets(space))
            * (space.units + 8 * self.target.quantities * self.pairs)
            for space in self.spaces
        )

    def look(self, images: Images) -> None:
        """As `Measure`."""
        self.target.look(images)

    def run(self, each: Each) -> Found:
        """As `Measure`."""
        pairs = [*self._batches(self.ranking_pairs), *self._batches(self.held_out)]
        found = each(partial(self.target.directions, self.making), pairs)
        # A pair's direction stands at its place behind the first pair.
        directions = np.zeros(self.pairs)
        for some, values in zip(pairs, found, strict=True):
            directions[some.start - self.first : some.stop - self.first] = values
        measured = [self._measured(space, directions, each) for space in self.spaces]
        return Found(self._arrays(measured), self._scalars())

    def _measured(self, space: Space, directions: Doubles, each: Each) -> "_Measured":
        """Ranks on some pairs, and measures on the others."""
        effects = partial(self._effects, space, directions, each)
        most = self._chosen(space)
        ranking = rank_greedily(
            space.units, most, lambda sets: effects(self.ranking_pairs, sets)[0]
        )
        orders = random_orders(space.units, most, self.orders, self.seed)
        sets = np.concatenate(
            [
                first_sets(ranking.order, space.units),
                first_sets(orders, space.units).reshape(-1, space.units),
                np.ones((1, space.units), dtype=np.bool_),
            ]
        )
        return _Measured(space, ranking.order, effects(self.held_out, sets))

    def _effects(
        self,
        space: Space,
        directions: Doubles,
        each: Each,
        pairs: range,
        sets: NDArray[np.bool_],
    ) -> Doubles:
        """What sets of units do in some pairs: (Q, S, B)."""

        def measured(piece: _Piece) -> Doubles:
            some, chunk = piece
            original1, hybrid = space.opened(self.making, some)
            of_some = directions[some.start - self.first : some.stop - self.first]
            effect = self.target.seen(original1, of_some)
            return np.stack([effect(hybrid(units)) for units in chunk], axis=1)

        batched = self._batches(pairs)
        chunks = [sets[start : start + _SETS] for start in range(0, len(sets), _SETS)]
        made = iter(each(measured, product(batched, chunks)))
        rows = [np.concatenate([next(made) for _ in chunks], axis=1) for _ in batched]
        return np.concatenate(rows, axis=2)

    def _arrays(self, measured: list["_Measured"]) -> dict[str, NDArray[Any]]:
        columns = [dict(each.columns(self.orders)) for each in measured]
        widest = max(len(x.order) for x in measured)
        latents, *layers = (x.reached for x in measured)
        areas = [area_between(layer, latents, self.seed) for layer in layers]
        return {
            "units": np.array([x.space.units for x in measured], dtype=np.int64),
            "order": np.stack([_padded(x.order, widest, -1) for x in measured]),
            **{
                name: np.stack([_padded(x[name], widest, np.nan) for x in columns])
                for name in columns[0]
            },
            **_whole(measured),
            **{
                name: np.array([vars(area)[name] for area in areas])
                for name in ("by_count", "by_count_stderr", "by_share", "by_share_stderr")
            },
        }

    def _scalars(self) -> dict[str, Any]:
        latents = LatentUnits.of(self.making.generator.manifest)
        return {
            "target": self.target.told,
            "layers": [self.making.layer(name).name for name in self.layers],
            "inputs": [x.name for x in latents.inputs],
            "input_units": [x.units for x in latents.inputs],
            "ranking_pairs": len(self.ranking_pairs),
            "held_out_pairs": len(self.held_out),
        }

    def _batches(self, pairs: range) -> list[range]:
        """No more at once than go into one run, so that what crosses a cut stays as small."""
        size = min(BATCH_PAIRS, samples_a_run(self.making.generator))
        return batches(pairs.start, len(pairs), size)

    def _chosen(self, space: Space) -> int:
        return min(self.most, space.units)

    def _measured_sets(self, space: Space) -> int:
        return self._chosen(space) * (1 + self.orders) + 1


@dataclass(frozen=True, eq=False)
class _Measured:
    """What sets of one kind of units do in the pairs held out.

    Attributes:
        space: the kind.
        order: (n,) the best units.
        effects: (Q, n + R n + 1, B): of the best, of those in random orders, and of all.
    """

    space: Space
    order: NDArray[np.int64]
    effects: Doubles

    @property
    def reached(self) -> Reached:
        """What the best units reach."""
        best = self.effects[0, : len(self.order)]
        return Reached(best, self.effects[0, -1], self.space.units)

    def columns(self, orders: int) -> Iterator[tuple[str, Doubles]]:
        """Curves by the arrays' names, (n,) each."""
        places = len(self.order)
        at_random = self.effects[0, places:-1].reshape(orders, places, -1)
        for name, reached in (
            ("share", self.reached),
            ("random", Reached(at_random, self.effects[0, -1], self.space.units)),
        ):
            curve = reach_curve(reached)
            yield name, curve.share
            yield f"{name}_stderr", curve.stderr
        if len(self.effects) > 1:
            spills = [self.spilled(at) for at in range(places)]
            yield "spill", np.array([share for share, _ in spills])
            yield "spill_stderr", np.array([stderr for _, stderr in spills])

    def spilled(self, at: int) -> tuple[float, float]:
        """The share of a set's change that falls outside of the region, and its error."""
        inside, outside = self.effects[:, at]
        total = inside + outside
        if total.sum() <= 0:
            return np.nan, np.nan
        curve = reach_curve(Reached(outside[np.newaxis], total, 1))
        return float(curve.share[0]), float(curve.stderr[0])


def _whole(measured: list[_Measured]) -> dict[str, Doubles]:
    """What all units of each kind do together, (U,) each."""
    whole = [x.effects[0, -1] for x in measured]
    found = {
        "reachable": np.array([x.mean() for x in whole]),
        "reachable_stderr": np.array([_error_of_mean(x) for x in whole]),
    }
    if len(measured[0].effects) > 1:
        spills = [x.spilled(-1) for x in measured]
        found["whole_spill"] = np.array([share for share, _ in spills])
        found["whole_spill_stderr"] = np.array([stderr for _, stderr in spills])
    return found


def _error_of_mean(values: Doubles) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def _padded(values: NDArray[Any], size: int, filling: float) -> NDArray[Any]:
    """With so many places: kinds of fewer units have no more."""
    return np.pad(values, (0, size - len(values)), constant_values=filling)


def _chunks(sets: int) -> int:
    return -(-sets // _SETS)
