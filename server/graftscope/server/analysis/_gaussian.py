"""Latents with a given mean and covariance: originals as an encoder would place them.

Axes: B pairs, Z the input's flattened size. This module must not know encoders or files.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, finite_array, require_finite
from graftscope.server.analysis._latents import Draws

# A covariance kept in float32 is off by about 1e-7 of its largest entry, and its eigenvalues by
# up to Z times that. What is more negative than this share of the largest is no rounding.
NEGATIVE_EIGENVALUE_TOLERANCE = 1e-4
ASYMMETRY_TOLERANCE = 1e-4

_FEW_ROWS = 32


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A Gaussian whose covariance is factorised, so that draws are cheap.

    Attributes:
        mean: Shape of one sample, with Z entries, float64.
        root: Shape (Z, Z), float64, symmetric: its square is the covariance.
    """

    mean: npt.NDArray[np.float64]
    root: npt.NDArray[np.float64]

    @classmethod
    def of(cls, mean: npt.ArrayLike, covariance: npt.ArrayLike) -> "Gaussian":
        """Factorises a covariance.

        Args:
            mean: Shape of one sample, with Z entries.
            covariance: Shape (Z, Z), symmetric; it may be singular (collapsed latents).

        Raises:
            InvalidInputError: The moments are not finite, their shapes do not fit, the covariance
                is not symmetric or has eigenvalues that are negative beyond rounding.
        """
        centre = np.asarray(mean, dtype=np.float64)
        require_finite("mean", centre)
        return cls(centre, _symmetric_root(_covariance_of_size(covariance, centre.size)))

    def draw(self, name: str, *draws: Draws) -> list[npt.NDArray[np.float32]]:
        """Draws latents: several originals' together, in little more time than those of one.

        A row depends on its pair alone, to the last bit, whatever is drawn with it. Stratified are
        the standard normals, before they get the covariance and the mean.

        Args:
            name: The generator's input; with mean 0 and covariance I the draws are those of
                `Draws.normals`.
            draws: At least one.

        Returns:
            For each, shape (B, *mean.shape), float32.
        """
        normals = [each.normals64(name, (self.mean.size,)) for each in draws]
        rows = self._placed(np.concatenate(normals))
        ends = accumulate(map(len, normals), initial=0)
        return [rows[start:end] for start, end in pairwise(ends)]

    def _placed(self, normals: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        rows = self.mean.ravel() + _multiply_rows(normals, self.root)
        return rows.reshape(-1, *self.mean.shape).astype(np.float32)


def _covariance_of_size(covariance: npt.ArrayLike, size: int) -> npt.NDArray[np.float64]:
    matrix = finite_array("covariance", covariance, "ZZ")
    if matrix.shape != (size, size):
        raise InvalidInputError(
            f"covariance has shape {matrix.shape}; the mean's {size} entries need ({size}, {size})",
            "covariance",
        )
    asymmetry = float(np.abs(matrix - matrix.T).max())
    if asymmetry > ASYMMETRY_TOLERANCE * float(np.abs(matrix).max()):
        raise InvalidInputError(
            f"covariance is not symmetric; it differs from its transpose by up to {asymmetry:.3g}",
            "covariance",
        )
    return (matrix + matrix.T) / 2


def _symmetric_root(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The symmetric R with R R = covariance, shape (Z, Z).

    Unlike a factor V sqrt(L), it does not depend on the signs (or, for equal eigenvalues, the
    basis) that a linear algebra library happens to choose for the eigenvectors.
    """
    values, vectors = np.linalg.eigh(covariance)
    smallest, largest = float(values[0]), float(values[-1])
    if smallest < -NEGATIVE_EIGENVALUE_TOLERANCE * max(largest, 0.0):
        raise InvalidInputError(
            f"covariance has the eigenvalue {smallest:.3g} beside a largest of {largest:.3g}; "
            "none may be negative",
            "covariance",
        )
    scales = np.sqrt(np.clip(values, 0.0, None))
    return np.asarray((vectors * scales) @ vectors.T, dtype=np.float64)


def _multiply_rows(
    rows: npt.NDArray[np.float64], matrix: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The product rows @ matrix, shape (B, Z), each row's bits independent of the others.

    A matrix product picks its order of summation by the batch's size; elementwise operations in a
    fixed order do not. A few rows are summed in that order too, over the first axis of all terms at
    once, which then is several times as fast.
    """
    if len(rows) <= _FEW_ROWS:
        terms = rows.T[:, :, np.newaxis] * matrix[:, np.newaxis, :]  # (Z, B, Z)
        return np.asarray(np.add.reduce(terms, axis=0, initial=0.0))
    product = np.zeros((len(rows), matrix.shape[1]))
    for column, matrix_row in zip(rows.T, matrix, strict=True):
        product += column[:, np.newaxis] * matrix_row
    return product
