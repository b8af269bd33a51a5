"""Fréchet's distance between two sets of features (Heusel et al., 2017, equation 6).

Each set stands for the Gaussian with its mean and covariance; the distance is the squared
2-Wasserstein distance between the two (Dowson and Landau, 1982).

Axes: N rows, F features, G groups of rows. This module must not know what the features are of.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Of the largest eigenvalue. What is smaller is rounding: features that never vary, or more features
# than rows.
_NO_VARIANCE = 1e-10

PAIRS_A_FEATURE = 10
"""Sets of fewer rows a feature are further apart than their distributions by a tenth of the
features' variance and more, so that distances of sets of different sizes must not be compared."""


@dataclass(frozen=True, eq=False)
class Spread:
    """The Gaussian of a set of features.

    Attributes:
        rows: The features, shape (N, F), float64, less their mean.
        mean: Shape (F,).
        covariance: Shape (F, F), of N - 1 degrees of freedom.
        root: Its symmetric root.
        inverse_root: The root's pseudo-inverse.
    """

    rows: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    root: npt.NDArray[np.float64]
    inverse_root: npt.NDArray[np.float64]

    @classmethod
    def of(cls, features: npt.NDArray[np.float64]) -> "Spread":
        """The Gaussian of features (N, F)."""
        mean = features.mean(axis=0)
        rows = features - mean
        covariance = rows.T @ rows / (len(rows) - 1)
        root, inverse = _roots(covariance)
        return cls(rows, mean, covariance, root, inverse)


def frechet(
    one: Spread, other: Spread, bounds: npt.NDArray[np.int64], other_bounds: npt.NDArray[np.int64]
) -> tuple[float, npt.NDArray[np.float64]]:
    """The squared distance, and what it is without each group of rows.

    A group's part is that to first order: the derivative of the distance along each of its rows
    (the infinitesimal jackknife), which needs one decomposition in place of G.

    Args:
        one: A set.
        other: Another one.
        bounds: Its groups, (G + 1,).
        other_bounds: As many of the other's; group g of either is left out with that of the other.

    Returns:
        The distance, at least 0 but for rounding, and shape (G,).
    """
    shift = one.mean - other.mean
    root, inverse_root = _roots(other.root @ one.covariance @ other.root)
    value = shift @ shift + np.trace(one.covariance) + np.trace(other.covariance)
    value -= 2 * np.trace(root)
    # The maps that carry either Gaussian to the other are the derivatives' second part.
    to_other = other.root @ inverse_root @ other.root
    to_one = other.inverse_root @ root @ other.inverse_root
    left_out = np.full(len(bounds) - 1, value)
    left_out -= _parts(_derivatives(one, shift, to_other), bounds)
    left_out -= _parts(_derivatives(other, -shift, to_one), other_bounds)
    return float(value), left_out


def _derivatives(
    spread: Spread, shift: npt.NDArray[np.float64], carried: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """How fast the distance grows as a row gets more weight, shape (N,), of mean 0."""
    slope = np.eye(len(shift)) - carried
    values = 2 * spread.rows @ shift + np.einsum("nf,nf->n", spread.rows @ slope, spread.rows)
    return np.asarray(values - values.mean(), dtype=np.float64)


def _parts(
    derivatives: npt.NDArray[np.float64], bounds: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """What leaving out each group takes away, shape (G,)."""
    sums = np.add.reduceat(derivatives, bounds[:-1])
    return np.asarray(sums / (len(derivatives) - np.diff(bounds)), dtype=np.float64)


def _roots(
    matrix: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The symmetric root of a positive semidefinite matrix, and the root's pseudo-inverse."""
    from scipy.linalg import eigh

    values, vectors = eigh(matrix)
    kept = values > _NO_VARIANCE * max(values[-1], 0.0)
    roots = np.sqrt(np.where(kept, values, 0.0))
    inverse = np.divide(1.0, roots, out=np.zeros_like(roots), where=kept)
    return (vectors * roots) @ vectors.T, (vectors * inverse) @ vectors.T
