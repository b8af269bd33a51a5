"""What figures are drawn from: numbers with their errors; and one colour and one marker for each
method, level and source of originals, in every figure.

It must not know any drawing library. Colours of one kind can be told apart with every common kind
of colour blindness; markers differ too, so that lines can be read in grey. Modules have the colours
of `graftscope.client.figures.module_color`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import deviation_of_known, mean_of_known

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class ErrorBars:
    """Numbers, each with its error.

    Args:
        value: Of any shape; NaN where there is none, and nothing is drawn.
        error: Of the same shape: half the length of the error bar; NaN draws no bar.
    """

    value: Floats
    error: Floats

    def __getitem__(self, row: int) -> "ErrorBars":
        """One row of them."""
        return ErrorBars(self.value[row], self.error[row])

    def times(self, factor: float) -> "ErrorBars":
        """All of them in a smaller unit."""
        return ErrorBars(factor * self.value, factor * self.error)


def over_repeats(values: Floats) -> ErrorBars:
    """Mean and standard deviation over the last axis, without what is NaN.

    Args:
        values: (..., R); a run that did not settle is NaN.

    Returns:
        (...) the mean, NaN where every repeat is, and the deviation (of a sample: R - 1), NaN
        where fewer than two are left.
    """
    return ErrorBars(mean_of_known(values), deviation_of_known(values))


class Mark(NamedTuple):
    """How a series of points looks, and what it is called in a legend."""

    color: str
    marker: str
    name: str


METHODS: Mapping[str, Mark] = MappingProxyType(
    {
        "nmf": Mark("#004488", "o", "NMF"),
        "kmeans": Mark("#8f2432", "s", "k-means"),
        "pca": Mark("#ce9d00", "^", "PCA"),
        "spectral": Mark("#8d8d8d", "D", "spectral"),
        "agglomerative": Mark("#3bb868", "v", "agglomerative"),
    }
)
"""Ways of clustering, by their names on the command line."""

LEVELS: Mapping[str, Mark] = MappingProxyType(
    {
        "coarse": Mark("#2b1a6b", "D", "coarse"),
        "intermediate": Mark("#c2401c", "o", "intermediate"),
        "fine": Mark("#2f9fd0", "s", "fine"),
        "image": Mark("#e0b000", "^", "image"),
    }
)
"""Levels of Fig. 4, from the latents to the image: lighter the nearer to the image."""

PLACES: Sequence[Mark] = tuple(LEVELS.values())
"""Layers that are of no level, by their place."""

SOURCES: Mapping[str, Mark] = MappingProxyType(
    {
        "real": Mark("#20252c", "o", "real images"),
        "encoded": Mark("#aa4499", "s", "encoded"),
        "prior": Mark("#999933", "^", "prior"),
    }
)
"""Where originals come from."""


def mark_of(marks: Mapping[str, Mark], name: str) -> Mark:
    """Look up how something is drawn.

    Args:
        marks: `METHODS`, `LEVELS` or `SOURCES`.
        name: Its name there.

    Returns:
        Its colour, marker and name in a legend.

    Raises:
        ValueError: If it has none.
    """
    if name not in marks:
        raise ValueError(f"'{name}' has no colour in the figures; there are: {', '.join(marks)}")
    return marks[name]
