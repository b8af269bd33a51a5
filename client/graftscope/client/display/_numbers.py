"""Numbers with their standard errors, in few digits."""

import math

UNKNOWN = "-"


def percent(share: float, stderr: float | None = None) -> str:
    """Put a share in per cent, with its standard error: ``3.21 ± 0.10``; a dash where unknown."""
    digits = 2 if abs(share) < 0.995 else 1
    told = _fixed(100 * share, digits)
    return told if stderr is None else f"{told} ± {_fixed(100 * stderr, digits)}"


def short(value: float, stderr: float | None = None) -> str:
    """Put a number in three digits, with its standard error in two; a dash where unknown."""
    told = UNKNOWN if math.isnan(value) else f"{value:.3g}"
    if stderr is None:
        return told
    return f"{told} ± {UNKNOWN if math.isnan(stderr) else f'{stderr:.2g}'}"


def _fixed(value: float, digits: int) -> str:
    return UNKNOWN if math.isnan(value) else f"{value:.{digits}f}"
