"""Medians, spreads and exponents."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing.

    Attributes:
        median: the middle one.
        low: the smallest.
        high: the largest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one measurement."""
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, values: Sequence[float], against: Sequence[float]) -> "Spread":
        """Of ratios within each round, so that a machine's slow moments do not count."""
        return cls.of([x / y for x, y in zip(values, against, strict=True)])


@dataclass(frozen=True)
class Exponent:
    """How a cost grows: as its cause to this power.

    Attributes:
        slope: of the straight line through the logarithms.
        stderr: its standard error; None of two points, which leave no residual.
    """

    slope: float
    stderr: float | None


def exponent(causes: Sequence[float], costs: Sequence[float]) -> Exponent:
    """Fits cost = constant * cause ** exponent by least squares of the logarithms.

    Args:
        causes: at least two positive numbers, not all the same.
        costs: the positive cost of each.
    """
    x, y = np.log(causes), np.log(costs)
    x, y = x - x.mean(), y - y.mean()
    slope = float(x @ y / (x @ x))
    residual = y - slope * x
    freedom = len(x) - 2
    if not freedom:
        return Exponent(slope, None)
    return Exponent(slope, float(np.sqrt(residual @ residual / freedom / (x @ x))))
