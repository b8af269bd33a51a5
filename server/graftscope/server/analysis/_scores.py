"""How strongly channels belong to modules that are known already, in other maps of theirs.

The largest score is the label that the method would give, if it went on from the modules as they
were: templates or centres follow the maps by a few steps, no module is looked for anew. NMF's
scores are its weights; those of the other methods are distances to centres, squared and negative.

Axes: C channels that are in some module, P pixels, K modules, D coordinates of an embedding. This
module must not know why there are other maps.
"""

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._factors import components, spectral_points
from graftscope.server.analysis._features import Features
from graftscope.server.analysis._modules import Method, Modules

# Coordinate descent once round is enough for weights (K numbers), since steps follow each other.
_STEPS = 8
_SWEEPS = 4


def scores(features: Features, modules: Modules) -> npt.NDArray[np.float64]:
    """How strongly each channel belongs to each module.

    Args:
        features: Of the channels, possibly fewer pixels than the modules were found in.
        modules: Of the same channels; all have a label.

    Returns:
        Shape (C, K), float64; the largest of a row names its module.
    """
    if modules.method is Method.NMF:
        return _weights(features.binary.matrix, modules.weights)
    return _closeness(_points(features, modules), modules.labels, modules.k)


def _weights(
    matrix: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Weights of templates of unit length after some steps of alternating least squares."""
    maps, own = matrix.astype(np.float32), weights.astype(np.float32)
    templates = np.zeros((maps.shape[1], own.shape[1]), np.float32)  # (P, K)
    for _ in range(_STEPS):
        templates = _descended(templates, maps.T @ own, own.T @ own)
        own = _descended(own, maps @ templates, templates.T @ templates)
    return np.asarray(own * np.linalg.norm(templates, axis=0), dtype=np.float64)


def _descended(
    factor: npt.NDArray[np.float32],
    products: npt.NDArray[np.float32],
    gram: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """One factor by non-negative least squares, the other being fixed; from where it was."""
    factor = factor.copy()
    for _ in range(_SWEEPS):
        for j in np.flatnonzero(gram.diagonal() > 0):
            step = (products[:, j] - factor @ gram[:, j]) / gram[j, j]
            factor[:, j] = np.maximum(factor[:, j] + step, 0)
    return factor


def _points(features: Features, modules: Modules) -> npt.NDArray[np.float64]:
    """Where the method sees the channels: its k-means runs there."""
    if modules.method is Method.PCA:
        return components(_products(features), modules.k)
    if modules.method is Method.SPECTRAL:
        return spectral_points(_products(features), modules.k)
    return features.binary.matrix.astype(np.float64)


def _products(features: Features) -> npt.NDArray[np.float64]:
    assert features.products is not None
    return features.products


def _closeness(
    points: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], k: int
) -> npt.NDArray[np.float64]:
    """Squared distance to each module's centre, negative, after some of k-means' steps."""
    found = np.zeros((len(points), k))
    for _ in range(_STEPS):
        members = np.eye(k)[labels]  # (C, K)
        sizes = members.sum(axis=0)
        centres = (members.T @ points) / np.maximum(sizes, 1.0)[:, np.newaxis]
        found = 2 * points @ centres.T - np.square(centres).sum(axis=1)
        # The squares of the points themselves are the same for every module.
        found[:, sizes == 0] = -np.inf
        if (found.argmax(axis=1) == labels).all():
            break
        labels = found.argmax(axis=1).astype(np.int64)
    return np.asarray(found, dtype=np.float64)
