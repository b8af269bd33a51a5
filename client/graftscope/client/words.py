"""Numbers in words: counts, durations, sizes, times. It must not know what they are of."""

import math
from datetime import datetime


def counted(number: int, thing: str) -> str:
    """Put a number before what it counts: 1 hybrid, 8 hybrids, 1,000 pairs."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def number(value: float, digits: int = 2) -> str:
    """Put a number in words, and one that there is none of as a dash."""
    return f"{value:z.{digits}f}" if math.isfinite(value) else "-"


def with_spread(value: float, spread: float, digits: int = 2) -> str:
    """Put a number and its spread in words: 0.93 ± 0.04; a dash for one that there is none of."""
    if not math.isfinite(value):
        return "-"
    return f"{number(value, digits)} ± {number(spread, digits)}"


def with_error(value: float, error: float, sign: str = "") -> str:
    """Put a number and its standard error in words, both to the error's second digit: 3.36 ± 0.14.

    Args:
        value: The number; a dash stands for one that there is none of.
        error: Its standard error.
        sign: "+" puts a plus before what is above 0.
    """
    if not math.isfinite(value):
        return "-"
    if not 0 < error < math.inf:
        return f"{value:{sign}z.3g}"
    digits = min(max(0, 1 - math.floor(math.log10(error))), 9)
    return f"{value:{sign}z.{digits}f} ± {error:.{digits}f}"


def rounded(value: float) -> str:
    """Put an amount in two or three digits: 0.12, 3.4, 56, 1.2 k, 340 M; a dash for 0, unknown."""
    if value == 0:
        return "-"
    for unit in ("", " k", " M", " G"):
        if value < 999.5 or unit == " G":
            break
        value /= 1000
    return (f"{value:.0f}" if value >= 9.95 else f"{value:.2g}") + unit


def duration(seconds: float) -> str:
    """Put a duration in words: 0.4 s, 12 s, 3 min, 2.5 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def when(time: datetime | None) -> str:
    """Put a time in words, in the user's zone: 2024-05-06 12:30:00."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else "-"


def size(count: float) -> str:
    """Put a number of bytes in words: 512 B, 1.5 kB, 4.2 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
