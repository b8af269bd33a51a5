"""Facts about spectral independence: 1 where input or kernel is white, else as they match."""

import cmath

import numpy as np
import pytest

from graftscope.server.analysis import (
    InvalidInputError,
    Kernels,
    kernel_gains,
    power_spectra,
    spectral_independence,
)

RANDOM = np.random.default_rng(12)
SIDE = 8
GROUPS = 4


def delta(outputs: int = 1) -> np.ndarray:
    kernel = np.zeros((1, outputs, 3, 3))
    kernel[:, :, 1, 1] = RANDOM.uniform(0.5, 2.0, outputs)
    return kernel


def smooth_power() -> np.ndarray:
    """(G, 1, H, W) power of maps that were smoothed: strong in low frequencies."""
    maps = RANDOM.standard_normal((GROUPS * 20, 1, SIDE, SIDE))
    smooth = sum(np.roll(maps, (i, j), (2, 3)) for i in range(2) for j in range(2))
    return np.stack([power_spectra(each) for each in np.split(smooth, GROUPS)])


def test_a_white_input_is_independent_of_any_kernel() -> None:
    white = np.ones((GROUPS, 3, SIDE, SIDE))
    for kernels in (
        Kernels(RANDOM.standard_normal((3, 5, 5, 5))),
        Kernels(RANDOM.standard_normal((3, 2, 4, 4)), upsampling=(2, 2)),
    ):
        found = spectral_independence(white, kernels)
        assert found.score == pytest.approx(1.0, abs=1e-12)
        assert found.swapped == pytest.approx(1.0, abs=1e-12)
        assert found.stderr == pytest.approx(0.0, abs=1e-12)
        assert found.channel_pairs == 3 * kernels.values.shape[1]


def test_a_kernel_of_one_entry_is_independent_of_any_input() -> None:
    for upsampling in ((1, 1), (2, 2), (3, 1)):
        found = spectral_independence(smooth_power(), Kernels(delta(4), upsampling))
        assert found.score == pytest.approx(1.0, abs=1e-12)
        assert found.spread == pytest.approx(0.0, abs=1e-12)


def test_a_kernel_that_matches_the_input_gives_more_and_one_that_does_not_less() -> None:
    power = smooth_power()
    blur, edges = np.ones((1, 1, 2, 2)), np.array([[[[1.0, -1.0], [-1.0, 1.0]]]])
    matched = spectral_independence(power, Kernels(blur))
    against = spectral_independence(power, Kernels(edges))
    assert matched.score > 1.3
    assert against.score < 0.7
    assert matched.stderr < 0.2


def test_channels_with_kernels_of_their_own_spectrum_score_more_than_with_each_others() -> None:
    maps = RANDOM.standard_normal((40, 2, SIDE, SIDE))
    maps[:, 0] += np.roll(maps[:, 0], 1, axis=-1)
    maps[:, 1] -= np.roll(maps[:, 1], 1, axis=-1)
    kernels = np.array([[[[1.0, 1.0]]], [[[1.0, -1.0]]]])
    power = np.stack([power_spectra(each) for each in np.split(maps, GROUPS)])
    found = spectral_independence(power, Kernels(kernels))
    assert found.score > 1.3
    assert found.swapped < 0.7


def direct(maps: np.ndarray, kernel: np.ndarray, down: int, dilation: int) -> float:
    """The ratio of one channel and one kernel by sums that say what they are."""
    side, large = maps.shape[-1], maps.shape[-1] * down

    def transform(values: dict[tuple[int, int], float], u: int, v: int) -> float:
        turned = (
            x * cmath.exp(-2j * cmath.pi * (u * row + v * column) / large)
            for (row, column), x in values.items()
        )
        return abs(sum(turned)) ** 2

    frequencies = [(u, v) for u in range(large) for v in range(large) if u % side or v % side]
    stuffed = [
        {(down * i, down * j): x[i, j] - x.mean() for i in range(side) for j in range(side)}
        for x in maps
    ]
    spread = {(dilation * i, dilation * j): k for (i, j), k in np.ndenumerate(kernel)}
    power = np.array([sum(transform(x, *f) for x in stuffed) for f in frequencies])
    gain = np.array([transform(spread, *f) for f in frequencies])
    return float((power * gain).mean() / (power.mean() * gain.mean()))


@pytest.mark.parametrize(
    ("side", "kernel_side", "down", "dilation"),
    [(4, 3, 1, 1), (4, 5, 1, 1), (3, 4, 2, 1), (4, 2, 1, 2)],
)
def test_the_score_is_that_of_a_slow_direct_sum(
    side: int, kernel_side: int, down: int, dilation: int
) -> None:
    maps = RANDOM.random((4, 2, side, side))
    kernels = RANDOM.standard_normal((2, 3, kernel_side, kernel_side))
    power = np.stack([power_spectra(x[np.newaxis]) for x in maps])
    given = Kernels(kernels, (down, down), (dilation, dilation))
    found = spectral_independence(power, given)
    own = [direct(maps[:, c], kernels[c, o], down, dilation) for c in range(2) for o in range(3)]
    others = [
        direct(maps[:, c], kernels[1 - c, o], down, dilation) for c in range(2) for o in range(3)
    ]
    assert found.score == pytest.approx(np.mean(own))
    assert found.spread == pytest.approx(np.std(own))
    assert found.swapped == pytest.approx(np.mean(others))


def test_errors_are_the_spread_over_new_samples() -> None:
    kernels = Kernels(np.ones((1, 1, 2, 2)))
    found = [spectral_independence(smooth_power(), kernels) for _ in range(150)]
    spread = np.std([each.score for each in found])
    assert np.mean([each.stderr for each in found]) == pytest.approx(spread, rel=0.25)


def test_dead_channels_and_kernels_of_zeros_are_left_out() -> None:
    power = np.concatenate([smooth_power(), np.zeros((GROUPS, 1, SIDE, SIDE))], axis=1)
    kernels = np.concatenate([RANDOM.standard_normal((1, 3, 3, 3))] * 2)
    kernels[0, 1] = 0.0
    found = spectral_independence(power, Kernels(kernels))
    alone = spectral_independence(power[:, :1], Kernels(kernels[:1, [0, 2]]))
    assert found.channel_pairs == alone.channel_pairs == 2
    assert found.score == pytest.approx(alone.score)
    # The live channel with the dead one's kernels, which are its own and one more.
    assert np.isfinite(found.swapped)
    assert np.isnan(alone.swapped)


def test_gains_of_an_upsampling_kernel_are_means_over_repetitions() -> None:
    kernel = RANDOM.standard_normal((1, 1, 4, 4))
    fine = kernel_gains(Kernels(kernel), 2 * SIDE, 2 * SIDE)[0, 0]
    found = kernel_gains(Kernels(kernel, (2, 2)), SIDE, SIDE)[0, 0]
    for u, v in ((0, 0), (3, 5)):
        repetitions = [fine[u + i * SIDE, v + j * SIDE] for i in range(2) for j in range(2)]
        assert found[u, v] == pytest.approx(np.mean(repetitions))


@pytest.mark.parametrize(
    ("power", "kernels", "said"),
    [
        (np.ones((2, 1, 1, 1)), delta(), "single pixel"),
        (np.ones((2, 2, 4, 4)), delta(), "do not read 2 channels"),
        (np.zeros((2, 1, 4, 4)), delta(), "no channel varies"),
        (np.ones((2, 1, 4, 4)), 0 * delta(), "all kernels are 0"),
    ],
)
def test_what_has_no_score_is_refused(power: np.ndarray, kernels: np.ndarray, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        spectral_independence(power, Kernels(kernels))
