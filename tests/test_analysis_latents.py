"""Latents of numbered pairs: golden values, independence of the batch, and distributions."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest, truncnorm

from graftscope.server.analysis import (
    Draws,
    Gaussian,
    InvalidInputError,
)
from graftscope.server.analysis._gaussian import _multiply_rows, _symmetric_root

# A draw is compared with its distribution at a fixed seed, so it passes always or never; a
# p-value this large says that the draw is not a suspicious one.
PLAUSIBLE = 0.01


def covariance_of_rank(size: int, rank: int) -> npt.NDArray[np.float64]:
    factor = np.random.default_rng(3).normal(size=(size, rank))
    return np.asarray(factor @ factor.T)


def float32(values: list[list[float]]) -> npt.NDArray[np.float32]:
    """Values written as float32's shortest decimals, so that equality is to the bit."""
    return np.array(values, dtype=np.float32)


def test_standard_normals_have_their_golden_values() -> None:
    first = Draws(7, range(3, 5), 1).normals("z", (3,))
    second = Draws(7, range(3, 5), 2).normals("z", (3,))
    expected_first = [[-0.57384425, -0.82438344, 0.32722855], [0.6071559, -0.7190993, -1.6255319]]
    expected_second = [[-1.4814079, 0.59338415, -1.0485965], [1.3383543, 1.1694783, 0.13130264]]
    assert first.dtype == np.float32
    assert np.array_equal(first, float32(expected_first))
    assert np.array_equal(second, float32(expected_second))


def test_uniforms_classes_and_images_have_their_golden_values() -> None:
    expected = [[-0.4339268, -0.59027827, 0.25650495], [0.45625257, -0.52792025, -0.89595073]]
    assert np.array_equal(Draws(7, range(3, 5), 1).uniforms("z", (3,)), float32(expected))
    assert Draws(7, range(8), 1).classes("y", 10).tolist() == [2, 5, 6, 2, 5, 9, 6, 0]
    assert Draws(7, range(8), 1).images(19_000).tolist() == [
        8471, 4297, 14465, 6710, 17031, 12459, 12908, 13128
    ]  # fmt: skip


def test_truncated_normals_and_stored_rows_have_their_golden_values() -> None:
    expected = [[-0.28445432, -0.3915733, 0.16667625], [0.29952368, -0.34838006, -0.6164095]]
    assert np.array_equal(
        Draws(7, range(3, 5), 1).truncated_normals("z", (3,), 0.7), float32(expected)
    )
    assert Draws(7, range(8), 1).stored_rows("w.safetensors", 100).tolist() == [
        48,
        80,
        52,
        20,
        52,
        75,
        4,
        24,
    ]


@pytest.mark.parametrize("threshold", [0.05, 0.7, 2.0, 50.0])
def test_truncated_normals_are_normal_within_their_threshold(threshold: float) -> None:
    draws = Draws(1, range(2000), 1).truncated_normals("z", (10,), threshold).ravel()
    truth = truncnorm(-threshold, threshold)
    assert np.abs(draws).max() <= threshold
    assert kstest(draws, truth.cdf).pvalue > PLAUSIBLE
    standard_error = truth.std() / np.sqrt(draws.size)
    assert abs(draws.mean()) < 3 * standard_error
    assert abs(draws.var() / truth.var() - 1) < 3 * np.sqrt(2 / draws.size)


def test_a_distant_threshold_leaves_the_standard_normal() -> None:
    draws = Draws(4, range(6), 2).truncated_normals("z", (2, 3), 40.0)
    assert np.array_equal(draws, Draws(4, range(6), 2).normals("z", (2, 3)))


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan"), float("inf")])
def test_a_threshold_that_is_not_positive_is_refused(threshold: float) -> None:
    with pytest.raises(InvalidInputError, match="above 0 and finite"):
        Draws(0, range(1), 1).truncated_normals("z", (2,), threshold)


def test_every_stored_row_is_drawn_and_all_alike() -> None:
    rows = Draws(2, range(7000), 1).stored_rows("w.safetensors", 7)
    counts = np.bincount(rows, minlength=7)
    assert counts.min() > 0
    assert chisquare(counts).pvalue > PLAUSIBLE
    assert not np.array_equal(rows, Draws(2, range(7000), 2).stored_rows("w.safetensors", 7))
    assert not np.array_equal(rows, Draws(2, range(7000), 1).stored_rows("v.safetensors", 7))


@given(st.lists(st.integers(0, 39), max_size=12))
def test_a_pair_is_the_same_in_any_shard_and_any_order(chosen: list[int]) -> None:
    pairs = np.array(chosen, dtype=np.int64)
    of = Gaussian.of(np.arange(5.0), covariance_of_rank(5, 3))
    for which in (1, 2):
        normals = Draws(11, range(40), which).normals("z", (2, 3))
        assert np.array_equal(Draws(11, pairs, which).normals("z", (2, 3)), normals[pairs])
        rows = of.draw("z", Draws(11, range(40), which))[0]
        assert np.array_equal(of.draw("z", Draws(11, pairs, which))[0], rows[pairs])
        images = Draws(11, range(40), which).images(1000)
        assert np.array_equal(Draws(11, pairs, which).images(1000), images[pairs])


def test_a_gaussians_row_has_the_same_bits_alone_and_in_a_batch() -> None:
    random = np.random.default_rng(0)
    rows, matrix = random.normal(size=(64, 128)), random.normal(size=(128, 128))
    together = _multiply_rows(rows, matrix)
    alone = np.concatenate([_multiply_rows(rows[i : i + 1], matrix) for i in range(64)])
    # In float64: rounding to float32 would hide a sum whose order depends on the batch.
    assert together.tobytes() == alone.tobytes()
    np.testing.assert_allclose(together, rows @ matrix, atol=1e-12)


def test_normals_are_standard_and_normal() -> None:
    draws = Draws(1, range(2000), 1).normals("z", (10,)).ravel()
    standard_error = 1 / np.sqrt(draws.size)
    assert abs(draws.mean()) < 3 * standard_error
    assert abs(draws.var() - 1) < 3 * np.sqrt(2) * standard_error
    assert kstest(draws, "norm").pvalue > PLAUSIBLE


def test_uniforms_fill_their_interval_evenly() -> None:
    draws = Draws(1, range(2000), 1).uniforms("z", (10,), low=2.0, high=5.0).ravel()
    assert kstest(draws, "uniform", args=(2.0, 3.0)).pvalue > PLAUSIBLE


def test_the_two_originals_and_two_inputs_are_uncorrelated() -> None:
    streams = [
        Draws(5, range(4000), which).normals(name, (5,)).ravel()
        for which in (1, 2)
        for name in "zy"
    ]
    correlations = np.asarray(np.corrcoef(streams))[np.triu_indices(4, k=1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(20_000)


def test_images_are_drawn_evenly_and_with_replacement() -> None:
    counts = np.bincount(Draws(2, range(7000), 1).images(7), minlength=7)
    assert chisquare(counts).pvalue > PLAUSIBLE
    few = Draws(2, range(100), 1).images(50)
    assert len(np.unique(few)) < 50


def test_a_gaussian_with_unit_covariance_is_the_standard_normal() -> None:
    draws = Gaussian.of(np.zeros((2, 3)), np.eye(6)).draw("z", Draws(4, range(6), 2))[0]
    assert np.array_equal(draws, Draws(4, range(6), 2).normals("z", (2, 3)))


def test_a_gaussian_has_its_mean_and_covariance() -> None:
    mean = np.array([1.0, -2.0, 0.5])
    covariance = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]])
    draws = Gaussian.of(mean, covariance).draw("z", Draws(9, range(10_000), 1))[0]
    assert np.allclose(draws.mean(axis=0), mean, atol=0.04)
    assert np.allclose(np.cov(draws.T), covariance, atol=0.06)


def test_a_singular_covariance_leaves_collapsed_latents_at_their_mean() -> None:
    covariance = np.diag([4.0, 0.0, 1.0])
    draws = Gaussian.of(np.array([0.0, 7.0, 0.0]), covariance).draw("z", Draws(9, range(50), 1))[0]
    assert np.all(draws[:, 1] == 7.0)
    assert draws[:, 0].std() > 1.0


def test_the_symmetric_root_squares_to_the_covariance_whatever_its_rank() -> None:
    for rank in (1, 4, 8):
        covariance = covariance_of_rank(8, rank)
        root = _symmetric_root(covariance)
        assert np.allclose(root @ root, covariance)
        assert np.allclose(root, root.T)


def test_a_covariance_that_is_negative_beyond_rounding_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="has the eigenvalue -1 beside a largest of 2"):
        Gaussian.of(np.zeros(2), np.diag([2.0, -1.0]))


def test_a_covariance_that_is_not_symmetric_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="covariance is not symmetric"):
        Gaussian.of(np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]]))


def test_a_covariance_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"shape \(3, 3\); the mean's 2 entries need"):
        Gaussian.of(np.zeros(2), np.eye(3))


def test_moments_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"mean: 1 of \d+ values are NaN"):
        Gaussian.of(np.array([0.0, np.nan]), np.eye(2))


@pytest.mark.parametrize("count", [0, 2**32])
def test_a_number_of_classes_or_images_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(InvalidInputError, match=f"classes = {count} is not allowed; it is 1 to"):
        Draws(0, range(1), 1).classes("y", count)
    with pytest.raises(InvalidInputError, match=f"number_of_images = {count} is not allowed"):
        Draws(0, range(1), 1).images(count)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_an_empty_or_endless_interval_is_refused(low: float, high: float) -> None:
    with pytest.raises(InvalidInputError, match="low is below high, both finite"):
        Draws(0, range(1), 1).uniforms("z", (2,), low, high)


def test_an_empty_shape_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"shape \(3, 0\) is not allowed"):
        Draws(0, range(1), 1).normals("z", (3, 0))


@pytest.mark.parametrize("count", [1, 3, 40])
def test_both_originals_drawn_at_once_are_those_drawn_one_by_one(count: int) -> None:
    spread = np.random.default_rng(0).standard_normal((7, 7))
    mean, covariance = np.arange(7.0), spread @ spread.T
    of, draws = Gaussian.of(mean, covariance), [Draws(5, range(count), x) for x in (1, 2)]
    for each, rows in zip(draws, of.draw("z", *draws), strict=True):
        assert np.array_equal(rows, of.draw("z", each)[0])
