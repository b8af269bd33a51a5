"""How sure labels are: of maps whose truth is known."""

import numpy as np
import numpy.typing as npt
import pytest

from graftscope.server.analysis import (
    InvalidInputError,
    Method,
    Modules,
    ShardGroups,
    features_of,
    find_modules,
    label_confidence,
)

SIDE = 16


def block_maps(shards: int, noise: float, seed: int = 0) -> npt.NDArray[np.float64]:
    """(n, C, H, W): channels 0 to 3 paint the left, 4 to 7 the right half; 8 as much of both.

    Each shard moves every channel's left and right half by so much noise, which is smooth.
    """
    random = np.random.default_rng(seed)
    left = np.zeros((SIDE, SIDE))
    left[2:-2, 1:7] = 1.0
    right = left[:, ::-1]
    shape = random.random((SIDE, SIDE))  # ranks of pixels within a half
    shares = np.array([1.0] * 4 + [0.0] * 4 + [0.5])
    drift = noise * random.standard_normal((shards, 9))
    of_left = (shares + drift)[..., np.newaxis, np.newaxis]
    return (of_left * left + (1 - of_left) * right) * (1 + 0.5 * shape)


def groups_of(maps: npt.NDArray[np.float64]) -> ShardGroups:
    groups = ShardGroups.none(maps.shape[1], (SIDE, SIDE))
    for shard in maps:
        groups = groups.and_then(shard, 32)
    return groups


def modules_of(maps: npt.NDArray[np.float64], method: Method = Method.NMF) -> Modules:
    return find_modules(features_of(maps.mean(axis=0)), 2, method)


@pytest.mark.parametrize("method", [Method.NMF, Method.KMEANS, Method.AGGLOMERATIVE])
def test_clear_channels_are_sure_and_one_half_way_is_between_its_modules(method: Method) -> None:
    maps = block_maps(12, noise=0.05)
    modules = modules_of(maps, method)
    found = label_confidence(groups_of(maps), modules)
    assert (found.own[:8] > 0.99).all()
    assert (found.rivals[:8] == -1).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)


def test_the_same_shards_give_the_same_bits() -> None:
    maps = block_maps(9, noise=0.3)
    modules = modules_of(maps)
    first, second = (label_confidence(groups_of(maps), modules) for _ in range(2))
    assert first.probabilities.tobytes() == second.probabilities.tobytes()


def test_channels_in_no_module_or_of_few_groups_have_no_probability() -> None:
    maps = block_maps(9, noise=0.1)
    maps[:, 0] = 1.0  # flat
    modules = modules_of(maps)
    found = label_confidence(groups_of(maps), modules)
    assert np.isnan(found.probabilities[0]).all()
    assert np.isnan(found.own[0])
    assert np.isfinite(found.probabilities[1:]).all()
    few = label_confidence(groups_of(maps[:3]), modules)
    assert np.isnan(few.probabilities).all()


def test_groups_of_other_channels_and_missing_products_are_refused() -> None:
    maps = block_maps(5, noise=0.1)
    modules = modules_of(maps)
    with pytest.raises(InvalidInputError, match="groups have 8 rows; the modules are of 9"):
        label_confidence(groups_of(maps[:, :8]), modules)
    with pytest.raises(InvalidInputError, match="window = 4 is not allowed"):
        label_confidence(groups_of(maps), modules, window=4)
