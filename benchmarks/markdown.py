"""Tables in Markdown, their columns as wide as what stands in them."""

from collections.abc import Collection, Sequence

from benchmarks.figures import Exponent, Spread


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, text: Collection[int] = (0,)
) -> str:
    """A table.

    Args:
        heads: one a column.
        rows: as many cells each.
        text: indices of the columns that start at the left; numbers end at the right.
    """
    lines = [heads, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    rule = [_rule(width, i in text) for i, width in enumerate(widths)]
    written = [
        [x.ljust(width) if i in text else x.rjust(width) for i, (x, width) in enumerate(cells)]
        for cells in (zip(line, widths, strict=True) for line in lines)
    ]
    texts = ["| " + " | ".join(cells) + " |" for cells in written]
    return "\n".join([texts[0], "|" + "|".join(rule) + "|", *texts[1:]])


def _rule(width: int, text: bool) -> str:
    dashes = "-" * (width + 1)
    return f":{dashes}" if text else f"{dashes}:"


def count(value: float) -> str:
    """A number of things: three digits that count, thousands apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(value: Spread) -> str:
    """A median with its extremes."""
    return f"{count(value.median)} ({count(value.low)}-{count(value.high)})"


def ratio(value: Spread) -> str:
    """A ratio with its extremes."""
    return f"{value.median:.2f} ({value.low:.2f}-{value.high:.2f})"


def share(value: float) -> str:
    """A share in per cent."""
    return f"{100 * value:.0f} %"


def power(value: Exponent) -> str:
    """An exponent, with its standard error where it has one."""
    error = "" if value.stderr is None else f" ± {value.stderr:.2f}"
    return f"{value.slope:.2f}{error}"
