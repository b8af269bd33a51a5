"""Influence as Markdown: a line a level, then a table a level."""

from collections.abc import Mapping, Sequence

from benchmarks import markdown
from benchmarks.contest import ENGINE
from benchmarks.figures import Spread
from benchmarks.rows import BFLOAT16, FLOAT32, Row, best_hooks, fastest_of, rows_of

_SUMMARY = (
    "generator, level",
    "torch, float32",
    "torch, bfloat16",
    "graftscope, float32",
    "x torch, float32",
    "x torch, bfloat16",
    "of the limit",
    "graftscope, bfloat16, x torch, bfloat16",
)
_HEADS = ("way", "hybrids a second", "x best torch hooks, float32", "of the limit", "variant")
_NO_TORCH = " The generator is an ONNX file, so there is nothing of PyTorch to compare with."


def table(result: Mapping[str, object]) -> str:
    """All levels, the ratios first; torch is its fastest way with hooks, compiled or not."""
    lines, parts = [], []
    for name, levels in result.items():
        assert isinstance(levels, dict)
        if "skipped" in levels:
            parts.append(f"### {name}\n\nSkipped: {levels['skipped']}.")
            continue
        lines += [summary(f"{name}, {level}", rows_of(found)) for level, found in levels.items()]
        parts += [_level(f"{name}, {level}", found) for level, found in levels.items()]
    return "\n\n".join([markdown.table(_SUMMARY, lines), *parts])


def summary(title: str, rows: Sequence[Row]) -> list[str]:
    """What counts of a level, in one line."""
    torch32, torch16 = best_hooks(rows), best_hooks(rows, BFLOAT16)
    mine32, mine16 = (fastest_of(rows, [f"{ENGINE}, {x}"]) for x in (FLOAT32, BFLOAT16))
    medians = [markdown.count(Spread.of(x.rates).median) if x else "-" for x in (torch32, torch16)]
    return [
        title,
        *medians,
        markdown.count(Spread.of(mine32.rates).median) if mine32 else "-",
        _times(mine32, torch32),
        _times(mine32, torch16),
        _of_limit(mine32),
        _times(mine16, torch16),
    ]


def _level(title: str, found: Mapping[str, object]) -> str:
    needs, rows = found["needs"], rows_of(found)
    assert isinstance(needs, dict)
    against = best_hooks(rows)
    text = (
        f"{found['channels']} of {found['layer_channels']} channels; a hybrid needs "
        f"{needs['hybrid'] / 1e6:.2f} M multiply-adds, {needs['unshared'] / 1e6:.2f} M where "
        f"nothing is shared; {sum(needs['transcendentals'].values()):,.0f} transcendental "
        f"functions; and it moves {needs['moved_bytes'] / 1e3:.0f} kB.{_parts(found)}"
    )
    no_torch = "" if any(row.name.startswith("torch") for row in rows) else _NO_TORCH
    cells = [_cells(row, against) for row in [*rows, *_limit_rows(rows)]]
    return f"### {title}\n\n{text}{no_torch}\n\n{markdown.table(_HEADS, cells, text=(0, 4))}"


def _parts(found: Mapping[str, object]) -> str:
    """What each part of the limit takes."""
    least = found.get("least")
    assert least is None or isinstance(least, dict)
    return "".join(
        f" In {word}, all cores together, that takes {x['multiply_s'] * 1e6:.1f} µs, "
        f"{x['transcendental_s'] * 1e6:.1f} µs and {x['memory_s'] * 1e6:.1f} µs at least."
        for word, x in (least or {}).items()
    )


def _cells(row: Row, against: Row | None) -> list[str]:
    if not row.rates:
        return [row.name, "-", "-", "-", row.note]
    rates = markdown.spread(Spread.of(row.rates))
    return [row.name, rates, _times(row, against), _of_limit(row), row.note]


def _times(row: Row | None, against: Row | None) -> str:
    if row is None or against is None:
        return "-"
    return markdown.ratio(Spread.of_ratios(row.rates, against.rates))


def _of_limit(row: Row | None) -> str:
    if row is None or not row.limit:
        return "-"
    share = markdown.share(Spread.of_ratios(row.rates, row.limit).median)
    return f"{share}, {row.binds}" if row.binds else share


def _limit_rows(rows: Sequence[Row]) -> list[Row]:
    """The limits of both precisions as rows of their own."""
    limits = {row.name.rsplit(", ", 1)[1]: row for row in rows if row.limit}
    return [
        Row(f"limit, {word}", f"what is needed at least; {row.binds} decide", row.limit)
        for word, row in limits.items()
    ]
