"""How much of an effect the first n units reach, and how far two such curves are apart.

The units are latents (extrinsic disentanglement, Definition 3) or channels of a layer (intrinsic
disentanglement, Definition 4). Shares are ratios of sums over pairs, so that a pair in which there
is little to reach counts little.

Axes: n units in their order, N units in all, B pairs, R orders. This module must not know how
effects are measured, generators or jobs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, finite_array
from graftscope.server.analysis._random_words import bounded_integers, raw_words, stream_key

RESAMPLES = 1000
"""Of the pairs, for the error of an area: it is then known to 2 %."""

# Hashed into every key. A change of the arithmetic gets a new number.
_RESAMPLING_DOMAIN = "graftscope/resampled pairs/1"


@dataclass(frozen=True, eq=False)
class Reached:
    """Effects of the first 1, 2, ..., n units in each pair, and of all units together.

    Attributes:
        effects: (n, B), or (R, n, B) of several orders.
        whole: (B,) what all N units together do.
        units: N, at least n.

    Raises:
        InvalidInputError: Shapes do not fit, a value is not finite, or N is too small.
    """

    effects: npt.NDArray[np.float64]
    whole: npt.NDArray[np.float64]
    units: int

    def __post_init__(self) -> None:
        axes = "RnB" if np.ndim(self.effects) == 3 else "nB"
        effects = finite_array("effects", self.effects, axes)
        whole = finite_array("whole", self.whole, "B")
        if effects.shape[-1] != len(whole):
            raise InvalidInputError(
                f"effects are of {effects.shape[-1]} pairs and whole of {len(whole)}; both are of "
                "the same",
                "whole",
            )
        if effects.shape[-2] > self.units:
            raise InvalidInputError(
                f"units = {self.units} is not allowed; effects are of the first "
                f"{effects.shape[-2]}",
                "units",
            )
        object.__setattr__(self, "effects", effects)
        object.__setattr__(self, "whole", whole)

    @property
    def mean_order(self) -> npt.NDArray[np.float64]:
        """(n, B), the mean over orders where there are several."""
        return self.effects if self.effects.ndim == 2 else self.effects.mean(axis=0)


@dataclass(frozen=True, eq=False)
class ReachCurve:
    """Shares of the reachable effect with their standard errors, (n,) each.

    Attributes:
        share: 1 where as much is reached as by all units together; it can lie above 1, or below 0.
            NaN where all units together reach nothing.
        stderr: Over pairs and, where there are several, orders; NaN of one pair.
    """

    share: npt.NDArray[np.float64]
    stderr: npt.NDArray[np.float64]


@dataclass(frozen=True)
class AreaBetween:
    """By how much one curve lies above another on average, with standard errors over pairs.

    Attributes:
        by_count: Mean difference of shares at 1, 2, ... units, as far as both curves go.
        by_count_stderr: Of it.
        by_share: Mean difference at equal shares n/N of all units, both curves straight between
            their points and from nothing at 0, as far as both go.
        by_share_stderr: Of it.
    """

    by_count: float
    by_count_stderr: float
    by_share: float
    by_share_stderr: float


def reach_curve(reached: Reached) -> ReachCurve:
    """The share of the reachable effect that the first 1, 2, ..., n units give.

    share(n) = sum over pairs of the effect of the first n / sum over pairs of that of all. Its
    standard error is that of a ratio of means, by the delta method. Several orders are averaged,
    and the spread between them adds to the error as that of a mean of so many.

    Args:
        reached: Effects, pair by pair.

    Returns:
        The curve.
    """
    effects, whole = reached.mean_order, reached.whole
    share = _shares(effects, whole)
    pairs = len(whole)
    if pairs < 2 or whole.sum() <= 0:
        return ReachCurve(share, np.full(len(share), np.nan))
    left = effects - share[:, np.newaxis] * whole  # (n, B), of mean 0
    variance = np.square(left).sum(axis=1) / (pairs * (pairs - 1)) / whole.mean() ** 2
    if reached.effects.ndim == 3 and len(reached.effects) > 1:
        orders = np.stack([_shares(each, whole) for each in reached.effects])  # (R, n)
        variance += orders.var(axis=0, ddof=1) / len(orders)
    return ReachCurve(share, np.sqrt(variance))


def area_between(above: Reached, below: Reached, seed: int = 0) -> AreaBetween:
    """By how much the first curve lies above the second, on average.

    Errors come from drawing the pairs anew with replacement, the same for both curves.

    Args:
        above: Effects of one kind of units.
        below: Of another, in the same pairs.
        seed: Of the resampling, from 0 to 2^63 - 1.

    Returns:
        The area at equal numbers of units, and at equal shares of them.

    Raises:
        InvalidInputError: They are not of the same number of pairs, or the seed is out of range.
    """
    pairs = len(above.whole)
    if len(below.whole) != pairs:
        raise InvalidInputError(
            f"the curves are of {pairs} and {len(below.whole)} pairs; both are of the same", "below"
        )
    counts = _resampled_counts(pairs, seed)  # (1 + resamples, B), the pairs as they are first
    first, second = _shares_of(above, counts), _shares_of(below, counts)  # (1 + resamples, n)
    both = min(first.shape[1], second.shape[1])
    by_count = (first[:, :both] - second[:, :both]).mean(axis=1)
    to = min(first.shape[1] / above.units, second.shape[1] / below.units)
    by_share = first @ _mean_up_to(to, first.shape[1], above.units)
    by_share = by_share - second @ _mean_up_to(to, second.shape[1], below.units)
    return AreaBetween(*_with_error(by_count), *_with_error(by_share))


def _shares(
    effects: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(n, B) and (B,) to (n,)."""
    reachable = whole.sum()
    if reachable <= 0:
        return np.full(len(effects), np.nan)
    shares: npt.NDArray[np.float64] = effects.sum(axis=1) / reachable
    return shares


def _shares_of(reached: Reached, counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The curve for each way of counting pairs, (S, B) to (S, n)."""
    whole = counts @ reached.whole
    reachable = np.where(whole > 0, whole, np.nan)
    shares: npt.NDArray[np.float64] = counts @ reached.mean_order.T / reachable[:, np.newaxis]
    return shares


def _resampled_counts(pairs: int, seed: int) -> npt.NDArray[np.float64]:
    """How often each pair is drawn: once each, then with replacement, (1 + RESAMPLES, B)."""
    key = stream_key(_RESAMPLING_DOMAIN, seed, 1, "")
    drawn = bounded_integers(raw_words(key, range(RESAMPLES), pairs), pairs)  # (RESAMPLES, B)
    counts = np.stack([np.bincount(row, minlength=pairs) for row in drawn])
    return np.vstack([np.ones((1, pairs)), counts])


def _mean_up_to(to: float, count: int, units: int) -> npt.NDArray[np.float64]:
    """Weights of a curve's points in its mean from 0 to a share of the units, (n,).

    The curve is straight between its points at 1/N, 2/N, ..., n/N, and from nothing at 0.
    """
    places = np.arange(count + 1) / units
    inside = np.append(places[places < to], to)
    # Each point's part in the heights at `inside`: a curve that is 1 there and 0 elsewhere.
    heights = np.stack([np.interp(inside, places, row) for row in np.eye(count + 1)])
    weights: npt.NDArray[np.float64] = np.trapezoid(heights, inside, axis=1) / to
    return weights[1:]


def _with_error(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The first value, and the standard deviation of the others, which are resampled."""
    return float(values[0]), float(values[1:].std(ddof=1))
