"""A card: what a notebook shows of one value, as HTML of a bounded size.

There are no scripts and no addresses in it, and all text is escaped. Colours are the notebook's
own, so that it reads on light and on dark. It must not know which value it shows.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MOST_BYTES = 200_000
"""No card is larger."""

_PICTURE_BYTES = 150_000
_TEXT = 400
_ROWS = 10
_CELLS = 12
_LINES = 24

_STYLE = """<style>
.graftscope{color:inherit;font-size:13px;line-height:1.45;max-width:60rem;overflow-wrap:anywhere}
.graftscope p{margin:0 0 .4em}
.graftscope .gs-soft{opacity:.75}
.graftscope .gs-tiles{display:flex;flex-wrap:wrap;gap:10px 8px;margin:.5em 0;overflow-x:auto}
.graftscope figure{margin:0;text-align:left}
.graftscope figcaption{font-size:11px;line-height:1.3;margin-top:2px}
.graftscope img{image-rendering:pixelated;display:block;margin:0;max-width:none}
.graftscope table{border-collapse:collapse;margin:.5em 0;font-size:12px}
.graftscope caption{text-align:left;caption-side:top;padding:0 0 2px;color:inherit;opacity:.75}
.graftscope th,.graftscope td{padding:1px 14px 1px 0;text-align:right;white-space:nowrap;border:0}
.graftscope th:first-child,.graftscope td:first-child{text-align:left}
.graftscope thead th{border-bottom:1px solid;font-weight:600}
.graftscope dl{display:grid;grid-template-columns:max-content 1fr;gap:0 12px;margin:.5em 0 0;font-size:12px}
.graftscope dt{opacity:.75;font-weight:400}
.graftscope dd{margin:0}
</style>"""  # noqa: E501


@dataclass(frozen=True)
class Tile:
    """A picture with words below it.

    Args:
        png: The bytes of a PNG file, as base64.
        width: Layout pixels it is shown with.
        height: Likewise.
        caption: The words below.
        alt: What it shows, for who does not see it.
        color: Of a line above it, ``#rrggbb``; empty for none.
    """

    png: str
    width: int
    height: int
    caption: str
    alt: str
    color: str = ""

    def to_html(self) -> str:
        """Write it; the pixels are shown as they are."""
        lines = "<br>".join(escaped(line) for line in self.caption.split("\n"))
        mark = f' style="border-top:4px solid {self.color};padding-top:2px"' if self.color else ""
        return (
            f'<figure{mark}><img src="data:image/png;base64,{self.png}" width="{self.width}"'
            f' height="{self.height}" alt="{escaped(self.alt)}"'
            f' style="image-rendering:pixelated">'
            f"<figcaption>{lines}</figcaption></figure>"
        )


@dataclass(frozen=True)
class Table:
    """Rows of text below a line that says what they are.

    Args:
        caption: What the rows are.
        heads: The columns' names, with their units.
        rows: As many cells each; those behind the tenth row are left out, and told so.
        of: How many rows there are in all; None for those that are given.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    of: int | None = None

    def to_html(self) -> str:
        """Write it."""
        shown = self.rows[:_ROWS]
        count = len(self.rows) if self.of is None else self.of
        more = f" ({len(shown)} of {count:,})" if count > len(shown) else ""
        heads = "".join(f'<th scope="col">{escaped(each)}</th>' for each in self.heads[:_CELLS])
        rows = "".join(
            f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row[:_CELLS])}</tr>"
            for row in shown
        )
        return (
            f"<table><caption>{escaped(self.caption + more)}</caption>"
            f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        )


@dataclass(frozen=True)
class Card:
    """What is shown of one value.

    Args:
        title: What it is, in a few words.
        of: What of, in a line.
        tiles: Pictures, the most telling first: what does not fit is left out, and told so.
        tiles_of: How many pictures there could be; None for those that are given.
        tiles_are: What the pictures are, in a sentence.
        columns: How many pictures stand side by side; 0 for as many as there is room for.
        tables: Tables below.
        notes: Sentences below.
        origin: Where it came from, in words by names.
    """

    title: str
    of: str = ""
    tiles: Sequence[Tile] = ()
    tiles_of: int | None = None
    tiles_are: str = ""
    columns: int = 0
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    origin: dict[str, str] = field(default_factory=dict)

    def to_html(self) -> str:
        """Write it, in less than `MOST_BYTES`."""
        of = f" <span>{escaped(self.of)}</span>" if self.of else ""
        parts = [_STYLE, f"<p><b>{escaped(self.title)}</b>{of}</p>"]
        if self.tiles:
            parts += self._pictures()
        parts += [each.to_html() for each in self.tables[:4]]
        parts += [f"<p>{escaped(note)}</p>" for note in self.notes[:_LINES]]
        if self.origin:
            told = "".join(
                f"<dt>{escaped(name)}</dt><dd>{escaped(words)}</dd>"
                for name, words in list(self.origin.items())[:_LINES]
            )
            parts.append(f"<dl>{told}</dl>")
        return f'<div class="graftscope">{"".join(parts)}</div>'

    def _pictures(self) -> Iterable[str]:
        shown: list[str] = []
        used = 0
        for tile in self.tiles:
            text = tile.to_html()
            used += len(text)
            if used > _PICTURE_BYTES:
                break
            shown.append(text)
        count = len(self.tiles) if self.tiles_of is None else self.tiles_of
        more = f" Shown: {len(shown)} of {count:,}." if count > len(shown) else ""
        if self.tiles_are or more:
            yield f'<p class="gs-soft">{escaped((self.tiles_are + more).strip())}</p>'
        grid = f"display:grid;grid-template-columns:repeat({self.columns},max-content)"
        style = f' style="{grid}"' if self.columns else ""
        yield f'<div class="gs-tiles"{style}>{"".join(shown)}</div>'


def escaped(text: str) -> str:
    """Make text safe between and inside tags, and cut it where it is longer than anybody reads."""
    cut = text if len(text) <= _TEXT else f"{text[: _TEXT - 1]}…"
    return html.escape(cut, quote=True)
