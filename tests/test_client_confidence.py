"""How sure labels are, through a real server: known truth, and what is not known said so."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graftscope.client import Client, InfluenceResult, ModulesResult, PairGroups
from graftscope.client.errors import InputError
from graftscope.client.values import Between, ConfidentLabels, Method
from server_toys import served

MODEL, LAYER, TRUE_K = "toy-bumps", "fc", 4
PAIRS = 160
SIDE, GROUPS = 8, 8
OF_GROUPS = ("group_maps", "group_pairs", "group_products")
LEAST = {Method.PCA: 0.99, Method.SPECTRAL: 0.9}
"""Of a channel of its block: other pairs turn components, and a spectral embedding, a little."""
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def client(bumps_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    state = tmp_path_factory.mktemp("bumps")
    with served([bumps_bundle], state) as stubs, Client(stubs.address) as found:
        yield found


@pytest.fixture(scope="module")
def maps(client: Client) -> InfluenceResult:
    return client.influence(MODEL, LAYER, pairs=PAIRS, seed=1, products=True)


def halved() -> tuple[np.ndarray, PairGroups]:
    """Maps of nine channels: four in each of two halves, and one that half the groups put in each.

    It tends to the first a little, as channels do that lie between modules.
    """
    halves = np.zeros((2, SIDE, SIDE))
    halves[0, :, : SIDE // 2] = halves[1, :, SIDE // 2 :] = 64.0
    of = np.repeat(halves, 4, axis=0)
    means = np.stack([np.concatenate([of, halves[g % 2][np.newaxis]]) for g in range(GROUPS)])
    means *= RANDOM.uniform(0.9, 1.1, means.shape)
    pairs = np.full((GROUPS, 9), 32)
    units = np.full(9, 1 / 64)
    whole = means.astype(np.float16).astype(np.float64).mean(axis=0) / 64
    return whole, PairGroups(means.astype(np.float16), pairs, units)


@pytest.mark.parametrize("method", list(Method))
def test_channels_of_a_generator_of_blocks_are_all_sure(
    client: Client, maps: InfluenceResult, method: Method
) -> None:
    found = client.modules(maps, TRUE_K, method=method)
    assert (found.confidence >= LEAST.get(method, 1.0)).all()
    assert (found.between(), found.confidence_unknown) == ((), "")
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("method", [Method.PCA, Method.SPECTRAL])
def test_a_job_with_products_stops_when_their_labels_are_sure(
    client: Client, method: Method
) -> None:
    rule = ConfidentLabels(0.95, TRUE_K, method)
    found = client.influence(MODEL, LAYER, pairs=512, seed=1, products=True, until=rule)
    assert found.stopping is not None
    assert (found.stopping.met, found.stopping.settled) == (True, len(found.maps))
    # At the first look, all together.
    assert set(found.pairs_of.tolist()) == {128}


def test_maps_of_an_operation_bring_their_groups(client: Client, maps: InfluenceResult) -> None:
    found, by_name = client.modules(maps, TRUE_K), client.modules(maps.operation, TRUE_K)
    assert by_name.operation == found.operation
    np.testing.assert_array_equal(by_name.probabilities, found.probabilities)


def test_a_file_brings_its_groups(client: Client, maps: InfluenceResult, tmp_path: Path) -> None:
    maps.save(tmp_path / "maps.npz")
    back = InfluenceResult.load(tmp_path / "maps.npz")
    assert back == maps
    found = client.modules(back, TRUE_K)
    found.save(tmp_path / "modules.npz")
    assert ModulesResult.load(tmp_path / "modules.npz") == found
    np.testing.assert_array_equal(found.confidence, 1.0)


def test_groups_are_means_of_the_maps(maps: InfluenceResult) -> None:
    groups = maps.groups
    assert groups is not None
    assert groups.pairs.sum(axis=0).tolist() == [PAIRS] * len(maps.maps)
    shares = (groups.pairs / PAIRS)[..., np.newaxis, np.newaxis]
    units = groups.units[:, np.newaxis, np.newaxis]
    # float16 rounds to one part in 2,048.
    whole = (groups.maps.astype(np.float64) * units * shares).sum(axis=0)
    np.testing.assert_allclose(whole, maps.maps, rtol=2.0**-10, atol=1e-6)


def test_groups_of_products_are_means_of_the_products(maps: InfluenceResult) -> None:
    groups = maps.groups
    assert groups is not None
    assert groups.products is not None
    assert maps.products is not None
    shares = (groups.pairs / PAIRS)[..., np.newaxis]
    whole = (groups.products.astype(np.float64) * shares).sum(axis=0)
    # float32 rounds to one part in 16 million.
    np.testing.assert_allclose(whole, maps.products, rtol=2.0**-22, atol=0)


@pytest.mark.parametrize("method", [Method.PCA, Method.SPECTRAL])
def test_a_channel_that_goes_with_either_half_in_half_of_the_groups_is_between_them(
    client: Client, method: Method
) -> None:
    maps, groups = halved()
    products = products_of_halves()
    found = client.modules(
        maps,
        2,
        method=method,
        products=products.mean(axis=0),
        groups=replace(groups, products=products.astype(np.float32)),
    )
    assert (found.confidence[:8] > 0.95).all()
    assert [each.channel for each in found.between()] == [8]


def products_of_halves() -> np.ndarray:
    """(G, 9, 9): what channels of a half do together, which the last does with one or the other."""
    found = []
    for group in range(GROUPS):
        sides = np.repeat(np.eye(2), 4, axis=0)
        effects = np.vstack([sides, np.eye(2)[group % 2]])
        own = np.hstack([effects, 0.3 * RANDOM.standard_normal((9, 6))])
        found.append(own @ own.T)
    return np.array(found)


def test_a_channel_that_is_half_in_each_of_two_modules_is_told_as_between_them(
    client: Client,
) -> None:
    maps, groups = halved()
    found = client.modules(maps, 2, groups=groups)
    assert (found.confidence[:8] == 1.0).all()
    (between,) = found.between()
    assert (between.channel, set(between.modules)) == (8, {0, 1})
    assert min(between.probabilities) > 0.2
    told = f"channel 8 is between modules {between.modules[0]} and {between.modules[1]} ("
    assert str(between).startswith(told)


def test_where_nobody_knows_it_is_said_why(client: Client, maps: InfluenceResult) -> None:
    assert maps.groups is not None
    for found, why in (
        (client.modules(maps.maps, TRUE_K), "without means over groups of pairs"),
        (
            client.modules(
                maps, TRUE_K, method=Method.PCA, groups=replace(maps.groups, products=None)
            ),
            "of their products, by which pca groups",
        ),
        (
            client.modules(client.influence(MODEL, LAYER, pairs=96, seed=1), TRUE_K),
            "96 pairs are too few: at least 128 are needed",
        ),
    ):
        assert why in found.confidence_unknown
        assert np.isnan(found.probabilities).all()
        assert found.between() == ()


def test_groups_that_do_not_go_with_the_maps_are_refused(client: Client) -> None:
    maps, groups = halved()
    with pytest.raises(InputError, match=r"group_maps is FP16 of shape \[8, 4, 8, 8\]"):
        client.modules(maps, 2, groups=groups.of(slice(0, 4)))
    for other, why in (
        (replace(groups, maps=-groups.maps), "group_maps are not those of `maps`: .* map 0 by"),
        (groups.of(slice(None, None, -1)), "group_maps are not those of `maps`: .* map 0 by"),
        (replace(groups, pairs=groups.pairs << 55), "group_pairs of map 0 are .* 1 to 10000000"),
    ):
        with pytest.raises(InputError, match=why):
            client.modules(maps, 2, groups=other)
    products = products_of_halves()
    mixed = replace(groups, products=products.astype(np.float32)[:, ::-1])
    with pytest.raises(InputError, match="group_products are not those of `products`"):
        client.modules(maps, 2, method=Method.PCA, products=products.mean(axis=0), groups=mixed)
    with pytest.raises(InputError, match="groups <float64"):
        client.modules(maps, 2, groups=maps)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="groups: pairs <float64"):
        PairGroups(groups.maps, groups.pairs / 2, groups.units)  # type: ignore[arg-type]


def test_groups_of_a_result_that_are_another_ones_are_refused_when_it_is_read(
    maps: InfluenceResult, tmp_path: Path
) -> None:
    groups = maps.groups
    assert groups is not None
    huge, below = groups.pairs.copy(), groups.units.copy()
    huge[0, 2], below[1] = 2**62, -0.5
    tops = {name: np.concatenate([getattr(maps, name)] * 4) for name in OF_GROUPS}
    for change, why in (
        (tops, "group_pairs are of 20 groups; .* at most 16"),
        ({"group_pairs": huge}, "group_pairs of map 2 are 4.61.*e.18 in all; the map is of 160"),
        ({"group_pairs": -groups.pairs}, "group_pairs hold -32; none may be negative"),
        ({"group_units": below}, "group_units hold -0.5; none may be negative"),
        ({"group_units": below * np.nan}, "group_units: .* NaN or infinite"),
        ({"pairs_of": -maps.pairs_of}, "pairs_of hold -160"),
        ({"channels": maps.channels - 1}, "channels hold -1"),
    ):
        replace(maps, **change).save(tmp_path / "other.npz")
        with pytest.raises(InputError, match=why):
            InfluenceResult.load(tmp_path / "other.npz")


def test_between_names_every_module_that_is_worth_it() -> None:
    told = Between(17, (0, 2), (0.554, 0.41))
    assert str(told) == "channel 17 is between modules 0 and 2 (0.55, 0.41)"
    three = Between(3, (1, 0, 2), (0.5, 0.3, 0.2))
    assert str(three) == "channel 3 is between modules 1, 0 and 2 (0.50, 0.30, 0.20)"
