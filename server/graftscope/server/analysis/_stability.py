"""How far modules depend on which channels they were found in (section 4.1, Fig. 5).

Axes: C channels, M methods, n numbers of modules, R repeats. This module must not know generators
or figures.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import (
    InvalidInputError,
    KTooLargeError,
    NotConvergedError,
    require_between,
    require_distinct,
)
from graftscope.server.analysis._features import Features
from graftscope.server.analysis._modules import MAX_CLUSTERING_SEED, Method, find_modules
from graftscope.server.analysis._splits import compare, random_split, smallest_run

DEFAULT_KS = tuple(range(2, 11))
DEFAULT_REPEATS = 20
DEFAULT_METHODS = (Method.NMF, Method.KMEANS)
# The chance level of a repeat is then known to a few hundredths, and its mean to a few thousandths.
_PERMUTATIONS = 50
_LEAST_CHANNELS = 3
# A difference within so many of its standard errors tells nothing.
_ERRORS = 2.0
# Two numbers of modules whose excesses differ by less are equal: rounding, no more.
_EQUAL = 1e-9

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")


class Each(Protocol):
    """What the builtin `map` does; that of an executor does it side by side."""

    def __call__(
        self, work: Callable[[_Item], _Value], items: Iterable[_Item], /
    ) -> Iterable[_Value]:
        """Gives the work's values in the order of the items."""


@dataclass(frozen=True)
class SuggestedK:
    """The number of modules whose consistency exceeds chance most.

    Attributes:
        method: Of this method.
        k: The number; 0 where none exceeds chance, or none could be compared with it.
        consistency: Its mean over repeats.
        chance: Its chance level.
        excess_stderr: Standard error of the excess over repeats; NaN with one.
        rivals: Other numbers whose excess is below the best one's by less than two standard
            errors of the difference, paired by partition; ascending.
        reason: One sentence.
    """

    method: Method
    k: int
    consistency: float
    chance: float
    excess_stderr: float
    rivals: tuple[int, ...]
    reason: str


@dataclass(frozen=True, eq=False)
class Stability:
    """Agreement of runs on overlapping thirds.

    Attributes:
        ks: Numbers of modules, shape (n,), int64, ascending.
        methods: M of them.
        consistency: Share of the shared third's channels with one label in both runs, shape
            (M, n, R), float64, 0 to 1; NaN where a run did not settle.
        cosine: Between matched templates, averaged over modules, shape (M, n, R), likewise.
        chance: Consistency that permuted labels reach, shape (M, n).
        suggested: One a method.
        channels: How many took part: those whose map is not empty.
    """

    ks: npt.NDArray[np.int64]
    methods: tuple[Method, ...]
    consistency: npt.NDArray[np.float64]
    cosine: npt.NDArray[np.float64]
    chance: npt.NDArray[np.float64]
    suggested: tuple[SuggestedK, ...]
    channels: int


def stability(
    features: Features,
    ks: Sequence[int] | None = None,
    methods: Sequence[Method] = DEFAULT_METHODS,
    repeats: int = DEFAULT_REPEATS,
    seed: int = 0,
    each: Each = map,
) -> Stability:
    """Compares runs on overlapping thirds of the channels, for several numbers of modules.

    Every number and every method sees the same thirds, so their differences are paired.

    Args:
        features: Of the channels of a layer.
        ks: Numbers of modules, each from 2 to the size of the smaller run, which is two thirds of
            the channels that are not empty; None for 2 to 10, as far as that allows.
        methods: How channels are grouped; at least one.
        repeats: Random partitions, at least 1.
        seed: Of partitions and methods, from 0 to 2^32 - 1.
        each: Makes comparisons (a method, a number, a partition) one after the other, or side by
            side.

    Returns:
        Consistencies, cosines, chance, and a number of modules for each method.

    Raises:
        InvalidInputError: An argument is malformed or out of range.
        KTooLargeError: There are fewer maps in a run than modules.
    """
    _require_counts(methods, repeats, seed)
    features = features.without_empty()
    channels = len(features.binary.matrix)
    chosen = _allowed_ks(ks, channels)
    # What can be sent elsewhere: a function's name, what all cells share, and a cell's own numbers.
    compared = partial(_compared, features, seed)
    cells = list(each(compared, product(methods, chosen, range(repeats))))
    table = np.array(cells).reshape(len(methods), len(chosen), repeats, 3)
    consistency, cosine, chance = (table[..., i] for i in range(3))
    return Stability(
        ks=np.array(chosen, dtype=np.int64),
        methods=tuple(methods),
        consistency=consistency,
        cosine=cosine,
        chance=_nanmean(chance),
        suggested=tuple(
            suggest_k(method, chosen, consistency[i], chance[i]) for i, method in enumerate(methods)
        ),
        channels=channels,
    )


def cell_count(maps: int, ks: Sequence[int] | None, methods: int, repeats: int) -> int:
    """How many times `stability` compares two runs, if no map is empty."""
    return methods * repeats * len(ks or [k for k in DEFAULT_KS if k <= smallest_run(maps)])


def suggest_k(
    method: Method,
    ks: Sequence[int],
    consistency: npt.NDArray[np.float64],
    chance: npt.NDArray[np.float64],
) -> SuggestedK:
    """Chooses the number of modules whose consistency exceeds chance most.

    Args:
        method: Whose consistency.
        ks: Numbers of modules, ascending.
        consistency: Shape (n, R); NaN where a run did not settle.
        chance: Likewise, the chance level of each repeat.

    Returns:
        The number; among equal ones the smallest.
    """
    excess = consistency - chance  # (n, R)
    mean = _nanmean(excess)
    reason = ""
    if not np.isfinite(mean).any():
        reason = f"no number of modules: no run of {method.value} settled"
    elif np.nanmax(mean) <= _EQUAL:
        reason = f"no number of modules: consistency exceeds chance at no K of {ks[0]} to {ks[-1]}"
    if reason:
        return SuggestedK(method, 0, math.nan, math.nan, math.nan, (), reason)
    best = int(np.flatnonzero(mean >= np.nanmax(mean) - _EQUAL)[0])
    stderr = _stderr(excess[best])
    # Differences are paired: all numbers of modules saw the same thirds.
    behind = [_behind(excess[best], row) for row in excess]
    rivals = tuple(k for i, k in enumerate(ks) if i != best and behind[i])
    level, by_chance = float(_nanmean(consistency)[best]), float(_nanmean(chance)[best])
    error = "" if math.isnan(stderr) else f" (standard error {stderr:.2f})"
    reason = (
        f"K = {ks[best]}: {level:.2f} of the labels agree where chance gives {by_chance:.2f}; the "
        f"excess of {mean[best]:.2f}{error} is the largest of K = {ks[0]} to {ks[-1]}"
    )
    if rivals:
        reason += (
            f", but K = {', '.join(map(str, rivals))} cannot be told from it (less than two "
            "standard errors below)"
        )
    return SuggestedK(method, int(ks[best]), level, by_chance, stderr, rivals, reason)


def _compared(
    features: Features, seed: int, cell: tuple[Method, int, int]
) -> tuple[float, float, float]:
    """Consistency, cosine and chance of a method and a number of modules in one partition."""
    method, k, repeat = cell
    split = random_split(len(features.binary.matrix), seed, repeat, _PERMUTATIONS)
    try:
        first = find_modules(features.of(split.first), k, method, split.seeds[0])
        second = find_modules(features.of(split.second), k, method, split.seeds[1])
    except (NotConvergedError, KTooLargeError):
        # One repeat's failure is told by its NaN; the other repeats still count.
        return math.nan, math.nan, math.nan
    return compare(split, first, second)


def _require_counts(methods: Sequence[Method], repeats: int, seed: int) -> None:
    require_distinct("methods", methods)
    if repeats < 1:
        raise InvalidInputError(f"repeats = {repeats} is not allowed; at least 1", "repeats")
    require_between("seed", seed, 0, MAX_CLUSTERING_SEED)


def _allowed_ks(ks: Sequence[int] | None, channels: int) -> tuple[int, ...]:
    if channels < _LEAST_CHANNELS:
        raise KTooLargeError(
            f"{channels} influence maps that are not flat cannot be cut into thirds; at least "
            f"{_LEAST_CHANNELS} are needed",
            "maps",
        )
    limit = smallest_run(channels)
    if ks is None or len(ks) == 0:
        return tuple(k for k in DEFAULT_KS if k <= limit)
    outside = [k for k in ks if not 2 <= k <= limit]
    if outside:
        raise KTooLargeError(
            f"k = {outside[0]} is not allowed; a run sees {limit} of the {channels} influence maps "
            f"that are not flat, so K is 2 to {limit}",
            "ks",
        )
    require_distinct("ks", ks)
    return tuple(sorted(ks))


def _behind(best: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> bool:
    """Whether another number's excess is no further below than the difference's error."""
    difference = (best - other)[np.isfinite(best - other)]
    if len(difference) < 2:
        return False
    stderr = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    return bool(difference.mean() <= _ERRORS * stderr + _EQUAL)


def _stderr(values: npt.NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.std(ddof=1) / math.sqrt(len(finite))) if len(finite) > 1 else math.nan


def _nanmean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean over repeats, the last axis; NaN where none settled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=-1), dtype=np.float64)
