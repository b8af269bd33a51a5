"""Wilson's intervals of shares: how far a count among some trials pins a probability down.

Unlike the normal approximation's, they never leave 0 to 1, and say something of a share of 0 or 1
too (E. B. Wilson, 1927; equation 4 of Brown, Cai and DasGupta, 2001).
"""

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError

Z_95 = 1.959963984540054
"""The normal distribution is within so many standard deviations with a probability of 0.95."""

Floats = npt.NDArray[np.float64]


def wilson_interval(
    share: npt.ArrayLike, trials: npt.ArrayLike, z: float = Z_95
) -> tuple[Floats, Floats]:
    """The interval of a probability, by how often something happened.

    Args:
        share: In which share of the trials it happened, 0 to 1; NaN where there were none.
        trials: How many independent trials there were, at least 0; broadcast against `share`.
        z: Half the interval's width in standard deviations; 1.96 for 95 %.

    Returns:
        Its low and its high end, each 0 to 1; 0 and 1 where there were no trials.

    Raises:
        InvalidInputError: A share lies outside 0 to 1, or a number of trials below 0.
    """
    p, n = np.broadcast_arrays(
        np.asarray(share, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    )
    tried = n > 0
    if (n < 0).any() or not np.isfinite(n).all():
        raise InvalidInputError("trials must be numbers of at least 0", "trials")
    if not ((p[tried] >= 0) & (p[tried] <= 1)).all():
        raise InvalidInputError("shares must be from 0 to 1", "share")
    known = np.where(tried, p, 0.5)
    count = np.where(tried, n, 1.0)
    middle = known + z**2 / (2 * count)
    spread = z * np.sqrt(known * (1 - known) / count + z**2 / (4 * count**2))
    whole = 1 + z**2 / count
    low = np.clip((middle - spread) / whole, 0.0, known)
    high = np.clip((middle + spread) / whole, known, 1.0)
    return np.where(tried, low, 0.0), np.where(tried, high, 1.0)
