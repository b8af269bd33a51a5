"""Fits the quotient of polynomials that compiled code computes tanh by, and prints its powers.

    python tools/tanh.py

x * P(x^2) / Q(x^2) comes closest to tanh in relative error up to `SATURATED`: least squares on
Chebyshev polynomials, weighted anew until no place is worse than the others (Lawson's algorithm).
Rounding in float32 adds more than the fit leaves; tests/test_engine_compiled.py asserts their sum.
"""

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

SATURATED = 7.9
DEGREE = 4

_PLACES = 500
_ROUNDS = 300


def fit() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Powers of x^2 in P and in Q, the lowest first; Q begins with 1."""
    x = SATURATED * (1 - np.cos(np.pi * (np.arange(_PLACES) + 0.5) / _PLACES)) / 2
    wanted = np.tanh(x) / x
    basis = np.polynomial.chebyshev.chebvander(2 * (x / SATURATED) ** 2 - 1, DEGREE)
    weights, below, best = np.ones(_PLACES), np.ones(_PLACES), (np.inf, np.empty(0))
    for _ in range(_ROUNDS):
        rows = np.hstack([basis / wanted[:, None], -basis]) / below[:, None]
        # The closest P / wanted - Q to 0 that is not 0 everywhere.
        powers = np.linalg.svd(rows * np.sqrt(weights)[:, None], full_matrices=False)[2][-1]
        above, below = basis @ powers[: DEGREE + 1], basis @ powers[DEGREE + 1 :]
        error = np.abs(above / below / wanted - 1)
        best = min(best, (float(error.max()), powers), key=lambda found: found[0])
        weights *= error / error.max() + 1e-3
        weights /= weights.mean()
    p, q = (_powers(best[1][part]) for part in np.s_[: DEGREE + 1, DEGREE + 1 :])
    return p / q[0], q / q[0]


def _powers(chebyshev: NDArray[np.float64]) -> NDArray[np.float64]:
    series = Chebyshev(chebyshev, domain=[0, SATURATED**2])
    powers = series.convert(kind=Polynomial, domain=[-1, 1], window=[-1, 1]).coef
    return np.asarray(powers, np.float64)


if __name__ == "__main__":
    for name, powers in zip("PQ", fit(), strict=True):
        print(name, *(f"{power:.8e}" for power in powers))
