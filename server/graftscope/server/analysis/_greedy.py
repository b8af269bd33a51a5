"""Units in the order in which each raises an effect the most: greedy forward selection.

A unit is a latent or a channel; what the effect of a set of units is, the caller measures. Greedy
selection adds, to the units chosen so far, the one that raises the mean effect the most. It is the
best set of every size where effects add up, and no worse than 1 - 1/e of it where they are
monotone and saturate (Nemhauser, Wolsey and Fisher, 1978); where units act only together it can
miss the best set.

Axes: N units, n places in an order, S sets, B pairs, R repeats. This module must not know
generators, layers or jobs.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, require_between
from graftscope.server.analysis._random_words import raw_words, stream_key

# Hashed into every key. A change of the arithmetic gets a new number, never the same orders' name.
_ORDER_DOMAIN = "graftscope/orders/1"


class EffectOfSets(Protocol):
    """Measures sets of units."""

    def __call__(self, sets: npt.NDArray[np.bool_], /) -> npt.NDArray[np.float64]:
        """Gives the effect of each of S sets, (S, N), in each of B pairs: (S, B)."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """The best units, found one by one.

    Attributes:
        order: (n,) int64, the units; the first has the largest effect by itself.
        effects: (n,) mean effect over the pairs of the first 1, 2, ..., n units together.
    """

    order: npt.NDArray[np.int64]
    effects: npt.NDArray[np.float64]


def rank_greedily(units: int, most: int, effect: EffectOfSets) -> Ranking:
    """Adds, time and again, the unit that raises the mean effect the most.

    Of units that raise it equally the first is taken. At each step all that remain are measured at
    once; `greedy_sets` says how many sets that is in all.

    Args:
        units: N, at least 1.
        most: n, how many to choose, 1 to N.
        effect: Measures sets; always on the same pairs.

    Returns:
        The order and what it reached.

    Raises:
        InvalidInputError: `units` or `most` is out of range, or an effect is not finite.
    """
    _require(units, most)
    chosen = np.zeros(units, dtype=np.bool_)
    order, reached = [], []
    for _ in range(most):
        left = np.flatnonzero(~chosen)
        means = _means(effect(_with_each(chosen, left)), len(left))
        best = int(np.argmax(means))  # the first of equals
        chosen[left[best]] = True
        order.append(left[best])
        reached.append(means[best])
    return Ranking(np.array(order, dtype=np.int64), np.array(reached))


def greedy_sets(units: int, most: int) -> int:
    """How many sets `rank_greedily` measures: N + (N - 1) + ... for n steps."""
    _require(units, most)
    return most * units - most * (most - 1) // 2


def first_sets(order: npt.NDArray[np.int64], units: int) -> npt.NDArray[np.bool_]:
    """The sets of the first 1, 2, ..., n units of an order.

    Args:
        order: (..., n), different units each below N.
        units: N.

    Returns:
        (..., n, N), each set within the next.
    """
    alone = order[..., np.newaxis] == np.arange(units)  # (..., n, N)
    return np.logical_or.accumulate(alone, axis=-2)


def random_orders(units: int, most: int, repeats: int, seed: int) -> npt.NDArray[np.int64]:
    """The first n of N units in random orders: (R, n), int64.

    Every order is equally likely, and the same for a seed on every machine.

    Args:
        units: N, at least 1.
        most: n, 1 to N.
        repeats: R, at least 1.
        seed: From 0 to 2^63 - 1.

    Raises:
        InvalidInputError: An argument is out of range.
    """
    _require(units, most)
    if repeats < 1:
        raise InvalidInputError(f"repeats = {repeats} is not allowed; it is at least 1", "repeats")
    words = raw_words(stream_key(_ORDER_DOMAIN, seed, 1, str(units)), range(repeats), units)
    return np.argsort(words, axis=1, kind="stable")[:, :most].astype(np.int64)


def _with_each(chosen: npt.NDArray[np.bool_], left: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """The chosen units with one more, for each of those that are left: (S, N)."""
    sets = np.repeat(chosen[np.newaxis], len(left), axis=0)
    sets[np.arange(len(left)), left] = True
    return sets


def _means(effects: npt.NDArray[np.float64], sets: int) -> npt.NDArray[np.float64]:
    """(S,) over pairs."""
    if effects.ndim != 2 or len(effects) != sets or not effects.shape[1]:
        raise InvalidInputError(
            f"effects have shape {effects.shape}; {sets} sets need ({sets}, B) with a pair at"
            " least",
            "effect",
        )
    means = effects.mean(axis=1, dtype=np.float64)
    if not np.isfinite(means).all():
        raise InvalidInputError("an effect is NaN or infinite", "effect")
    return np.asarray(means)


def _require(units: int, most: int) -> None:
    require_between("units", units, 1, 2**31)
    require_between("most", most, 1, units)
