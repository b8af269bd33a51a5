"""Channels are grouped by what they do pair by pair where their mean maps are all alike."""

import numpy as np
import numpy.typing as npt
import pytest

from graftscope.server.analysis import (
    InvalidInputError,
    KTooLargeError,
    Method,
    agreement,
    features_of,
    find_modules,
    seed_consensus,
    stability,
)
from graftscope.server.analysis._factors import affinities, cosines

BY_PRODUCTS = pytest.mark.parametrize("method", [Method.PCA, Method.SPECTRAL])
SIDE = 12
PAIRS = SIDE**2

Array = npt.NDArray[np.float64]


def moving_effects(groups: int, channels_per_group: int = 6) -> tuple[Array, list[int]]:
    """Effects in every pair, (N, C, P), and the true labels.

    In each pair a group acts on a block of pixels, each of its channels with a strength of its own.
    The block visits every place once, the groups in orders of their own, so mean maps tell nothing.
    """
    random = np.random.default_rng(0)
    truth = [group for group in range(groups) for _ in range(channels_per_group)]
    effects = random.uniform(0.0, 0.05, (PAIRS, len(truth), SIDE, SIDE))
    orders = [random.permutation(PAIRS) for _ in range(groups)]
    block = np.zeros((SIDE, SIDE))
    block[:4, :4] = 1.0
    for i, pair in enumerate(effects):
        for channel, group in enumerate(truth):
            place = divmod(int(orders[group][i]), SIDE)
            pair[channel] += random.uniform(0.5, 2.0) * np.roll(block, place, axis=(0, 1))
    return effects.reshape(PAIRS, len(truth), -1), truth


def maps_of(effects: Array) -> Array:
    return np.asarray(effects.mean(axis=0).reshape(-1, SIDE, SIDE))


def products_of(effects: Array) -> Array:
    return np.asarray(np.einsum("ncp,ndp->cd", effects, effects) / (PAIRS * SIDE**2))


@BY_PRODUCTS
@pytest.mark.parametrize("groups", [2, 3])
def test_groups_that_act_in_one_place_of_each_pair_are_found_by_their_products(
    method: Method, groups: int
) -> None:
    effects, truth = moving_effects(groups)
    products = products_of(effects)
    for seed in range(3):
        modules = find_modules(
            features_of(maps_of(effects), products=products), groups, method, seed
        )
        assert agreement(truth, modules.labels) == 1.0


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("method", [Method.NMF, Method.KMEANS])
def test_mean_maps_of_places_that_move_do_not_tell_the_groups(method: Method, groups: int) -> None:
    effects, truth = moving_effects(groups)
    found = find_modules(features_of(maps_of(effects)), groups, method)
    random = np.random.default_rng(1)
    by_chance = [agreement(truth, random.permutation(found.labels)) for _ in range(200)]
    # Within what permuted labels reach.
    assert agreement(truth, found.labels) <= max(by_chance) < 1.0


@BY_PRODUCTS
def test_stability_by_products_finds_the_number_of_groups_that_move(method: Method) -> None:
    effects, _ = moving_effects(3)
    found = stability(
        features_of(maps_of(effects), products=products_of(effects)), [2, 3, 4, 5], [method], 5
    )
    assert found.suggested[0].k == 3
    np.testing.assert_array_equal(found.consistency[0, 1], 1.0)


@BY_PRODUCTS
def test_how_much_a_channel_does_decides_nothing(method: Method) -> None:
    effects, _ = moving_effects(3)
    strengths = np.geomspace(1e-3, 1e3, effects.shape[1])
    scaled = effects * strengths[:, np.newaxis]
    plain, other = (
        find_modules(features_of(maps_of(x), products=products_of(x)), 3, method).labels
        for x in (effects, scaled)
    )
    np.testing.assert_array_equal(plain, other)


@BY_PRODUCTS
def test_the_order_of_channels_decides_nothing(method: Method) -> None:
    effects, _ = moving_effects(3)
    order = np.random.default_rng(2).permutation(effects.shape[1])
    shuffled = effects[:, order]
    plain, other = (
        find_modules(features_of(maps_of(x), products=products_of(x)), 3, method).labels
        for x in (effects, shuffled)
    )
    assert agreement(plain[order], other) == 1.0


@BY_PRODUCTS
def test_a_flat_map_is_in_no_module_whatever_its_products(method: Method) -> None:
    effects, truth = moving_effects(2)
    maps, products = maps_of(effects), products_of(effects)
    maps[4] = 0.1
    modules = find_modules(features_of(maps, products=products), 2, method)
    assert modules.empty.tolist() == [4]
    assert modules.labels[4] == -1
    assert agreement(np.delete(truth, 4), np.delete(modules.labels, 4)) == 1.0


@BY_PRODUCTS
def test_templates_are_the_share_of_the_modules_channels_that_reach_a_pixel(
    method: Method,
) -> None:
    effects, _ = moving_effects(2)
    modules = find_modules(
        features_of(maps_of(effects), window=1, products=products_of(effects)), 2, method
    )
    maps = maps_of(effects).reshape(12, -1)
    binary = maps > np.percentile(maps, 75, axis=1, keepdims=True)
    for module, template in enumerate(modules.templates):
        share = binary[modules.labels == module].mean(axis=0)
        np.testing.assert_allclose(template.ravel(), share, atol=1e-12)
    np.testing.assert_array_equal(modules.purity, 1.0)


@BY_PRODUCTS
@pytest.mark.parametrize("k", [1, 12])
def test_any_number_of_modules_from_one_to_all_channels_is_allowed(method: Method, k: int) -> None:
    effects, _ = moving_effects(2)
    modules = find_modules(features_of(maps_of(effects), products=products_of(effects)), k, method)
    assert modules.sizes.tolist() == [12 // k] * k


@BY_PRODUCTS
def test_channels_that_do_the_same_cannot_be_split(method: Method) -> None:
    maps = np.random.default_rng(0).random((4, 8, 8))
    alike = np.ones((4, 4))
    with pytest.raises(KTooLargeError, match="exceeds the 1 different channels"):
        find_modules(features_of(maps, products=alike), 2, method)


@BY_PRODUCTS
def test_every_run_of_several_seeds_uses_the_products(method: Method) -> None:
    effects, truth = moving_effects(3)
    consensus = seed_consensus(
        features_of(maps_of(effects), products=products_of(effects)), 3, method, (0, 1, 2)
    )
    assert consensus.agreeing_count == 3
    assert all(agreement(truth, run.labels) == 1.0 for run in consensus.runs)


def test_cosines_are_those_of_the_vectors_of_effects() -> None:
    effects, _ = moving_effects(2)
    vectors = effects.transpose(1, 0, 2).reshape(12, -1)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(cosines(products_of(effects)), units @ units.T, atol=1e-12)


def test_affinities_fall_from_one_with_the_distance_of_unit_vectors() -> None:
    units = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    products = 4.0 * units @ units.T
    # The two distances that are not zero are equal, so their median is each of them.
    expected = np.where(products > 0, 1.0, np.exp(-1.0))
    np.testing.assert_allclose(affinities(products), expected)


@pytest.mark.parametrize(
    ("products", "message"),
    [
        (None, "method pca needs products"),
        (np.ones((3, 4)), r"shape \(3, 4\); the maps need \(4, 4\)"),
        (np.full((4, 4), np.nan), "16 of 16 values are NaN or infinite"),
        (np.triu(np.ones((4, 4))), "not symmetric"),
        (np.diag([1.0, 0.0, 1.0, 1.0]), "channel 1 has no effect, but its map is not flat"),
    ],
)
def test_products_that_do_not_fit_are_refused(products: Array | None, message: str) -> None:
    maps = np.random.default_rng(0).random((4, 8, 8))
    with pytest.raises(InvalidInputError, match=message) as caught:
        find_modules(features_of(maps, products=products), 2, Method.PCA)
    assert caught.value.field == "products"
