"""The kernel distance between two sets of features (Bińkowski et al., 2018, section 2).

The squared maximum mean discrepancy with the kernel (x·y / F + 1)³, without bias: 0 in the mean for
two sets of one distribution, of whatever size, and so sometimes below 0. It takes all pairs of
rows, not subsets.

Axes: N and M rows, F features, G groups of rows. This module must not know what has the features.
"""

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._jackknife import blocks, without_each_group


def kernel_sums(
    one: npt.NDArray[np.float64],
    other: npt.NDArray[np.float64],
    bounds: npt.NDArray[np.int64],
    other_bounds: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Sums of the kernel over the rows of two groups.

    Args:
        one: Features (N, F).
        other: Features (M, F). If they are the same array, no row is compared with itself.
        bounds: The first's groups, (G + 1,).
        other_bounds: As many of the other's.

    Returns:
        Shape (G, G).
    """
    groups = len(bounds) - 1
    sums = np.zeros((groups, groups))
    for group, some in blocks(bounds, len(other)):
        kernel = _kernel(one[some] @ other.T, one.shape[1])
        if one is other:
            np.fill_diagonal(kernel[:, some], 0.0)
        sums[group] += np.add.reduceat(kernel.sum(axis=0), other_bounds[:-1])
    return sums


def kernel_distance(
    within: npt.NDArray[np.float64],
    other_within: npt.NDArray[np.float64],
    between: npt.NDArray[np.float64],
    bounds: npt.NDArray[np.int64],
    other_bounds: npt.NDArray[np.int64],
) -> tuple[float, npt.NDArray[np.float64]]:
    """The distance, and what it is without each group of rows, exactly.

    Args:
        within: Sums over one set (G, G), from `kernel_sums`.
        other_within: Sums over the other.
        between: Sums over both.
        bounds: The first's groups, (G + 1,).
        other_bounds: The other's; group g of either is left out with that of the other.

    Returns:
        The distance, and shape (G,).
    """
    sizes, other_sizes = np.diff(bounds), np.diff(other_bounds)
    # The last entry is of all rows.
    rows = np.append(bounds[-1] - sizes, bounds[-1])
    other_rows = np.append(other_bounds[-1] - other_sizes, other_bounds[-1])
    values = _sums(within) / (rows * (rows - 1))
    values += _sums(other_within) / (other_rows * (other_rows - 1))
    values -= 2 * _sums(between) / (rows * other_rows)
    return float(values[-1]), values[:-1]


def _sums(groups: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Without each group, and then of all, shape (G + 1,)."""
    total = float(groups.sum())
    return np.append(without_each_group(total, groups), total)


def _kernel(products: npt.NDArray[np.float64], features: int) -> npt.NDArray[np.float64]:
    products /= features
    products += 1
    # A power of floats takes ten times as long.
    cubes: npt.NDArray[np.float64] = products * products
    cubes *= products
    return cubes
