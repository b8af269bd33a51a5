"""Two ways of grouping channels by what they do pair by pair, where images are not aligned.

Influence maps average over pairs, so they tell where a channel acts only if that is the same place
in most images. Section 5 suggests principal components of the channels' counterfactuals themselves,
and non-linear generalisations. Both need no more than the channels' products: channel c's effects
in all pairs and pixels are one long vector, and its products with the others give every angle.

Axes: C channels, P pixels, K modules. This module must not know pairs or how products were added
up. scikit-learn is imported by the functions that need it, as it takes a second.
"""

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._factorise import Factors, kmeans_labels, require_different


def cluster_components(
    matrix: npt.NDArray[np.bool_], products: npt.NDArray[np.float64], k: int, seed: int
) -> Factors:
    """k-means on the leading K - 1 principal components, which span K centres."""
    from sklearn.decomposition import KernelPCA

    if k == 1:
        return _factors(matrix, np.zeros(len(matrix), dtype=np.int64), 1, 0)
    components = KernelPCA(n_components=k - 1, kernel="precomputed", eigen_solver="dense")
    scores = np.asarray(components.fit_transform(cosines(products)), dtype=np.float64)  # (C, K-1)
    labels, iterations = kmeans_labels(scores, k, seed)
    return _factors(matrix, labels, k, iterations)


def cluster_spectrally(
    matrix: npt.NDArray[np.bool_], products: npt.NDArray[np.float64], k: int, seed: int
) -> Factors:
    """k-means on the K leading eigenvectors of a walk between channels that act alike."""
    from scipy.linalg import eigh
    from scipy.sparse.csgraph import laplacian

    # Its eigenvectors would tell equal channels apart, at random.
    require_different(cosines(products), k)
    # Dense and exact: sklearn's spectral embedding iterates, and needs K well below C.
    graph, scale = laplacian(affinities(products), normed=True, return_diag=True)
    _, vectors = eigh(np.asarray(graph, dtype=np.float64), subset_by_index=[0, k - 1])
    points = np.asarray(vectors / scale[:, np.newaxis], dtype=np.float64)  # (C, K)
    labels, iterations = kmeans_labels(points / np.abs(points).max(axis=0), k, seed)
    return _factors(matrix, labels, k, iterations)


def cosines(products: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cosine between channels' effects, shape (C, C): how much they do does not count."""
    lengths = np.sqrt(products.diagonal())
    return np.asarray(products / np.outer(lengths, lengths), dtype=np.float64)


def affinities(products: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """exp(-d^2 / m), d the distance of unit effects and m the median of d^2; shape (C, C)."""
    squared = np.clip(2 - 2 * cosines(products), 0, None)
    between = squared[~np.eye(len(squared), dtype=bool)]
    scale = np.median(between[between > 0]) if (between > 0).any() else 1.0
    return np.asarray(np.exp(-squared / scale), dtype=np.float64)


def _factors(
    matrix: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64], k: int, iterations: int
) -> Factors:
    """Templates as k-means has them: the share of the module's channels that reach a pixel."""
    weights = np.eye(k)[labels]  # (C, K)
    sizes = np.maximum(weights.sum(axis=0), 1.0)
    return Factors(weights, (weights.T @ matrix) / sizes[:, np.newaxis], iterations)
