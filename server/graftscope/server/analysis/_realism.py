"""How close a set of images is to another one by their features, with standard errors.

Axes: N rows (one a pair), F features, G groups of pairs, 6 measures. This module must not know
which network the features come from, nor what was done to the images.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, finite_array, require_between
from graftscope.server.analysis._frechet import Spread, frechet
from graftscope.server.analysis._jackknife import LEAST_ROWS, group_bounds, jackknife_stderr
from graftscope.server.analysis._kernel_distance import kernel_distance, kernel_sums
from graftscope.server.analysis._nearest_neighbours import NEAREST, Balls, neighbour_shares

REALISM_MEASURES = ("frechet", "kernel", "precision", "recall", "density", "coverage")
"""In the order of the entries of `Realism`."""

MOST_NEAREST = LEAST_ROWS // 2
"""Neighbours that every row has, also where a group is left out."""


@dataclass(frozen=True, eq=False)
class Realism:
    """Six measures of a set against a reference, in the order of `REALISM_MEASURES`.

    Attributes:
        values: Shape (6,).
        left_out: The same without each group of pairs, shape (G, 6). Differences and means of
            sets of the same pairs have the differences and means of these.
    """

    values: npt.NDArray[np.float64]
    left_out: npt.NDArray[np.float64]

    @property
    def stderr(self) -> npt.NDArray[np.float64]:
        """Standard errors over pairs, both of the set and of the reference, shape (6,)."""
        return jackknife_stderr(self.left_out)


class FeatureSet:
    """Features of a set of images, and what every comparison needs of them, computed once.

    Neighbouring rows make up the groups that are left out: row i of every set is to be of pair i.

    Args:
        features: Shape (N, F), finite, N at least 64.
        nearest: k, of precision, recall, density and coverage; 1 to 32.

    Raises:
        InvalidInputError: The features are not, or k is out of range.
    """

    def __init__(self, features: npt.ArrayLike, nearest: int = NEAREST) -> None:
        require_between("nearest", nearest, 1, MOST_NEAREST)
        self.nearest = nearest
        self.rows = finite_array("features", features, "NF")
        self.bounds = group_bounds(len(self.rows))

    def prepare(self) -> None:
        """Computes it now: once, where several threads compare with these."""
        _ = self.spread, self.kernel_sums, self.balls

    @cached_property
    def spread(self) -> Spread:
        """Mean and covariance."""
        return Spread.of(self.rows)

    @cached_property
    def kernel_sums(self) -> npt.NDArray[np.float64]:
        """Of the rows with each other, shape (G, G)."""
        return kernel_sums(self.rows, self.rows, self.bounds, self.bounds)

    @cached_property
    def balls(self) -> Balls:
        """Reaching to the k-th nearest neighbour."""
        return Balls.of(self.rows, self.bounds, self.nearest)


def realism(one: FeatureSet, reference: FeatureSet) -> Realism:
    """Compares a set of images with a reference.

    Args:
        one: Of N images.
        reference: Of M images, which share none with the set: their pairs are independent of it.

    Returns:
        The measures; the same sets give the same bits.

    Raises:
        InvalidInputError: The features differ in number.
    """
    features, others = one.rows.shape[1], reference.rows.shape[1]
    if features != others:
        raise InvalidInputError(
            f"the set has {features} features and the reference {others}; they must be equal",
            "reference",
        )
    bounds = (one.bounds, reference.bounds)
    between = kernel_sums(one.rows, reference.rows, *bounds)
    distances = (
        frechet(one.spread, reference.spread, *bounds),
        kernel_distance(one.kernel_sums, reference.kernel_sums, between, *bounds),
    )
    shares = neighbour_shares(one.balls, reference.balls)
    values = np.array([*(value for value, _ in distances), *shares.values])
    left = np.stack([*(left_out for _, left_out in distances), *shares.left_out.T], axis=1)
    return Realism(values, left)
