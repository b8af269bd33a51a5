"""The one comparison that a proof consists of."""

import numpy as np
from numpy.typing import NDArray

from graftscope.exporter.errors import ProofError


def compare(
    what: str, found: NDArray[np.floating], expected: NDArray[np.floating], allowed: float
) -> None:
    """Refuse numbers that are further apart than allowed.

    Args:
        what: What was computed; begins the message.
        found: The numbers.
        expected: What they should be, of the same shape.
        allowed: The largest difference.

    Raises:
        ProofError: If the shapes differ, or a difference is larger or not a number.
    """
    if found.shape != expected.shape:
        raise ProofError(f"{what} has shape {found.shape}, not {expected.shape}")
    difference = float(np.abs(found.astype(np.float64) - expected).max())
    # Written so that a difference that is not a number is refused too.
    if not difference <= allowed:
        raise ProofError(f"{what} is off by {difference:.3g}; allowed: {allowed:.3g}")
