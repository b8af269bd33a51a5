"""The ways of grouping channels, none of which ends unsettled in silence.

By their binary maps (section 3.3): NMF, k-means, Ward's clustering. And by what they do pair by
pair, where images are not aligned: influence maps average over pairs, so they tell where a channel
acts only if that is the same place in most images. Section 5 suggests principal components of the
channels' counterfactuals themselves, and non-linear generalisations. Both need no more than the
channels' products: channel c's effects in all pairs and pixels are one long vector, and its
products with the others give every angle.

Axes: C channels that are not empty, P pixels, K modules. This module must not know maps' shapes,
pairs, or which channels were left out. scikit-learn takes a second to import, so it is imported by
the functions that need it and not when a server starts.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import KTooLargeError, NotConvergedError

NMF_MAX_ITERATIONS = 2000
KMEANS_MAX_ITERATIONS = 300
# One start can land on a much worse partition (0.87 of label consistency where ten reached 0.97).
KMEANS_STARTS = 10
_DIGITS = 9


@dataclass(frozen=True, eq=False)
class Factors:
    """S is about weights @ templates.

    Attributes:
        weights: Shape (C, K), float64.
        templates: Shape (K, P), float64.
        iterations: How many the kept run took.
    """

    weights: npt.NDArray[np.float64]
    templates: npt.NDArray[np.float64]
    iterations: int


def import_libraries() -> None:
    """Imports what finding modules needs, for whoever would rather wait now than then."""
    from scipy import ndimage, optimize  # noqa: F401
    from sklearn import cluster, decomposition  # noqa: F401


def factorise_nmf(
    matrix: npt.NDArray[np.bool_], k: int, seed: int, max_iterations: int = NMF_MAX_ITERATIONS
) -> Factors:
    """Non-negative matrix factorisation of rank K, templates of unit length."""
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    model = NMF(n_components=k, init="nndsvda", max_iter=max_iterations, random_state=seed)
    with warnings.catch_warnings():
        # An error below says it; a warning would be the silent way.
        warnings.simplefilter("ignore", ConvergenceWarning)
        weights = np.asarray(model.fit_transform(matrix.astype(np.float64)), dtype=np.float64)
    iterations = int(model.n_iter_)
    _require_settled("NMF", k, seed, iterations, max_iterations)
    return unit_templates(weights, np.asarray(model.components_, dtype=np.float64), iterations)


def unit_templates(
    weights: npt.NDArray[np.float64], templates: npt.NDArray[np.float64], iterations: int
) -> Factors:
    """Moves each template's length into its weights, which leaves the product as it was.

    The two factors share a scale: without this an argmax over weights compares different units.
    """
    lengths = np.linalg.norm(templates, axis=1)  # (K,)
    # A template that vanished paints nothing and stays zero.
    divisors = np.where(lengths > 0, lengths, 1.0)
    return Factors(weights * lengths, templates / divisors[:, np.newaxis], iterations)


def cluster_kmeans(
    matrix: npt.NDArray[np.bool_], k: int, seed: int, max_iterations: int = KMEANS_MAX_ITERATIONS
) -> Factors:
    """k-means: templates are centroids, weights are one-hot."""
    points = matrix.astype(np.float64)
    labels, iterations = kmeans_labels(points, k, seed, max_iterations)
    return _factors(matrix, labels, k, iterations)


def cluster_agglomerative(matrix: npt.NDArray[np.bool_], k: int) -> Factors:
    """Ward's clustering: the two groups whose union spreads least are joined until K are left.

    Templates are centroids, weights are one-hot, iterations are joins. Nothing is drawn.
    """
    from sklearn.cluster import AgglomerativeClustering

    points = matrix.astype(np.float64)
    require_different(points, k)
    if len(points) == 1:  # scikit-learn wants two rows.
        return _factors(matrix, np.zeros(1, dtype=np.int64), k, 0)
    labels = AgglomerativeClustering(n_clusters=k, linkage="ward").fit_predict(points)
    return _factors(matrix, np.asarray(labels, dtype=np.int64), k, len(points) - k)


def cluster_components(
    matrix: npt.NDArray[np.bool_], products: npt.NDArray[np.float64], k: int, seed: int
) -> Factors:
    """k-means on the leading K - 1 principal components, which span K centres."""
    if k == 1:
        return _factors(matrix, np.zeros(len(matrix), dtype=np.int64), 1, 0)
    labels, iterations = kmeans_labels(components(products, k), k, seed)
    return _factors(matrix, labels, k, iterations)


def components(products: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
    """Channels by their leading principal components, shape (C, K - 1), for K of at least 2."""
    from sklearn.decomposition import KernelPCA

    model = KernelPCA(n_components=k - 1, kernel="precomputed", eigen_solver="dense")
    return np.asarray(model.fit_transform(cosines(products)), dtype=np.float64)


def cluster_spectrally(
    matrix: npt.NDArray[np.bool_], products: npt.NDArray[np.float64], k: int, seed: int
) -> Factors:
    """k-means on the K leading eigenvectors of a walk between channels that act alike."""
    # Its eigenvectors would tell equal channels apart, at random.
    require_different(cosines(products), k)
    labels, iterations = kmeans_labels(spectral_points(products, k), k, seed)
    return _factors(matrix, labels, k, iterations)


def spectral_points(products: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
    """Channels by those eigenvectors, shape (C, K), each scaled to a largest entry of 1."""
    from scipy.linalg import eigh
    from scipy.sparse.csgraph import laplacian

    # Dense and exact: sklearn's spectral embedding iterates, and needs K well below C.
    graph, scale = laplacian(affinities(products), normed=True, return_diag=True)
    _, vectors = eigh(np.asarray(graph, dtype=np.float64), subset_by_index=[0, k - 1])
    points = vectors / scale[:, np.newaxis]
    return np.asarray(points / np.abs(points).max(axis=0), dtype=np.float64)


def kmeans_labels(
    points: npt.NDArray[np.float64], k: int, seed: int, max_iterations: int = KMEANS_MAX_ITERATIONS
) -> tuple[npt.NDArray[np.int64], int]:
    """Labels of the rows of `points`, every one of 0 to K - 1 in use, and the iterations taken."""
    from sklearn.cluster import KMeans

    require_different(points, k)
    model = KMeans(n_clusters=k, n_init=KMEANS_STARTS, max_iter=max_iterations, random_state=seed)
    labels = np.asarray(model.fit_predict(points), dtype=np.int64)
    iterations = int(model.n_iter_)
    _require_settled("k-means", k, seed, iterations, max_iterations)
    return labels, iterations


def require_different(points: npt.NDArray[np.float64], k: int) -> None:
    """Refuses more modules than there are different rows."""
    # Equal channels differ by rounding once they are embedded. numpy's unique sorts the rows, which
    # takes as long as the clustering.
    distinct = len({row.tobytes() for row in points.round(_DIGITS) + 0.0})
    if k > distinct:
        raise KTooLargeError(
            f"k = {k} exceeds the {distinct} different channels, which cannot be split "
            f"further; allowed: 1 to {distinct}",
            "k",
        )


def _require_settled(method: str, k: int, seed: int, iterations: int, limit: int) -> None:
    # A run that settles in its very last iteration cannot be told from one that does not.
    if iterations >= limit:
        raise NotConvergedError(
            f"{method} with k = {k} and seed = {seed} did not converge in {limit} iterations; "
            "another k or seed may"
        )


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
    """Templates are centroids: the share of the module's channels that reach a pixel."""
    weights = np.eye(k)[labels]  # (C, K)
    sizes = np.maximum(weights.sum(axis=0), 1.0)
    return Factors(weights, (weights.T @ matrix) / sizes[:, np.newaxis], iterations)
