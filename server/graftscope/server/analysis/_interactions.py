"""Interaction of two modules: how far the effect of both is from the sum of their effects.

Grafting module i gives h_i, grafting j gives h_j, and grafting both gives h_ij; they change
original 1, o, by h_i - o, h_j - o and h_ij - o. If the modules act independently the last is the
sum of the others. What is left of it, h_ij - h_i - h_j + o, is then 0 everywhere: it is the
interaction of a design of two factors.

Axes: B pairs of originals, c colours, H, W pixels. This module must not know how hybrids are made.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Interaction:
    """The interaction of two modules in some pairs; the sum of two is that of both together.

    Attributes:
        total: Shape (H, W): sum over pairs of the mean over colours of |h_ij - h_i - h_j + o|.
        sums: Shape (2, B): for each pair the sum over pixels and colours of that, and of
            |h_ij - o|; the interaction as one number is the ratio of their sums over pairs.
    """

    total: npt.NDArray[np.float64]
    sums: npt.NDArray[np.float64]


def interaction(
    original1: npt.NDArray[np.floating],
    one: npt.NDArray[np.floating],
    other: npt.NDArray[np.floating],
    both: npt.NDArray[np.floating],
) -> Interaction:
    """Measures what the effect of both modules is more, or less, than the sum of their effects.

    It is exactly 0 in every pixel that at most one of the modules changes. Where the effects add
    up it is 0 but for the rounding of the images.

    Args:
        original1: Shape (B, c, H, W).
        one: The hybrids with the one module, in the same shape and units.
        other: Those with the other module.
        both: Those with both.
    """
    # In this order: where a module changes nothing, equal numbers are subtracted.
    first, second, together = (x.astype(np.float64) - original1 for x in (one, other, both))
    left = np.abs((together - first) - second)
    sums = np.stack([left.sum(axis=(1, 2, 3)), np.abs(together).sum(axis=(1, 2, 3))])
    return Interaction(left.mean(axis=1).sum(axis=0), sums)


def module_pairs(modules: int) -> list[tuple[int, int]]:
    """Every two modules, (0, 1), (0, 2), ..., the first below the second."""
    return [(i, j) for i in range(modules) for j in range(i + 1, modules)]


def symmetric(
    values: npt.NDArray[np.float64], modules: int, *, alone: float
) -> npt.NDArray[np.float64]:
    """Puts what is of every two modules into a matrix.

    Args:
        values: Shape (K (K - 1) / 2, ...), in the order of `module_pairs`.
        modules: K.
        alone: What stands on the diagonal.

    Returns:
        Shape (K, K, ...).
    """
    matrix = np.full((modules, modules, *values.shape[1:]), alone)
    for (i, j), value in zip(module_pairs(modules), values, strict=True):
        matrix[i, j] = matrix[j, i] = value
    return matrix
