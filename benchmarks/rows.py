"""What the ways did, and whom they are compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from benchmarks.contest import HOOKS, WORDS
from benchmarks.figures import Spread

FLOAT32, BFLOAT16 = WORDS[torch.float32], WORDS[torch.bfloat16]


@dataclass(frozen=True)
class Row:
    """What one way did.

    Attributes:
        name: the way and its precision.
        note: how its fastest variant runs, or why it did not run.
        rates: hybrids a second in every round; empty if it did not run.
        deviation: from this engine's maps in float32: in float32 the largest difference as a share
            of the largest influence, in bfloat16 the largest of individual influences, relative.
        limit: what the machine allows in its precision, hybrids a second in every round.
        binds: the part of the limit that decides.
    """

    name: str
    note: str
    rates: tuple[float, ...] = ()
    deviation: float | None = None
    limit: tuple[float, ...] = ()
    binds: str = ""


def rows_of(found: Mapping[str, object]) -> list[Row]:
    """The rows of one level, from plain values."""
    listed = found["rows"]
    assert isinstance(listed, list)
    return [Row(**x) for x in listed]


def best_hooks(rows: Sequence[Row], precision: str = FLOAT32) -> Row | None:
    """The fastest of PyTorch's ways with hooks on the untouched network, compiled or not.

    Args:
        rows: of one level.
        precision: float32 or bfloat16.
    """
    return fastest_of(rows, [f"{name}, {precision}" for name in HOOKS])


def fastest_of(rows: Sequence[Row], names: Sequence[str]) -> Row | None:
    """The fastest of the rows of these names that ran."""
    ran = [row for row in rows if row.name in names and row.rates]
    return max(ran, key=lambda row: Spread.of(row.rates).median, default=None)
