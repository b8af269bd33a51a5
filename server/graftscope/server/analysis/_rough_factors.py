"""Non-negative matrix factorisation in float32, for labels of many maps made anew.

The same steps as scikit-learn's, from the same start, so that it ends in the same modules; but in
half the bytes, and no longer than labels change. From other steps (more sweeps between products,
say) it ends in other modules where there are two sets that explain the maps about as well.

Axes: C channels, P pixels, K modules; a factor is (K, C) or (K, P). This module must not know why
there are many maps.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._modules import NO_MODULE

# scikit-learn goes on to 1e-4, in twice as many steps.
_TOLERANCE = 1e-3
# Steps until it is measured again how much they still move.
_MEASURED_EVERY = 4

MOST_STEPS = 2000
"""As many as scikit-learn may take."""

# What scikit-learn takes for nothing in a start.
_NOTHING = 1e-6

Factor = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RoughFactors:
    """What some maps are about.

    Attributes:
        weights: Of templates of unit length, shape (C, K), float64.
        error: Sum of squares that is not explained.
    """

    weights: npt.NDArray[np.float64]
    error: float

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The largest weight of each map, shape (C,); -1 where there is none."""
        largest = self.weights.argmax(axis=1).astype(np.int64)
        return np.where(self.weights.any(axis=1), largest, NO_MODULE)


def rough_factors(
    matrix: npt.NDArray[np.bool_],
    k: int,
    random: np.random.Generator | None = None,
    most_steps: int = MOST_STEPS,
) -> RoughFactors:
    """Modules of maps, found anew.

    Args:
        matrix: Binary maps, shape (C, P), none of them empty.
        k: Number of modules, at most C and P.
        random: Where to start from; by default where scikit-learn starts.
        most_steps: After which there are no more, settled or not.
    """
    maps = matrix.astype(np.float32)
    weights, templates = _start(maps, k) if random is None else _random_start(maps, k, random)
    first = 0.0
    for step in range(most_steps):
        measured = step % _MEASURED_EVERY == 0
        before = (weights.copy(), templates.copy()) if measured else None
        of_templates = templates @ templates.T
        descend(weights, (maps @ templates.T).T, of_templates)
        of_weights = weights @ weights.T
        descend(templates, weights @ maps, of_weights)
        if before is not None:
            moved = _moved(before[0], weights, of_templates)
            moved += _moved(before[1], templates, of_weights)
            first = first or moved
            if moved <= _TOLERANCE * first:
                break
    lengths = np.linalg.norm(templates, axis=1)
    return RoughFactors(
        np.asarray((weights * lengths[:, np.newaxis]).T, np.float64),
        unexplained(matrix, weights.T, templates),
    )


def unexplained(matrix: npt.NDArray[np.bool_], weights: Factor, templates: Factor) -> float:
    """The sum of squares of what two factors, (C, K) and (K, P), leave of binary maps, (C, P)."""
    explained = float(((weights.T @ matrix.astype(np.float32)) * templates).sum(dtype=np.float64))
    own = float(((weights.T @ weights) * (templates @ templates.T)).sum(dtype=np.float64))
    return int(np.count_nonzero(matrix)) - 2 * explained + own


def descend(factor: Factor, products: Factor, gram: Factor) -> None:
    """One sweep of coordinate descent towards non-negative least squares, the other factor fixed.

    All may have the same axes in front: as many factorisations, each by itself.

    Args:
        factor: (..., K, n), is changed.
        products: (..., K, n), of the other factor and the maps.
        gram: (..., K, K), of the other factor and itself.
    """
    lengths = np.diagonal(gram, axis1=-2, axis2=-1)
    # What the other factor has vanished of vanishes here.
    scale = 1 / np.where(lengths > 0, lengths, 1)
    shares = -gram * scale[..., np.newaxis]
    targets = products * scale[..., np.newaxis]
    for j in range(factor.shape[-2]):
        others = shares[..., j : j + 1, :]
        others[..., j] = 0
        new = others @ factor
        new += targets[..., j : j + 1, :]
        np.maximum(new, 0, out=factor[..., j : j + 1, :])


def _moved(before: Factor, after: Factor, gram: Factor) -> float:
    """How much a factor moved, in units of the gradient."""
    return float(gram.diagonal() @ np.abs(after - before).sum(axis=1))


def _start(maps: Factor, k: int) -> tuple[Factor, Factor]:
    """The positive parts of the leading singular vectors, zeros made the mean (NNDSVDa)."""
    from scipy.linalg import eigh

    channels = len(maps)
    squares, vectors = eigh(
        np.asarray(maps @ maps.T, dtype=np.float64), subset_by_index=[channels - k, channels - 1]
    )
    values = np.sqrt(np.maximum(squares[::-1], 0))  # (K,)
    left = vectors[:, ::-1].T  # (K, C)
    right = (left.astype(np.float32) @ maps) / np.where(values > 0, values, 1)[:, np.newaxis]
    weights, templates = np.zeros((k, channels)), np.zeros((k, maps.shape[1]))
    for j in range(k):
        # Of the two signs that of the larger part; the leading vectors have one sign.
        lengths, u, v = max(
            (_positive(sign * left[j], sign * right[j]) for sign in (1, -1)), key=lambda x: x[0]
        )
        weights[j], templates[j] = (np.sqrt(values[j] * lengths) * x for x in (u, v))
    mean = maps.mean()
    weights, templates = (np.where(x < _NOTHING, mean, x) for x in (weights, templates))
    return weights.astype(np.float32), templates.astype(np.float32)


def _random_start(maps: Factor, k: int, random: np.random.Generator) -> tuple[Factor, Factor]:
    """Factors whose product is about as large as the maps."""
    scale = np.sqrt(maps.mean() / k)
    weights, templates = (
        (np.abs(random.standard_normal((k, n))) * scale).astype(np.float32) for n in maps.shape
    )
    return weights, templates


def _positive(
    u: npt.NDArray[np.float64], v: npt.NDArray[np.float64]
) -> tuple[float, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The product of the lengths of what is positive in two vectors, and these of unit length."""
    u, v = np.maximum(u, 0), np.maximum(v, 0)
    u_length, v_length = np.linalg.norm(u), np.linalg.norm(v)
    product = float(u_length * v_length)
    return (product, u / u_length, v / v_length) if product else (0.0, u, v)
