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
    Gaussian,
    Which,
    class_labels,
    image_indices,
    standard_normal,
    stored_rows,
    truncated_normal,
    uniform,
)
from graftscope.server.analysis._philox import open_uniforms
from graftscope.server.analysis._strata import stratified_words

Floats = npt.NDArray[np.float64]
Draw = Callable[[range, Which], npt.NDArray[np.float32]]

SIZE = 6
THRESHOLD = 0.7

# As of test_analysis_latents: at a fixed seed a draw is plausible always or never.
PLAUSIBLE = 0.01

DRAWS: dict[str, tuple[Draw, Callable[[Floats], Floats]]] = {
    "normal": (
        lambda pairs, which: standard_normal(5, pairs, which, "z", (SIZE,), stratified=True),
        norm.cdf,
    ),
    "truncated": (
        lambda pairs, which: truncated_normal(
            5, pairs, which, "z", (SIZE,), THRESHOLD, stratified=True
        ),
        truncnorm(-THRESHOLD, THRESHOLD).cdf,
    ),
    "uniform": (
        lambda pairs, which: uniform(5, pairs, which, "z", (SIZE,), stratified=True),
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
    both = [standard_normal(2, pairs, which, "z", (3,), stratified=True) for which in (1, 2)]
    correlation = np.corrcoef(np.hstack(both).T) - np.eye(6)
    assert np.abs(correlation).max() < 4 / np.sqrt(len(pairs))
    other = standard_normal(2, pairs, 1, "w", (3,), stratified=True)
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
    first = standard_normal(7, pairs, 1, "z", (3,), stratified=True)
    second = standard_normal(7, pairs, 2, "z", (3,), stratified=True)
    expected = [[1.1944289, -0.9836171, 0.7376384], [-1.6072119, 1.041276, 1.1582832]]
    np.testing.assert_array_equal(first, float32(expected))
    expected = [[0.58555895, -0.021657554, 1.5726446], [0.22992583, -0.7893099, -0.94039595]]
    np.testing.assert_array_equal(second, float32(expected))
    labels = class_labels(7, range(8), 1, "y", 10, stratified=True)
    assert labels.tolist() == [9, 4, 8, 1, 1, 3, 3, 9]
    rows = stored_rows(7, range(8), 1, "w.safetensors", 100, stratified=True)
    assert rows.tolist() == [51, 86, 64, 6, 29, 80, 15, 88]


def test_independent_draws_are_what_they_were() -> None:
    plain = standard_normal(7, range(40), 1, "z", (3,))
    assert np.any(plain != standard_normal(7, range(40), 1, "z", (3,), stratified=True))
    np.testing.assert_array_equal(
        plain, standard_normal(7, range(40), 1, "z", (3,), stratified=False)
    )
    assert image_indices(7, range(3), 1, 19_000).tolist() == [8471, 4297, 14465]


def test_a_group_has_every_class_and_every_row_equally_often() -> None:
    pairs = range(64, 96)
    labels = class_labels(1, pairs, 1, "y", 8, stratified=True)
    assert np.bincount(labels).tolist() == [4] * 8
    rows = stored_rows(1, pairs, 2, "f", 16, stratified=True)
    assert np.bincount(rows).tolist() == [2] * 16
    # Where 32 is no multiple of them, parts that two of them share may go to either.
    uneven = np.bincount(class_labels(1, pairs, 1, "y", 5, stratified=True))
    assert np.abs(uneven - 32 / 5).max() < 2


def test_a_gaussians_standard_normals_are_what_is_stratified() -> None:
    mean, scales = np.array([3.0, -1.0]), np.array([2.0, 0.5])
    of = Gaussian.of(mean, np.diag(scales**2))
    both = of.draw_both(4, range(GROUP_PAIRS), "z", stratified=True)
    for which, drawn in enumerate(both, start=1):
        normals = standard_normal(4, range(GROUP_PAIRS), which, "z", (2,), stratified=True)  # type: ignore[arg-type]
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
            standard_normal(1, pairs, which, "z", (3,), stratified=stratified).astype(np.float64)
            for which in (1, 2)
        )
        return float(effect(z1, z2).reshape(-1, GROUP_PAIRS).mean(axis=1).var(ddof=1))

    assert variance(True) < share * variance(False)
