"""Modules: groups of channels that paint the same bump are found, and nothing fails in silence."""

import doctest
import pickle
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.cluster import KMeans

from graftscope.server import analysis
from graftscope.server.analysis import (
    InvalidInputError,
    KTooLargeError,
    Method,
    NotConvergedError,
    agreement,
    features_of,
    find_modules,
    without_impure,
)
from graftscope.server.analysis._factors import (
    Factors,
    cluster_kmeans,
    factorise_nmf,
    unit_templates,
)
from graftscope.server.analysis._features import preprocess
from graftscope.server.analysis._modules import modules_from_factors

SIZE = 24
CENTRES = ((5, 5), (5, 18), (18, 12))
BY_MAPS = [Method.NMF, Method.KMEANS, Method.AGGLOMERATIVE]
EACH = pytest.mark.parametrize("method", BY_MAPS)


def bump(centre: tuple[int, int]) -> npt.NDArray[np.float64]:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    squared = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2
    return np.asarray(np.exp(-squared / 18.0))


def block_maps(channels_per_module: int = 6) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Maps of a generator whose channel groups each paint one bump, and the true labels."""
    random = np.random.default_rng(0)
    labels = [module for module in range(3) for _ in range(channels_per_module)]
    strengths = random.uniform(0.1, 2.0, len(labels))
    maps = np.array([s * bump(CENTRES[m]) for s, m in zip(strengths, labels, strict=True)])
    noise = random.uniform(0.0, 1e-3, maps.shape)
    return maps + noise, labels


@EACH
def test_channels_that_paint_one_bump_form_one_module(method: Method) -> None:
    maps, truth = block_maps()
    modules = find_modules(features_of(maps), 3, method)
    assert agreement(truth, modules.labels) == 1.0
    assert modules.sizes.tolist() == [6, 6, 6]
    assert modules.empty.size == modules.unexplained.size == 0


@EACH
def test_a_template_is_bright_over_its_own_modules_bump_alone(method: Method) -> None:
    maps, truth = block_maps()
    modules = find_modules(features_of(maps), 3, method)
    for channel, module in enumerate(truth):
        template = modules.templates[modules.labels[channel]]
        brightness = np.array([template[centre] for centre in CENTRES])
        assert brightness[module] > 0.99 * template.max()
        assert np.delete(brightness, module).max() < 0.01 * template.max()


@EACH
def test_shapes_and_types_are_those_of_the_documented_arrays(method: Method) -> None:
    maps, _ = block_maps()
    modules = find_modules(features_of(maps), 2, method, seed=5)
    assert (modules.k, modules.method, modules.seed) == (2, method, 5)
    assert modules.labels.shape == (18,)
    assert modules.templates.shape == (2, SIZE, SIZE)
    assert modules.weights.shape == (18, 2)
    assert modules.labels.dtype == np.int64
    assert modules.templates.dtype == modules.weights.dtype == np.float64
    assert modules.iterations >= 1


@EACH
def test_a_flat_map_is_in_no_module_and_does_not_disturb_the_others(method: Method) -> None:
    maps, truth = block_maps()
    with_flat = np.insert(maps, 4, 0.1, axis=0)
    modules = find_modules(features_of(with_flat), 3, method)
    assert modules.empty.tolist() == [4]
    assert modules.labels[4] == -1
    assert not modules.weights[4].any()
    assert np.isnan(modules.purity[4])
    assert agreement(truth, np.delete(modules.labels, 4)) == 1.0


@EACH
def test_the_same_seed_gives_the_same_modules(method: Method) -> None:
    maps = np.random.default_rng(2).random((20, 10, 10))
    first, second = (find_modules(features_of(maps), 3, method, seed=8) for _ in range(2))
    assert np.array_equal(first.labels, second.labels)
    assert np.allclose(first.templates, second.templates)


def test_labels_of_nmf_are_the_largest_weights_of_unit_templates() -> None:
    modules = find_modules(
        features_of(np.random.default_rng(2).random((20, 10, 10))), 3, Method.NMF
    )
    np.testing.assert_allclose(np.linalg.norm(modules.templates, axis=(1, 2)), 1.0)
    assert np.array_equal(modules.labels, modules.weights.argmax(axis=1))
    expected = modules.weights.max(axis=1) / modules.weights.sum(axis=1)
    np.testing.assert_allclose(modules.purity, expected)


@pytest.mark.parametrize("method", [Method.KMEANS, Method.AGGLOMERATIVE])
def test_centroids_are_the_means_of_their_members(method: Method) -> None:
    maps = np.random.default_rng(2).random((20, 10, 10))
    modules = find_modules(features_of(maps), 3, method)
    rows = preprocess(maps).matrix
    for module in range(3):
        centroid = rows[modules.labels == module].mean(axis=0).reshape(10, 10)
        np.testing.assert_allclose(modules.templates[module], centroid, atol=1e-12)
    assert np.array_equal(modules.weights, np.eye(3)[modules.labels])
    assert np.all(modules.purity == 1.0)


def test_kmeans_keeps_the_best_of_ten_starts() -> None:
    matrix = np.random.default_rng(3).random((30, 60)) > 0.75

    def spread(starts: int) -> list[float]:
        fits = (KMeans(4, n_init=starts, random_state=seed).fit(matrix) for seed in range(5))
        return [float(fit.inertia_) for fit in fits]

    kept = [cluster_kmeans(matrix, 4, seed) for seed in range(5)]
    distances = [float(((matrix - f.weights @ f.templates) ** 2).sum()) for f in kept]
    np.testing.assert_allclose(distances, spread(starts=10))
    assert sum(distances) < sum(spread(starts=1))


def test_agglomerative_clustering_joins_what_spreads_least_and_draws_nothing() -> None:
    maps = np.random.default_rng(2).random((12, 10, 10))
    rows = preprocess(maps).matrix.astype(float)
    groups = [[row] for row in range(len(rows))]

    def growth(left: list[int], right: list[int]) -> float:
        apart = rows[left].mean(axis=0) - rows[right].mean(axis=0)
        return len(left) * len(right) / (len(left) + len(right)) * float(apart @ apart)

    while len(groups) > 4:
        pairs = [(a, b) for a in range(len(groups)) for b in range(a)]
        a, b = min(pairs, key=lambda pair: growth(groups[pair[0]], groups[pair[1]]))
        groups[b] += groups.pop(a)
    truth = [next(i for i, group in enumerate(groups) if row in group) for row in range(12)]
    found = [find_modules(features_of(maps), 4, Method.AGGLOMERATIVE, seed=seed) for seed in (0, 7)]
    assert agreement(truth, found[0].labels) == 1.0
    np.testing.assert_array_equal(found[0].labels, found[1].labels)
    assert found[0].iterations == 8


def test_one_map_alone_is_one_module_by_every_method() -> None:
    for method in BY_MAPS:
        features = features_of(bump(CENTRES[0])[np.newaxis])
        assert find_modules(features, 1, method).labels.tolist() == [0]


def test_moving_the_templates_length_into_the_weights_keeps_the_product() -> None:
    random = np.random.default_rng(1)
    weights, templates = random.random((7, 3)), random.random((3, 20))
    factors = unit_templates(weights, templates, iterations=1)
    np.testing.assert_allclose(factors.weights @ factors.templates, weights @ templates)
    np.testing.assert_allclose(np.linalg.norm(factors.templates, axis=1), 1.0)


def test_a_template_that_vanished_stays_zero() -> None:
    factors = unit_templates(np.ones((2, 2)), np.array([[3.0, 4.0], [0.0, 0.0]]), iterations=1)
    assert factors.templates.tolist() == [[0.6, 0.8], [0.0, 0.0]]
    assert factors.weights.tolist() == [[5.0, 0.0], [5.0, 0.0]]


def test_a_channel_to_which_no_template_contributes_is_in_no_module() -> None:
    binary = preprocess(np.array([bump(CENTRES[0]), np.zeros((SIZE, SIZE)), bump(CENTRES[1])]))
    factors = Factors(np.array([[2.0, 1.0], [0.0, 0.0]]), np.ones((2, SIZE * SIZE)), iterations=1)
    modules = modules_from_factors(factors, binary, Method.NMF, seed=0)
    assert modules.labels.tolist() == [0, -1, -1]
    assert modules.empty.tolist() == [1]
    assert modules.unexplained.tolist() == [2]
    assert modules.purity[0] == 2 / 3


@EACH
def test_as_many_modules_as_different_maps_are_found(method: Method) -> None:
    maps = np.array([bump(centre) for centre in CENTRES])
    assert sorted(find_modules(features_of(maps), 3, method).labels) == [0, 1, 2]


@EACH
def test_more_modules_than_maps_that_are_not_flat_are_refused(method: Method) -> None:
    maps = np.array([*(bump(centre) for centre in CENTRES), np.zeros((SIZE, SIZE))])
    message = r"k = 4 exceeds what 3 influence maps that are not flat \(of 4\).*allowed: 1 to 3"
    with pytest.raises(KTooLargeError, match=message) as caught:
        find_modules(features_of(maps), 4, method)
    assert caught.value.field == "k"


@pytest.mark.parametrize("method", [Method.KMEANS, Method.AGGLOMERATIVE])
def test_more_modules_than_different_maps_are_refused(method: Method) -> None:
    maps = np.array([bump(CENTRES[0])] * 3 + [bump(CENTRES[1])])
    with pytest.raises(KTooLargeError, match="k = 3 exceeds the 2 different channels"):
        find_modules(features_of(maps), 3, method)


def test_modules_of_flat_maps_alone_are_refused() -> None:
    with pytest.raises(KTooLargeError, match="all 3 influence maps are flat"):
        find_modules(features_of(np.ones((3, 4, 4))), 1)


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_module_is_refused(k: int) -> None:
    with pytest.raises(InvalidInputError, match=f"k = {k} is not allowed; it is at least 1"):
        find_modules(features_of(block_maps()[0]), k)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_the_methods_cannot_take_is_refused(seed: int) -> None:
    with pytest.raises(InvalidInputError, match=f"seed = {seed} is not allowed"):
        find_modules(features_of(block_maps()[0]), 3, seed=seed)


def test_maps_with_nan_are_refused() -> None:
    maps, _ = block_maps()
    maps[0, 0, 0] = np.nan
    with pytest.raises(InvalidInputError, match=r"maps: 1 of \d+ values are NaN or infinite"):
        find_modules(features_of(maps), 3)


@pytest.mark.parametrize("factorise", [factorise_nmf, cluster_kmeans])
def test_a_run_that_reaches_its_iteration_limit_is_an_error(
    factorise: Callable[..., Factors],
) -> None:
    matrix = np.random.default_rng(0).random((20, 50)) > 0.75
    with pytest.raises(NotConvergedError, match="with k = 3 and seed = 1 did not converge in 1 it"):
        factorise(matrix, 3, 1, max_iterations=1)


def test_errors_survive_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(KTooLargeError("too large", "k")))
    assert (type(error), str(error), error.field) == (KTooLargeError, "too large", "k")


def test_the_packages_usage_example_runs() -> None:
    assert doctest.testmod(analysis).failed == 0


def shared_maps() -> npt.NDArray[np.float64]:
    """Maps of two bumps: two channels for each, one that paints both, and a flat one."""
    left, right = bump(CENTRES[0]), bump(CENTRES[1])
    flat = np.full((SIZE, SIZE), 0.3)
    return np.array([left, 2 * left, right, 3 * right, left + right, flat])


def test_channels_that_are_less_pure_are_put_into_no_module() -> None:
    modules = find_modules(features_of(shared_maps(), window=1, percentile=90.0), 2)
    pure = without_impure(modules, 0.9)
    assert modules.purity[4] < 0.9 < modules.purity[:4].min()
    np.testing.assert_array_equal(pure.labels[:4], modules.labels[:4])
    assert pure.labels[4] == -1
    assert pure.sizes.tolist() == [2, 2]
    for name in ("templates", "weights", "purity", "empty", "unexplained"):
        np.testing.assert_array_equal(getattr(pure, name), getattr(modules, name))


def test_a_channel_that_is_exactly_as_pure_as_asked_stays() -> None:
    modules = find_modules(features_of(shared_maps(), window=1, percentile=90.0), 2)
    least = float(modules.purity[4])
    assert without_impure(modules, least).labels[4] != -1
    assert without_impure(modules, np.nextafter(least, 1.0)).labels[4] == -1


@pytest.mark.parametrize("min_purity", [0.0, 0.5, 1.0])
def test_a_flat_map_is_in_no_module_whatever_purity_is_asked_for(min_purity: float) -> None:
    pure = without_impure(find_modules(features_of(shared_maps()), 2), min_purity)
    assert np.isnan(pure.purity[5])
    assert pure.labels[5] == -1


def test_no_purity_at_all_keeps_every_channel() -> None:
    modules = find_modules(features_of(shared_maps()), 2)
    np.testing.assert_array_equal(without_impure(modules, 0.0).labels, modules.labels)


def test_methods_that_only_label_find_pure_channels_alone() -> None:
    modules = find_modules(features_of(shared_maps()), 2, Method.KMEANS)
    np.testing.assert_array_equal(without_impure(modules, 1.0).labels, modules.labels)


@pytest.mark.parametrize("min_purity", [-0.1, 1.1, float("nan")])
def test_a_purity_that_there_cannot_be_is_refused(min_purity: float) -> None:
    with pytest.raises(InvalidInputError, match=r"min_purity = .* is not allowed; it is 0 to 1"):
        without_impure(find_modules(features_of(shared_maps()), 2), min_purity)
