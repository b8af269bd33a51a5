"""What every analysis of a module's worth is: pieces of work, and what comes of them.

It must not know what is measured.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

BATCH_PAIRS = 32
"""Pairs of a piece of work, unless an analysis says otherwise; a shard of influence has as many."""

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")


class Each(Protocol):
    """Does one thing for several items: in their order, side by side where there are threads."""

    def __call__(
        self, work: Callable[[_Item], _Value], items: Iterable[_Item], /
    ) -> Iterable[_Value]:
        """What the work gives for each item; every one counts as a piece that is done.

        Raises:
            Cancelled: nobody wants them any more.
        """


@dataclass(frozen=True, eq=False)
class Found:
    """What an analysis found.

    Attributes:
        arrays: by the names that the contract's response gives them.
        scalars: everything else, likewise: numbers, texts, lists and mappings of such.
    """

    arrays: Mapping[str, NDArray[Any]]
    scalars: Mapping[str, Any]


class Measure(Protocol):
    """An analysis, ready to run. To make one is cheap: large arrays are read when it runs."""

    @property
    def pieces(self) -> int:
        """How many items it hands to `each`, in all."""

    @property
    def hybrids(self) -> int:
        """How many images of hybrids it makes."""

    @property
    def bytes(self) -> int:
        """What it holds of memory at most, beside the runs of the generator."""

    def look(self, images: NDArray[np.float32], /) -> None:
        """Does with hybrids (B, c, H, W) what it does with each of them, to be timed."""

    def run(self, each: Each) -> Found:
        """Measures; blocks.

        Args:
            each: does the pieces of work.

        Raises:
            InvalidInput: what was asked cannot be measured, which only shows while it is.
            Cancelled: nobody wants it any more.
        """


def batches(first: int, count: int, size: int = BATCH_PAIRS) -> list[range]:
    """Indices of pairs in pieces, the last one shorter where they do not divide.

    Args:
        first: index of the first pair.
        count: how many pairs.
        size: pairs of a piece.
    """
    end = first + count
    return [range(start, min(start + size, end)) for start in range(first, end, size)]


def in_order(work: Callable[[_Item], _Value], items: Iterable[_Item]) -> Iterator[_Value]:
    """The simplest `Each`: one after another, in the thread that asks."""
    return map(work, items)


def joined(parts: Iterable[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Arrays of pieces, by name, one after another along their first axis."""
    made = list(parts)
    return {name: np.concatenate([each[name] for each in made]) for name in made[0]}
