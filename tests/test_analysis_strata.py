"""Stratified pairs: every 32nd of a distribution once a group, each pair distributed as ever."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, norm, truncnorm

from graftscope.server.analysis import (
    GROUP_PAIRS,
    Draws,
    Gaussian,
    Which,
)
from graftscope.server.analysis._random_words import open_uniforms, stratified_words

Floats = npt.NDArray[np.float64]
Draw = Callable[[range, Which], npt.NDArray[np.float32]]

SIZE = 6
THRESHOLD = 0.7

# As of test_analysis_latents: at a fixed seed a draw is plausible always or never.
PLAUSIBLE = 0.01

DRAWS: dict[str, tuple[Draw, Callable[[Floats], Floats]]] = {
    "normal": (
        lambda pairs, which: Draws(5, pairs, which, stratified=True).normals("z", (SIZE,)),
        norm.cdf,
    ),
    "truncated": (
        lambda pairs, which: Draws(5, pairs, which, stratified=True).truncated_normals(
            "z", (SIZE,), THRESHOLD
        ),
        truncnorm(-THRESHOLD, THRESHOLD).cdf,
    ),
    "uniform": (
        lambda pairs, which: Draws(5, pairs, which, stratified=True).uniforms("z", (SIZE,)),
        lambda x: (x + 1) / 2,
    ),
}

every_distribution = pytest.mark.parametrize(("draw", "cdf"), DRAWS.values(), ids=DRAWS)


@every_distribution
def test_a_group_takes_each_32nd_of_every_dimension_once(
    draw: Draw, cdf: Callable[[Floats], Floats]
) -> None:
    each = list(range(GROUP_PAIRS))
    for group in range(5):
        pairs = range(group * GROUP_PAIRS, (group + 1) * GROUP_PAIRS)
        for which in (1, 2):
            drawn = draw(pairs, which).astype(np.float64)
            parts = np.floor(cdf(drawn) * GROUP_PAIRS).astype(int)
            for dimension in parts.T:
                assert sorted(dimension.tolist()) == each


@every_distribution
def test_a_pair_by_itself_is_distributed_as_ever(
    draw: Draw, cdf: Callable[[Floats], Floats]
) -> None:
    """Over groups: within one its place would tell of the others."""
    drawn = draw(range(600 * GROUP_PAIRS), 1).astype(np.float64)
    for place in (0, 13, 31):
        each = cdf(drawn[place::GROUP_PAIRS])  # (600, Z)
        for dimension in each.T:
            assert kstest(dimension, "uniform").pvalue > PLAUSIBLE / SIZE
        # Within a part too, or every 32nd would be drawn at its same point.
        rest = each * GROUP_PAIRS % 1
        assert kstest(rest.ravel(), "uniform").pvalue > PLAUSIBLE


def test_dimensions_and_originals_are_spread_independently_of_each_other() -> None:
    pairs = range(200 * GROUP_PAIRS)
    both = [Draws(2, pairs, which, stratified=True).normals("z", (3,)) for which in (1, 2)]
    correlation = np.corrcoef(np.hstack(both).T) - np.eye(6)
    assert np.abs(correlation).max() < 4 / np.sqrt(len(pairs))
    other = Draws(2, pairs, 1, stratified=True).normals("w", (3,))
    assert abs(np.corrcoef(other[:, 0], both[0][:, 0])[0, 1]) < 4 / np.sqrt(len(pairs))


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12))
def test_a_pair_is_the_same_whatever_is_drawn_with_it(indices: list[int]) -> None:
    pairs = np.array(indices, dtype=np.int64)
    alone = [stratified_words("d", 3, 2, "z", range(i, i + 1), 4)[0] for i in indices]
    np.testing.assert_array_equal(stratified_words("d", 3, 2, "z", pairs, 4), alone)


def test_more_dimensions_leave_the_first_ones_alone() -> None:
    few = stratified_words("d", 3, 1, "z", range(40), 3)
    np.testing.assert_array_equal(stratified_words("d", 3, 1, "z", range(40), 9)[:, :3], few)


def test_uniforms_stay_strictly_inside_their_part() -> None:
    words = np.array([0, 2**59 - 1, 31 << 59, 2**64 - 1], dtype=np.uint64)
    unit = open_uniforms(words)
    assert 0 < unit[0] < unit[1] < 1 / GROUP_PAIRS
    assert 1 - 1 / GROUP_PAIRS < unit[2] < unit[3] < 1


def test_stratified_draws_have_their_golden_values() -> None:
    def float32(values: list[list[float]]) -> npt.NDArray[np.float32]:
        return np.array(values, dtype=np.float32)

    pairs = range(3, 5)
    first = Draws(7, pairs, 1, stratified=True).normals("z", (3,))
    second = Draws(7, pairs, 2, stratified=True).normals("z", (3,))
    expected = [[1.1944289, -0.9836171, 0.7376384], [-1.6072119, 1.041276, 1.1582832]]
    np.testing.assert_array_equal(first, float32(expected))
    expected = [[0.58555895, -0.021657554, 1.5726446], [0.22992583, -0.7893099, -0.94039595]]
    np.testing.assert_array_equal(second, float32(expected))
    labels = Draws(7, range(8), 1, stratified=True).classes("y", 10)
    assert labels.tolist() == [9, 4, 8, 1, 1, 3, 3, 9]
    rows = Draws(7, range(8), 1, stratified=True).stored_rows("w.safetensors", 100)
    assert rows.tolist() == [51, 86, 64, 6, 29, 80, 15, 88]


def test_independent_draws_are_what_they_were() -> None:
    plain = Draws(7, range(40), 1).normals("z", (3,))
    assert np.any(plain != Draws(7, range(40), 1, stratified=True).normals("z", (3,)))
    np.testing.assert_array_equal(
        plain, Draws(7, range(40), 1, stratified=False).normals("z", (3,))
    )
    assert Draws(7, range(3), 1).images(19_000).tolist() == [8471, 4297, 14465]


def test_a_group_has_every_class_and_every_row_equally_often() -> None:
    pairs = range(64, 96)
    labels = Draws(1, pairs, 1, stratified=True).classes("y", 8)
    assert np.bincount(labels).tolist() == [4] * 8
    rows = Draws(1, pairs, 2, stratified=True).stored_rows("f", 16)
    assert np.bincount(rows).tolist() == [2] * 16
    # Where 32 is no multiple of them, parts that two of them share may go to either.
    uneven = np.bincount(Draws(1, pairs, 1, stratified=True).classes("y", 5))
    assert np.abs(uneven - 32 / 5).max() < 2


def test_a_gaussians_standard_normals_are_what_is_stratified() -> None:
    mean, scales = np.array([3.0, -1.0]), np.array([2.0, 0.5])
    of = Gaussian.of(mean, np.diag(scales**2))
    draws = [Draws(4, range(GROUP_PAIRS), which, stratified=True) for which in (1, 2)]
    for each, drawn in zip(draws, of.draw("z", *draws), strict=True):
        normals = each.normals("z", (2,))
        np.testing.assert_allclose(drawn, mean + normals * scales, rtol=1e-5)


@pytest.mark.parametrize(
    ("effect", "share"),
    [
        # Linear: only where in its part a latent lies is left to chance.
        (lambda z1, z2: z1[:, 0] - 2 * z2[:, 1], 0.05),
        (lambda z1, z2: np.exp(z1[:, 0] / 2) + np.abs(z2[:, 2]), 0.05),
        # Of two latents together a half is left, since each is spread by itself.
        (lambda z1, z2: np.abs(z1[:, 0] - z2[:, 0]), 0.8),
    ],
    ids=["linear", "smooth", "difference"],
)
def test_means_over_groups_vary_less(
    effect: Callable[[Floats, Floats], Floats], share: float
) -> None:
    pairs = range(400 * GROUP_PAIRS)

    def variance(stratified: bool) -> float:
        z1, z2 = (
            Draws(1, pairs, which, stratified=stratified).normals("z", (3,)).astype(np.float64)
            for which in (1, 2)
        )
        return float(effect(z1, z2).reshape(-1, GROUP_PAIRS).mean(axis=1).var(ddof=1))

    assert variance(True) < share * variance(False)
