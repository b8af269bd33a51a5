"""Images of pairs: the identities of splicing hold for what analyses of worth are made of."""

from pathlib import Path

import numpy as np
import pytest

from executor_toys import generator_of
from graftscope.server.engine import PriorPairs
from graftscope.server.worth import Making, batches

PAIRS = range(3, 10)


def making_of(bundle: Path) -> Making:
    generator = generator_of(bundle)
    return Making(generator, PriorPairs(generator, seed=5))


@pytest.fixture
def toy(toy_vae_bundle: Path) -> Making:
    return making_of(toy_vae_bundle)


def test_no_channel_gives_original_1_and_all_give_original_2(toy: Making) -> None:
    layer = toy.layer("coarse")
    sets = np.stack([np.full(layer.channels, False), np.full(layer.channels, True)])
    nothing, everything = toy.hybrids(layer, PAIRS, sets)
    first, second = (toy.below(layer, toy.above(layer, x)) for x in toy.source.latents(PAIRS))
    np.testing.assert_array_equal(nothing, first)
    np.testing.assert_array_equal(everything, second)
    np.testing.assert_allclose(first, toy.originals(PAIRS)[0], atol=1e-5 * toy.width)


def test_a_set_and_what_is_left_of_the_layer_change_roles_with_the_originals(toy: Making) -> None:
    layer = toy.layer("coarse")
    some = np.arange(layer.channels) % 3 == 0
    (hybrid,) = toy.hybrids(layer, PAIRS, some[np.newaxis])
    first, second = toy.source.latents(PAIRS)
    other = toy.mixture(layer, second, [(~some, first)])
    np.testing.assert_array_equal(hybrid, other)


def test_what_is_carried_past_the_cut_stays_that_of_original_1(toy_skip_bundle: Path) -> None:
    making = making_of(toy_skip_bundle)
    layer = next(x for x in making.generator.manifest.layers if x.carried)
    everything = np.ones((1, layer.channels), dtype=np.bool_)
    (hybrid,) = making.hybrids(layer, PAIRS, everything)
    one, two = (making.above(layer, x) for x in making.source.latents(PAIRS))
    np.testing.assert_array_equal(
        hybrid, making.below(layer, {**one, layer.tensor: two[layer.tensor]})
    )
    assert not np.array_equal(hybrid, making.below(layer, two))


def test_of_two_donors_each_half_of_the_image_comes_from_its_own(block_bundle: Path) -> None:
    making = making_of(block_bundle)
    layer = making.layer("fc")
    left, right = np.arange(4) < 2, np.arange(4) >= 2
    given = [making.source.latents(range(at, at + 4))[0] for at in (0, 4, 8)]
    mixed = making.mixture(layer, given[0], [(left, given[1]), (right, given[2])])
    middle = mixed.shape[-1] // 2
    donors = [making.generated(each) for each in given[1:]]
    np.testing.assert_array_equal(mixed[..., :middle], donors[0][..., :middle])
    np.testing.assert_array_equal(mixed[..., middle:], donors[1][..., middle:])


def test_rows_are_those_of_single_pairs_however_many_go_into_a_run(toy: Making) -> None:
    layer = toy.layer("coarse")
    some = (np.arange(layer.channels) < 5)[np.newaxis]
    (together,) = toy.hybrids(layer, range(0, 70), some)
    for each in (0, 31, 32, 69):
        (alone,) = toy.hybrids(layer, range(each, each + 1), some)
        np.testing.assert_array_equal(together[each], alone[0])


def test_batches_cover_the_pairs_once() -> None:
    assert [list(x) for x in batches(5, 7, 3)] == [[5, 6, 7], [8, 9, 10], [11]]
