"""How the report writes numbers. It must not know what they mean."""

import math
import re

NO_BREAK = "\N{NO-BREAK SPACE}"


def number(value: float) -> str:
    """Three significant digits, or a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.3g}"  # noqa: RUF001


def count(value: int) -> str:
    """A whole number with separators for thousands."""
    return f"{value:,}"


def percent(share: float, digits: int = 0) -> str:
    """A share, 0 to 1, in percent, or a dash for NaN.

    Below one percent it has two significant digits, so that no small amount reads as zero.
    """
    if math.isnan(share):
        return "–"  # noqa: RUF001
    amount = 100 * share
    if 0 < amount < 1:
        digits = 1 - math.floor(math.log10(amount))
    return f"{amount:.{digits}f}{NO_BREAK}%"


def plural(amount: int, word: str) -> str:
    """The amount and the word, with an s where it takes one."""
    return f"{count(amount)} {word}" if amount == 1 else f"{count(amount)} {word}s"


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if seconds < 10:
        return f"{seconds:.1f}{NO_BREAK}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NO_BREAK}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{NO_BREAK}min {rest:02d}{NO_BREAK}s"
    return f"{minutes // 60}{NO_BREAK}h {minutes % 60:02d}{NO_BREAK}min"


def listing(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def slug(name: str) -> str:
    """A name made fit for a file name and an HTML id."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "layer"


def unbroken(words: str) -> str:
    """The same words, with no line break before a percent sign."""
    return words.replace(" %", f"{NO_BREAK}%")
