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
    match_labels,
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


@pytest.mark.parametrize("method", [Method.NMF, Method.AGGLOMERATIVE])
def test_clear_channels_are_sure_and_one_half_way_is_between_its_modules(method: Method) -> None:
    maps = block_maps(12, noise=0.05)
    # What a shard adds to the last channel's left half the next one takes away.
    maps[1::2, 8] = 2 * block_maps(1, noise=0.0)[0, 8] - maps[::2, 8]
    modules = modules_of(maps, method)
    found = label_confidence(groups_of(maps), modules)
    assert (found.own[:8] > 0.99).all()
    assert (found.rivals[:8] == -1).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)
    assert found.rivals[8] == 1 - modules.labels[8]
    assert 0.25 < found.own[8] < 0.75


@pytest.mark.parametrize("method", [Method.PCA, Method.SPECTRAL])
def test_modules_by_products_are_sure_by_the_groups_of_the_products(method: Method) -> None:
    maps = block_maps(8, noise=0.05)[:, :8]
    products = ShardGroups.none_of_products(8)
    effects = np.repeat(np.eye(2), 4, axis=0)  # what channels of a half have in common
    random = np.random.default_rng(1)
    total = np.zeros((8, 8))
    for _ in range(8):
        own = np.hstack([effects, 0.3 * random.standard_normal((8, 6))])
        total += own @ own.T / 8
        products = products.and_then((own @ own.T)[:, np.newaxis], 32)
    modules = find_modules(features_of(maps.mean(axis=0), products=total), 2, method)
    found = label_confidence(groups_of(maps), modules, products=products)
    assert (found.own > 0.9).all()
    with pytest.raises(InvalidInputError, match="need the groups of the products"):
        label_confidence(groups_of(maps), modules)


def test_a_probability_is_that_of_a_bootstrap_of_both_runs_with_modules_found_anew() -> None:
    maps = block_maps(16, noise=0.25, seed=3)
    modules = modules_of(maps)
    found = label_confidence(groups_of(maps), modules)
    random, counts = np.random.default_rng(4), np.zeros((9, 2))
    for _ in range(60):
        # As many other pairs are as far from the truth as these: half as many differ so much.
        anew = modules_of(maps[random.integers(len(maps), size=len(maps) // 2)])
        match = match_labels(modules.labels, anew.labels, 2)
        counts[np.arange(9), match[anew.labels]] += 1
    # Sixty resamples are uncertain by 0.06 themselves, eight refits by more.
    assert np.abs(found.probabilities - counts / 60).max() < 0.2


def test_where_another_set_explains_the_maps_as_well_no_label_that_it_moves_is_sure() -> None:
    """Four regions that share no pixel: any two of them are a module as good as the others."""
    maps = np.zeros((6, 16, SIDE, SIDE))
    for region in range(4):
        rows, columns = (slice(1 + 8 * part, 7 + 8 * part) for part in divmod(region, 2))
        maps[:, 4 * region : 4 * region + 4, rows, columns] = 1.0
    maps *= 1 + 0.1 * np.random.default_rng(0).standard_normal(maps.shape)
    groups, features = groups_of(maps), features_of(maps.mean(axis=0), window=1)
    found = label_confidence(groups, find_modules(features, 2), window=1)
    # One region names the modules; another one may join it.
    unsure = found.own <= 0.75
    assert np.count_nonzero(unsure) >= 8
    assert (found.rivals[unsure] >= 0).all()


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
