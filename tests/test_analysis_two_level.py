"""The two-level estimator on numbers whose expectation is known.

Pixels stand for repetitions: each has numbers of its own, so that one map tells how estimates are
distributed.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.server.analysis import (
    Correction,
    Differences,
    MapMoments,
    TwoLevels,
    best_share,
    relative_cost,
)

REPEATS = 3000
TRUTH = 0.7
# Of 3,000 repetitions, four standard errors of a share of 0.95.
COVERAGE = 0.016

Maps = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Exact values F with mean `TRUTH`, and cheap ones, C = F - bias - D's own noise."""

    bias: float
    noise: float
    along: float = 0.0

    def draw(self, pairs: int, seed: int) -> tuple[Maps, Maps]:
        """(N, P) cheap, (N, P) exact; `along` is how far the difference goes with the cheap one."""
        cheap, noise = np.random.default_rng(seed).standard_normal((2, pairs, REPEATS))
        difference = self.bias + self.along * cheap + self.noise * noise
        cheap += TRUTH - self.bias
        return cheap, cheap + difference


def as_map(values: Maps) -> Maps:
    """(P,) as one map of one row."""
    return values.reshape(1, 1, -1)


def moments_of(values: Maps) -> MapMoments:
    """(N, P) over their N pairs."""
    m2 = np.square(values - values.mean(axis=0)).sum(axis=0)
    return MapMoments.from_batch(len(values), as_map(values.sum(axis=0)), as_map(m2))


def differences_of(cheap: Maps, exact: Maps, batch: int) -> Differences:
    found = None
    for start in range(0, len(cheap), batch):
        some = slice(start, start + batch)
        before, after = (as_map(x[some].mean(axis=0)) for x in (cheap, exact))
        one = Differences.of_one(before, after, batch)
        found = one if found is None else found.merge(one)
    assert found is not None
    return found


def estimated(world: World, pairs: int, corrected: int, batch: int = 2, seed: int = 0) -> TwoLevels:
    cheap, exact = world.draw(pairs, seed)
    differences = differences_of(cheap[:corrected], exact[:corrected], batch)
    return TwoLevels(moments_of(cheap), differences)


def stratified(world: World, groups: int, corrected: int, seed: int = 0) -> TwoLevels:
    """Of groups of 8 pairs that vary together; of some groups two pairs are corrected."""
    cheap, exact = world.draw(8 * groups, seed)
    shared = np.random.default_rng(seed + 1).standard_normal((groups, REPEATS))
    moments = correction = None
    for group, more in enumerate(shared):
        some = slice(8 * group, 8 * group + 8)
        own, own_exact = cheap[some] + more, exact[some] + more
        one = moments_of(own).as_one()
        moments = one if moments is None else moments.merge(one)
        if group < corrected:
            found = differences_of(own[:2], own_exact[:2], 2).as_one(one.mean)
            correction = found if correction is None else correction.merge(found)
    assert moments is not None
    assert correction is not None
    return TwoLevels(moments, correction)


def coverage(found: TwoLevels) -> float:
    """The share of repetitions whose 95 % interval holds the truth."""
    return float((np.abs(found.mean - TRUTH) < 1.96 * found.stderr()).mean())


WORLDS = [World(0.3, 0.2), World(0.3, 0.5, -0.8), World(-0.1, 0.1, 0.4)]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("how", ["independent", "stratified"])
def test_the_estimate_is_the_exact_ones_in_expectation_and_its_interval_holds(
    world: World, how: str
) -> None:
    independent = how == "independent"
    found = estimated(world, 256, 128) if independent else stratified(world, 80, 60)
    z = (found.mean.mean() - TRUTH) / (found.mean.std() / np.sqrt(REPEATS))
    assert abs(z) < 4
    assert coverage(found) == pytest.approx(0.95, abs=COVERAGE)
    # The cheap level alone is off by the bias, which its standard error does not tell.
    off = (found.cheap.mean.mean() - TRUTH) / (found.cheap.mean.std() / np.sqrt(REPEATS))
    assert abs(off) > 20


@pytest.mark.parametrize("batch", [1, 4])
def test_the_variance_is_known_whatever_the_batches(batch: int) -> None:
    found = estimated(World(0.3, 0.6, -0.7), pairs=96, corrected=48, batch=batch)
    assert np.square(found.stderr()).mean() == pytest.approx(found.mean.var(), rel=0.1)
    # Without the covariance it would be half as much again.
    apart = np.square(found.cheap.stderr()) + np.square(found.differences.moments.stderr())
    assert apart.mean() > 1.5 * found.mean.var()


def test_where_every_pair_is_exact_it_is_the_exact_mean_with_its_own_error() -> None:
    cheap, exact = World(0.3, 0.5, -0.8).draw(20, seed=3)
    found = TwoLevels(moments_of(cheap), differences_of(cheap, exact, 1))
    expected = moments_of(exact)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.stderr(), expected.stderr(), rtol=1e-9)
    assert found.count.tolist() == expected.count.tolist()


def test_the_covariance_is_that_of_the_observations() -> None:
    cheap, exact = World(0.3, 0.5, -0.8).draw(12, seed=4)
    found = differences_of(cheap, exact, 3)
    means, others = (x.reshape(4, 3, REPEATS).mean(axis=1) for x in (cheap, exact - cheap))
    for i in range(5):
        expected = np.cov(means[:, i], others[:, i])[0, 1]
        assert found.covariance()[0, 0, i] == pytest.approx(expected)


def test_one_observation_tells_no_error() -> None:
    found = estimated(World(0.3, 0.2), pairs=8, corrected=2)
    assert np.isnan(found.stderr()).all()
    assert np.isfinite(found.mean).all()


def test_rows_that_stop_keep_what_they_have() -> None:
    values = np.random.default_rng(5).standard_normal((4, 2, 3, 4, 4))  # N, C and F, E, H, W

    def corrections(rows: list[int]) -> list[Correction]:
        found = (Differences.of_one(*pair[:, rows]) for pair in values)
        return [Correction(maps, maps, np.full(len(rows), 2)) for maps in found]

    first, second, *later = corrections([0, 1, 2])
    found, whole = first.merge(second), first.merge(second)
    for some, each in zip(corrections([0, 2])[2:], later, strict=True):
        found, whole = found.merge(some, np.array([0, 2])), whole.merge(each)
    assert found.pairs_of.tolist() == [8, 4, 8]
    before, after, mixed = (x.maps.arrays() for x in (first.merge(second), whole, found))
    for name in ("count", "mean", "m2", "cheap", "cross"):
        np.testing.assert_array_equal(mixed[name][[0, 2]], after[name][[0, 2]])
        np.testing.assert_array_equal(mixed[name][1], before[name][1])


def test_a_correction_comes_back_from_its_arrays_bit_for_bit() -> None:
    maps = differences_of(*World(0.3, 0.2).draw(4, seed=7), batch=2)
    before = Correction(maps, maps, np.arange(1))
    again = Correction.of_arrays(before.arrays())
    assert again.maps.cheap_each == 2
    for name, array in before.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)


@pytest.mark.parametrize("ratio", [1e-4, 0.01, 0.2])
def test_the_best_share_is_the_one_that_costs_least(ratio: float) -> None:
    costs = (1.0, 3.5, ratio)
    share = best_share(*costs)
    least = relative_cost(share, *costs)
    others = (relative_cost(x, *costs) for x in np.linspace(share / 4, min(1.0, 4 * share), 50))
    assert least <= min(others) + 1e-12
    assert 0 < share < 1


def test_a_correction_that_varies_little_costs_what_the_cheap_level_does() -> None:
    assert relative_cost(1e-6, 1.0, 4.0, 1e-12) == pytest.approx(0.25, rel=1e-4)
    assert best_share(1.0, 4.0, 1.0) == 1.0
