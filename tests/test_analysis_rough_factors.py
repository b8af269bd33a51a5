"""Rough factors end where scikit-learn's do, and know what they leave unexplained."""

import numpy as np
import numpy.typing as npt
import pytest

from graftscope.server.analysis import agreement, features_of, find_modules
from graftscope.server.analysis._rough_factors import rough_factors, unexplained

SIDE, CHANNELS = 24, 30


def noisy_maps(seed: int) -> npt.NDArray[np.float64]:
    """(C, H, W): each channel paints a bump of its own, somewhere, in noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    y, x = random.uniform(0, SIDE, (2, CHANNELS, 1, 1))
    width = random.uniform(3, 9, (CHANNELS, 1, 1))
    bumps: npt.NDArray[np.float64] = np.exp(
        -((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2)
    )
    return bumps + 0.05 * random.random(bumps.shape)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_labels_are_those_of_scikit_learn(seed: int, k: int) -> None:
    features = features_of(noisy_maps(seed))
    modules = find_modules(features, k)
    found = rough_factors(features.binary.matrix, k)
    # One channel of thirty may be half way.
    assert agreement(found.labels, modules.labels) >= 1 - 1 / CHANNELS
    exact = unexplained(
        features.binary.matrix,
        modules.weights.astype(np.float32),
        modules.templates.reshape(k, -1).astype(np.float32),
    )
    assert found.error == pytest.approx(exact, rel=2e-3)


def test_what_is_unexplained_is_the_square_of_the_difference() -> None:
    random = np.random.default_rng(0)
    matrix = random.random((7, 50)) < 0.3
    weights, templates = random.random((7, 3)), random.random((3, 50))
    slow = np.square(matrix - weights @ templates).sum()
    fast = unexplained(matrix, weights.astype(np.float32), templates.astype(np.float32))
    assert fast == pytest.approx(slow, rel=1e-5)
