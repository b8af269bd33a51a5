"""Measures of realism: equal to what is known of constructed sets, and to slow computations."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from graftscope.server.analysis import (
    LEAST_ROWS,
    NEAREST,
    REALISM_MEASURES,
    FeatureSet,
    InvalidInputError,
    Realism,
    jackknife_stderr,
    realism,
)
from graftscope.server.analysis._kernel_distance import kernel_distance, kernel_sums

FRECHET, KERNEL, PRECISION, RECALL, DENSITY, COVERAGE = range(6)

ROUNDING = 1e-9

Array = npt.NDArray[np.float64]


def normal(rows: int, features: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, features))


def with_moments(rows: Array, mean: Array, root: Array) -> Array:
    """Rows whose sample mean and covariance are exactly the given mean and root @ root.T."""
    centred = rows - rows.mean(axis=0)
    covariance = centred.T @ centred / (len(rows) - 1)
    white = np.linalg.solve(np.linalg.cholesky(covariance), centred.T).T
    return np.asarray(white @ root.T + mean)


def compared(one: Array, other: Array) -> Realism:
    return realism(FeatureSet(one), FeatureSet(other))


def without(rows: Array, group: int) -> Array:
    bounds = FeatureSet(rows).bounds
    return np.delete(rows, slice(bounds[group], bounds[group + 1]), axis=0)


def slowly(one: Array, other: Array) -> list[float]:
    """Kernel distance, precision, recall, density and coverage, straight from their definitions."""

    def kernel(x: Array, y: Array) -> Array:
        return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)

    def distances(x: Array, y: Array) -> Array:
        return np.asarray(np.linalg.norm(x[:, None] - y[None], axis=2))

    def mean_of_distinct(x: Array) -> float:
        values = kernel(x, x)
        return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))

    def reach(x: Array) -> Array:
        return np.sort(distances(x, x), axis=1)[:, NEAREST]  # Its own distance, 0, comes first.

    discrepancy = mean_of_distinct(one) + mean_of_distinct(other) - 2 * kernel(one, other).mean()
    between = distances(one, other)
    in_balls = between <= reach(other)[None, :]
    in_own = between <= reach(one)[:, None]
    return [
        float(discrepancy),
        float(in_balls.any(axis=1).mean()),
        float(in_own.any(axis=0).mean()),
        float(in_balls.sum(axis=1).mean() / NEAREST),
        float(in_balls.any(axis=0).mean()),
    ]


def test_the_frechet_distance_is_that_of_gaussians_with_the_same_moments() -> None:
    # Of covariances that commute it is the distance of means and of deviations, squared.
    deviations, others = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 1.0])
    mean = np.array([1.0, 0.0, -2.0])
    turn = np.linalg.qr(normal(3, 3, 1))[0]
    one = with_moments(normal(200, 3, 2), mean, turn * deviations)
    other = with_moments(normal(300, 3, 3), np.zeros(3), turn * others)
    assert compared(one, other).values[FRECHET] == pytest.approx(5 + 1 + 0 + 4, rel=ROUNDING)


def test_the_frechet_distance_of_covariances_that_do_not_commute_is_scipys() -> None:
    from scipy.linalg import sqrtm

    roots = normal(4, 4, 4), normal(4, 4, 5)
    one, other = (
        with_moments(normal(100, 4, 6 + i), np.zeros(4), root) for i, root in enumerate(roots)
    )
    covariances = [root @ root.T for root in roots]
    expected = sum(map(np.trace, covariances)) - 2 * np.trace(
        sqrtm(covariances[0] @ covariances[1])
    )
    assert compared(one, other).values[FRECHET] == pytest.approx(float(expected.real), rel=1e-6)


def test_features_that_never_vary_change_no_distance() -> None:
    one, other = normal(200, 3, 8), normal(200, 3, 9) + 0.2
    fixed = np.full((200, 2), 7.0)
    wide, other_wide = np.hstack([one, fixed]), np.hstack([other, fixed])
    few, many = compared(one, other), compared(wide, other_wide)
    assert many.values[FRECHET] == pytest.approx(few.values[FRECHET], rel=1e-6)
    assert many.stderr[FRECHET] == pytest.approx(few.stderr[FRECHET], rel=1e-6)


def test_all_but_the_frechet_distance_are_equal_to_their_definitions() -> None:
    one, other = normal(130, 5, 10) + 0.3, normal(170, 5, 11)
    assert compared(one, other).values[KERNEL:].tolist() == pytest.approx(
        slowly(one, other), rel=ROUNDING
    )


@pytest.mark.parametrize("group", [0, 13, 31])
def test_what_is_left_without_a_group_is_what_the_other_rows_give(group: int) -> None:
    one, other = normal(330, 3, 12) + 0.5, normal(300, 3, 13)
    left = compared(one, other).left_out[group]
    one, other = without(one, group), without(other, group)
    assert left[KERNEL:].tolist() == pytest.approx(slowly(one, other), rel=ROUNDING)
    # To first order: groups are a thirtieth of the rows.
    assert left[FRECHET] == pytest.approx(compared(one, other).values[FRECHET], rel=0.01)


def test_kernel_distances_of_equal_distributions_are_zero_in_the_mean() -> None:
    distances = []
    for seed in range(100):
        one, other = (FeatureSet(normal(80, 4, 2 * seed + which)) for which in (0, 1))
        between = kernel_sums(one.rows, other.rows, one.bounds, other.bounds)
        bounds = (one.bounds, other.bounds)
        distances.append(kernel_distance(one.kernel_sums, other.kernel_sums, between, *bounds)[0])
    error = np.std(distances) / math.sqrt(len(distances))
    assert abs(np.mean(distances)) < 3 * error
    assert min(distances) < 0


def test_of_a_subset_all_is_precise_and_of_a_superset_all_is_recalled() -> None:
    everything = normal(400, 2, 20)
    part = everything[everything[:, 0] > 0]
    narrow, wide = compared(part, everything), compared(everything, part)
    assert narrow.values[PRECISION] == wide.values[RECALL] == 1
    assert narrow.values[RECALL] == wide.values[PRECISION] < 0.7


def test_rows_outside_are_not_precise_and_what_lacks_is_not_recalled() -> None:
    reference, inside = normal(300, 3, 21), normal(300, 3, 22)
    far = inside + 100
    half = np.where(np.arange(300)[:, None] % 2 == 0, inside, far)
    found, whole = compared(half, reference).values, compared(inside, reference).values
    assert found[PRECISION] == pytest.approx(whole[PRECISION] / 2, abs=0.03)
    assert found[DENSITY] == pytest.approx(whole[DENSITY] / 2, abs=0.1)
    assert compared(far, reference).values[PRECISION:].tolist() == [0, 0, 0, 0]


def test_a_mode_that_is_missing_is_not_covered() -> None:
    modes = np.repeat([[0.0, 0.0], [50.0, 0.0]], 200, axis=0)
    reference = normal(400, 2, 23) + modes
    one_mode = compared(normal(400, 2, 24), reference).values
    assert one_mode[COVERAGE] == pytest.approx(0.5, abs=0.02)
    assert one_mode[RECALL] == pytest.approx(0.5, abs=0.02)
    assert one_mode[PRECISION] > 0.97


def test_a_row_is_as_dense_as_the_balls_that_hold_it() -> None:
    # Every row is in its own ball and in those of k others, in the mean.
    rows = normal(200, 3, 25)
    assert compared(rows, rows).values[DENSITY] == pytest.approx((NEAREST + 1) / NEAREST)
    # Copies of the row in the middle are in all balls that hold it.
    middle = np.linalg.norm(rows, axis=1).argmin()
    reach = np.sort(np.linalg.norm(rows[:, None] - rows[None], axis=2), axis=1)[:, NEAREST]
    holding = (np.linalg.norm(rows - rows[middle], axis=1) <= reach).sum()
    copies = compared(np.repeat(rows[middle : middle + 1], 64, axis=0), rows).values
    assert copies[DENSITY] == pytest.approx(holding / NEAREST)
    assert copies[COVERAGE] == pytest.approx(holding / len(rows))


def test_an_outlier_of_the_reference_raises_precision_and_hardly_density() -> None:
    reference, one = normal(400, 2, 26), normal(400, 2, 27) + 30
    outlier = reference.copy()
    outlier[:3] += 300
    before, after = compared(one, reference).values, compared(one, outlier).values
    assert before[PRECISION] == 0
    assert after[PRECISION] == 1
    assert after[DENSITY] < 1


def test_errors_are_no_smaller_than_the_spread_over_new_pairs_and_not_much_larger() -> None:
    found = [
        compared(normal(128, 3, 3 * seed) + 0.4, normal(128, 3, 3 * seed + 1))
        for seed in range(1000, 1100)
    ]
    spread = np.std([each.values for each in found], axis=0, ddof=1)
    told = np.sqrt(np.mean([each.stderr**2 for each in found], axis=0))
    # A spread over 100 is known to a fourteenth.
    assert (told > 0.85 * spread).all(), dict(zip(REALISM_MEASURES, told / spread, strict=True))
    assert (told < [1.6, 1.6, 2.6, 2.6, 2.6, 2.6] * spread).all(), told / spread


def test_a_difference_of_sets_of_the_same_pairs_is_surer_than_either() -> None:
    rows, reference = normal(320, 3, 30), FeatureSet(normal(320, 3, 31))
    near = realism(FeatureSet(rows + 0.5), reference)
    nearer = realism(FeatureSet(rows + 0.45), reference)
    error = jackknife_stderr(near.left_out - nearer.left_out)
    assert (error[:PRECISION] < 0.4 * near.stderr[:PRECISION]).all()


def test_the_same_sets_give_the_same_bits() -> None:
    one, other = normal(100, 4, 32), normal(100, 4, 33)
    first, second = compared(one, other), compared(one.copy(), other.copy())
    assert first.values.tobytes() == second.values.tobytes()
    assert first.left_out.tobytes() == second.left_out.tobytes()


def test_too_few_rows_and_other_features_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=f"63 rows are not enough .* at least {LEAST_ROWS}"):
        FeatureSet(normal(63, 2, 0))
    with pytest.raises(InvalidInputError, match="has 2 features and the reference 3"):
        compared(normal(64, 2, 0), normal(64, 3, 0))
    with pytest.raises(InvalidInputError, match="NaN or infinite"):
        FeatureSet(np.full((64, 2), np.nan))
