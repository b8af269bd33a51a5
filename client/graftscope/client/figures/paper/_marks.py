"""One colour and one marker for each method, level and source of originals, in every figure.

It must not know any drawing library. Lines are told apart by their markers too, so that they can
be read in grey. Modules have the colours of `graftscope.client.figures.module_color`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Mark(NamedTuple):
    """How a series of points looks, and what it is called in a legend."""

    color: str
    marker: str
    name: str


METHODS: Mapping[str, Mark] = MappingProxyType(
    {
        "nmf": Mark("#004488", "o", "NMF"),
        "kmeans": Mark("#bb5566", "s", "k-means"),
        "pca": Mark("#c8940f", "^", "PCA"),
        "spectral": Mark("#6f6f6f", "D", "spectral"),
    }
)
"""Ways of clustering, by their names on the command line."""

LEVELS: Mapping[str, Mark] = MappingProxyType(
    {
        "coarse": Mark("#440f63", "D", "coarse"),
        "intermediate": Mark("#2a788e", "o", "intermediate"),
        "fine": Mark("#1fa67f", "s", "fine"),
        "image": Mark("#95b81f", "^", "image"),
    }
)
"""Levels of Fig. 4, from the latents to the image: lighter the nearer to the image."""

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
