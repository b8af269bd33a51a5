"""How strongly channels belong to modules that are known already, in other maps of theirs.

The largest score is the label that the method would give, if it went on from the modules as they
were: templates or centres follow the maps by a few steps, no module is looked for anew. NMF's
scores are its weights; those of the other methods are distances to centres, squared and negative.

Axes: C channels that are in some module, P pixels, K modules, D coordinates of an embedding. This
module must not know why there are other maps.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._factors import components, spectral_points
from graftscope.server.analysis._features import Features
from graftscope.server.analysis._modules import Method, Modules
from graftscope.server.analysis._rough_factors import Factor, descend

# Coordinate descent once round is enough for weights (K numbers), since steps follow each other.
_STEPS = 8
_SWEEPS = 4


def scores(features: Sequence[Features], modules: Modules) -> npt.NDArray[np.float64]:
    """How strongly each channel belongs to each module, in several versions of the maps.

    Args:
        features: N of the channels, possibly of fewer pixels than the modules were found in.
        modules: Of the same channels; all have a label.

    Returns:
        Shape (N, C, K), float64; the largest of a row names its module.
    """
    if modules.method is Method.NMF:
        return _weights(np.array([x.binary.matrix for x in features], np.float32), modules.weights)
    points = (_points(x, modules) for x in features)
    return np.array([_closeness(x, modules.labels, modules.k) for x in points])


def _weights(
    maps: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Weights of templates of unit length after some steps of alternating least squares."""
    own = np.repeat(weights.T[np.newaxis].astype(np.float32), len(maps), axis=0)  # (N, K, C)
    templates = np.zeros((*own.shape[:2], maps.shape[2]), np.float32)  # (N, K, P)
    for _ in range(_STEPS):
        _descended(templates, own @ maps, own @ own.mT)
        _descended(own, (maps @ templates.mT).mT, templates @ templates.mT)
    lengths = np.linalg.norm(templates, axis=2)
    return np.asarray((own * lengths[..., np.newaxis]).mT, np.float64)


def _descended(factor: Factor, products: Factor, gram: Factor) -> None:
    """One factor by non-negative least squares, the other being fixed; from where it was."""
    for _ in range(_SWEEPS):
        descend(factor, products, gram)


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
