"""The generators' hyperparameters beside the paper's (Table 1), typeset.

It must not know where they are written down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graftscope.client.figures._canvas import Box
from graftscope.client.figures._palette import INK, MUTED
from graftscope.client.figures.paper._page import BODY, DOUBLE, SMALL, Page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMES = 108.0
_PAD = 6.0
_MARK = 9.0
_LINE = 13.0
_BASE = 9.0
_ROW = 5.0
_DEPARTED = "#b3471d"


@dataclass(frozen=True)
class Cell:
    """One value of the table.

    Args:
        value: As used here, in words.
        departure: What the paper has instead, and why not here; empty where they agree. Cells with
            the same words share one note.
    """

    value: str
    departure: str = ""


@dataclass(frozen=True)
class Table1:
    """Input of `table1`.

    Args:
        generators: Names of the columns.
        rows: Names of the rows.
        cells: One sequence a row, one cell a column.
    """

    generators: Sequence[str]
    rows: Sequence[str]
    cells: Sequence[Sequence[Cell]]


def table1(table: Table1) -> "Figure":
    """Typeset Table 1 as used here; where it departs from the paper, a letter leads to a note.

    Args:
        table: Its values and departures.

    Returns:
        A figure of two columns' width.

    Raises:
        ValueError: If a row has another number of cells than there are columns.
        ReportExtraError: If matplotlib is not installed.
    """
    for name, cells in zip(table.rows, table.cells, strict=True):
        if len(cells) != len(table.generators):
            raise ValueError(
                f"row '{name}' has {len(cells)} cells; there are {len(table.generators)} columns"
            )
    return _Sheet(table).draw()


class _Sheet:
    """The table, wrapped to its columns before it is drawn, for its height is needed first."""

    def __init__(self, table: Table1) -> None:
        self._table = table
        self._column = (DOUBLE - _NAMES) / len(table.generators)
        self._notes = list(
            dict.fromkeys(c.departure for r in table.cells for c in r if c.departure)
        )
        measure = _Measure()
        wide = self._column - _PAD
        self._heads = [measure.wrapped(name, wide, BODY, bold=True) for name in table.generators]
        self._names = [measure.wrapped(name, _NAMES - _PAD, BODY) for name in table.rows]
        # Room for the mark, so that it never stands alone on a line.
        self._cells = [
            [measure.wrapped(c.value, wide - (_MARK if c.departure else 0), BODY) for c in cells]
            for cells in table.cells
        ]
        self._foot = [measure.wrapped(note, DOUBLE - 14, SMALL) for note in self._notes]
        self._width_of = measure.width

    def draw(self) -> "Figure":
        """Draw rules, head, rows and notes from top to bottom."""
        heights = [
            max(len(lines) for lines in (name, *cells)) * _LINE + _ROW
            for name, cells in zip(self._names, self._cells, strict=True)
        ]
        head = max(len(lines) for lines in self._heads) * _LINE + _ROW
        foot = sum(len(lines) for lines in self._foot) * _LINE
        page = Page(DOUBLE, 12 + head + sum(heights) + foot + (8 if foot else 0))
        _rule(page, 2, 1.4)
        for column, lines in enumerate(self._heads):
            _lines(page, self._x(column), 6, lines, bold=True)
        _rule(page, 5 + head, 0.8)
        y = 9 + head
        for row, height in enumerate(heights):
            self._row(page, row, y)
            y += height
        _rule(page, y, 1.4)
        self._footnotes(page, y + 8)
        return page.figure

    def _x(self, column: int) -> float:
        return _NAMES + column * self._column

    def _row(self, page: Page, row: int, y: float) -> None:
        _lines(page, 0, y, self._names[row])
        for column, cell in enumerate(self._table.cells[row]):
            lines = self._cells[row][column]
            departed = bool(cell.departure)
            _lines(page, self._x(column), y, lines, color=_DEPARTED if departed else INK)
            if departed:
                x = self._x(column) + self._width_of(lines[-1], BODY) + 1.5
                letter = _letter(self._notes.index(cell.departure))
                top = y + (len(lines) - 1) * _LINE
                _mark(page, x, top - 2.5, letter)

    def _footnotes(self, page: Page, y: float) -> None:
        for index, lines in enumerate(self._foot):
            _mark(page, 0, y - 1, _letter(index))
            _lines(page, 12, y, lines, points=SMALL, color=MUTED)
            y += len(lines) * _LINE


class _Measure:
    """How wide words come out, in layout pixels."""

    def __init__(self) -> None:
        self._page = Page(DOUBLE, 10)

    def width(self, words: str, points: float, *, bold: bool = False) -> float:
        """The width of one line."""
        before = len(self._page.figure.axes[0].texts)
        self._page.write(0, 0, words, points=points, bold=bold)
        text = self._page.figure.axes[0].texts[before]
        width = float(text.get_window_extent().width)
        text.remove()
        return width

    def wrapped(self, words: str, wide: float, points: float, *, bold: bool = False) -> list[str]:
        """Break words into lines that fit; a word that is wider stands alone."""
        lines = [""]
        for word in words.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and self.width(longer, points, bold=bold) > wide:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines


def _lines(
    page: Page,
    x: float,
    y: float,
    lines: Sequence[str],
    *,
    points: float = BODY,
    color: str = INK,
    bold: bool = False,
) -> None:
    for i, line in enumerate(lines):
        below = y + i * _LINE + _BASE
        page.write(x, below, line, points=points, color=color, bold=bold, anchor="baseline")


def _mark(page: Page, x: float, y: float, letter: str) -> None:
    page.write(x, y + _BASE, letter, points=SMALL, color=_DEPARTED, bold=True, anchor="baseline")


def _rule(page: Page, y: float, width: float) -> None:
    page.block(Box(0, y, DOUBLE, width), INK)


def _letter(index: int) -> str:
    return chr(ord("a") + index)
