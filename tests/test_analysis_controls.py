"""Random sets are as large as what they are compared with; responses of known latents are known."""

import numpy as np
import pytest

from graftscope.server.analysis import (
    InvalidInputError,
    as_many_channels,
    as_much_influence,
    latent_responses,
)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_sets_have_as_many_channels_and_every_channel_is_as_likely() -> None:
    members = as_many_channels(10, 3, 3000, random())
    assert members.shape == (3000, 10)
    assert (members.sum(axis=1) == 3).all()
    np.testing.assert_allclose(members.mean(axis=0), 0.3, atol=0.04)


def test_sets_have_about_as_much_influence() -> None:
    individual = random(1).random(64)
    members = as_much_influence(individual, 8.0, 200, random(2))
    sums = members @ individual
    # No set could come nearer by its last channel, which has at most 1.
    assert (np.abs(sums - 8.0) <= 0.5).all()
    assert sums.mean() == pytest.approx(8.0, abs=0.1)
    assert len({row.tobytes() for row in members}) == 200


def test_as_much_influence_as_all_channels_is_all_that_have_some() -> None:
    individual = np.array([1.0, 0.0, 2.0])
    members = as_much_influence(individual, 3.0, 20, random())
    assert members[:, [0, 2]].all()
    smallest = as_much_influence(individual, 1e-9, 20, random())
    assert (smallest.sum(axis=1) >= 1).all()


def test_sets_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"size = 11 is not allowed; .* 1 to 10"):
        as_many_channels(10, 11, 1, random())
    with pytest.raises(InvalidInputError, match=r"influence = 4\.0 is not allowed"):
        as_much_influence([1.0, 2.0], 4.0, 1, random())
    with pytest.raises(InvalidInputError, match="not negative"):
        as_much_influence([1.0, -2.0], 1.0, 1, random())


def test_changes_of_different_latents_share_nothing_and_of_the_same_latent_all() -> None:
    sizes = random(3).standard_normal((100, 3))
    changes = np.zeros((100, 3, 5))
    changes[:, 0, 0], changes[:, 1, 1], changes[:, 2, 1] = sizes.T
    found = latent_responses(changes)
    np.testing.assert_allclose(found.shares, [[1, 0, 0], [0, 1, 1], [0, 1, 1]], atol=1e-12)
    np.testing.assert_allclose(found.stderr, 0, atol=1e-12)


def test_a_quarter_of_a_change_along_another_is_a_quarter() -> None:
    along, aside = random(4).standard_normal((2, 500))
    changes = np.zeros((500, 2, 2))
    changes[:, 0, 0] = np.sign(along)
    changes[:, 0, 1] = np.sqrt(3) * np.sign(aside)
    changes[:, 1, 0] = along
    found = latent_responses(changes)
    assert found.shares[0, 1] == pytest.approx(0.25)
    assert found.shares[1, 0] == pytest.approx(0.25)


def test_random_directions_share_one_part_in_the_number_of_latents() -> None:
    found = latent_responses(random(5).standard_normal((4000, 2, 8)))
    assert found.shares[0, 1] == pytest.approx(1 / 8, abs=4 * found.stderr[0, 1])
    assert 0 < found.stderr[0, 1] < 0.01


def test_errors_of_responses_are_the_spread_over_new_pairs() -> None:
    def shares(seed: int) -> tuple[float, float]:
        found = latent_responses(random(seed).standard_normal((128, 2, 3)))
        return float(found.shares[0, 1]), float(found.stderr[0, 1])

    values, errors = zip(*map(shares, range(300)), strict=True)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(values), rel=0.15)


def test_a_module_that_changes_nothing_has_no_share() -> None:
    changes = random(6).standard_normal((64, 2, 3))
    changes[:, 1] = 0
    found = latent_responses(changes)
    assert np.isnan(found.shares[1]).all()
    assert found.shares[0].tolist() == [pytest.approx(1.0), 0.0]
