"""Channels grouped into modules by what their influence maps have in common (section 3.3).

Axes: C channels, K modules, H and W the map's size. This module must not know generators, layers
or where the maps came from.
"""

import enum
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, KTooLargeError, require_between
from graftscope.server.analysis._factors import (
    Factors,
    cluster_agglomerative,
    cluster_components,
    cluster_kmeans,
    cluster_spectrally,
    factorise_nmf,
)
from graftscope.server.analysis._features import BinaryMaps, Features

NO_MODULE = -1
"""Label of a channel that belongs to no module."""

# What scikit-learn accepts as a seed.
MAX_CLUSTERING_SEED = 2**32 - 1


class Method(enum.Enum):
    """How channels are grouped: by their maps (section 3.3), or by their products (section 5)."""

    NMF = "nmf"
    KMEANS = "kmeans"
    PCA = "pca"
    SPECTRAL = "spectral"
    AGGLOMERATIVE = "agglomerative"

    @property
    def needs_products(self) -> bool:
        """Whether channels are grouped by what they do pair by pair."""
        return self in (Method.PCA, Method.SPECTRAL)


@dataclass(frozen=True, eq=False)
class Modules:
    """A grouping of a layer's channels. Modules keep the order in which the method found them.

    Attributes:
        labels: Module of each channel, shape (C,), int64; -1 for the channels of `empty` and
            `unexplained`, and for those that `without_impure` took out. A module may have no
            channel.
        templates: Shape (K, H, W), float64. NMF: of unit length, or zero for a template that
            vanished. The other methods: centroids, the share of the module's channels that reach
            a pixel.
        weights: How much of each template is in each channel's binary map, shape (C, K), float64;
            one-hot for the methods that only label, zero for channels of `empty`, `unexplained`.
        purity: Largest weight over the sum of weights, shape (C,), float64, 1/K to 1; always 1
            for the methods that only label, NaN for channels of `empty` and `unexplained`.
        empty: Channels whose binary map has no pixel, ascending, int64; not factorised.
        unexplained: Channels to which no template contributes, ascending, int64 (NMF alone).
        method: How they were grouped.
        seed: Of the method's random numbers.
        iterations: How many the method took until it settled.
    """

    labels: npt.NDArray[np.int64]
    templates: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    purity: npt.NDArray[np.float64]
    empty: npt.NDArray[np.int64]
    unexplained: npt.NDArray[np.int64]
    method: Method
    seed: int
    iterations: int

    @property
    def k(self) -> int:
        """Number of modules."""
        return len(self.templates)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Number of channels in each module, shape (K,)."""
        members = self.labels[self.labels != NO_MODULE]
        return np.bincount(members, minlength=self.k).astype(np.int64)


def find_modules(features: Features, k: int, method: Method = Method.NMF, seed: int = 0) -> Modules:
    """Groups channels into K modules.

    Args:
        features: Of the channels.
        k: Number of modules, from 1 to the number of maps that are not empty.
        method: Non-negative matrix factorisation, k-means or agglomerative clustering of the same
            matrix; or k-means on principal components or on a spectral embedding of the products.
        seed: From 0 to 2^32 - 1. That of k-means chooses its ten starts; that of NMF enters through
            a randomised singular value decomposition alone, so clear modules hardly depend on it;
            agglomerative clustering has none.

    Returns:
        The modules.

    Raises:
        InvalidInputError: The seed is out of range, or the method needs products.
        KTooLargeError: There are fewer maps (different maps, but for NMF) than modules.
        NotConvergedError: The method reached its iteration limit.
    """
    require_between("seed", seed, 0, MAX_CLUSTERING_SEED)
    kept = features.binary.nonempty
    _require_fitting_k(k, len(kept), *features.binary.matrix.shape)
    factors = _factorise(features.of(kept), k, method, seed)
    return modules_from_factors(factors, features.binary, method, seed)


def without_impure(modules: Modules, min_purity: float) -> Modules:
    """The same modules without the channels that are less pure (section 4.1).

    Args:
        modules: As they were found.
        min_purity: From 0 to 1; 0 keeps all, and 1 those that one template alone explains.

    Returns:
        Modules whose labels are -1 there; weights, purity and templates stay.

    Raises:
        InvalidInputError: The purity is out of range.
    """
    require_between("min_purity", min_purity, 0, 1)
    # Written so that a purity of NaN, which is in no module already, stays out.
    pure = modules.purity >= min_purity
    return replace(modules, labels=np.where(pure, modules.labels, NO_MODULE))


def _factorise(features: Features, k: int, method: Method, seed: int) -> Factors:
    matrix, products = features.binary.matrix, features.products
    if method is Method.NMF:
        return factorise_nmf(matrix, k, seed)
    if method is Method.KMEANS:
        return cluster_kmeans(matrix, k, seed)
    if method is Method.AGGLOMERATIVE:
        return cluster_agglomerative(matrix, k)
    if products is None:
        raise InvalidInputError(
            f"method {method.value} needs products of the channels' effects, which were not given",
            "products",
        )
    cluster = {Method.PCA: cluster_components, Method.SPECTRAL: cluster_spectrally}[method]
    return cluster(matrix, products, k, seed)


def modules_from_factors(
    factors: Factors, binary: BinaryMaps, method: Method, seed: int
) -> Modules:
    """Labels every channel from the factors of those that are not empty."""
    weights = np.zeros((len(binary.matrix), len(factors.templates)))  # (C, K)
    weights[binary.nonempty] = factors.weights
    totals = weights.sum(axis=1)  # (C,)
    in_no_module = totals <= 0
    # An argmax of zeros would name module 0 where no template contributes.
    labels = np.where(in_no_module, NO_MODULE, weights.argmax(axis=1)).astype(np.int64)
    purity = weights.max(axis=1) / np.where(in_no_module, np.nan, totals)
    return Modules(
        labels=labels,
        templates=factors.templates.reshape(-1, *binary.map_shape),
        weights=weights,
        purity=purity,
        empty=binary.empty,
        unexplained=np.setdiff1d(np.flatnonzero(in_no_module), binary.empty).astype(np.int64),
        method=method,
        seed=seed,
        iterations=factors.iterations,
    )


def renumbered(modules: Modules, renaming: npt.NDArray[np.int64]) -> Modules:
    """The same modules under other numbers: module j becomes renaming[j], a permutation of K."""
    old = np.argsort(renaming)
    labels = np.where(modules.labels == NO_MODULE, NO_MODULE, renaming[modules.labels])
    return replace(
        modules,
        labels=labels,
        templates=modules.templates[old],
        weights=modules.weights[:, old],
    )


def _require_fitting_k(k: int, kept: int, channels: int, pixels: int) -> None:
    if k < 1:
        raise InvalidInputError(f"k = {k} is not allowed; it is at least 1", "k")
    if kept == 0:
        raise KTooLargeError(
            f"k = {k} modules cannot be found: all {channels} influence maps are flat", "k"
        )
    if k > min(kept, pixels):
        raise KTooLargeError(
            f"k = {k} exceeds what {kept} influence maps that are not flat (of {channels}) with "
            f"{pixels} pixels can be grouped into; allowed: 1 to {min(kept, pixels)}",
            "k",
        )
