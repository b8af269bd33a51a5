"""How channels are grouped into modules, and what of a map counts."""

from enum import StrEnum
from typing import Annotated, TypeAlias

from graftscope.client.arrays import Flag, Real, Whole, Word

MAPS = "Influence maps"
"""The heading of the command line's options."""


class Method(StrEnum):
    """How channels are grouped into modules: by their maps (section 3.3), or by what they do in
    every pair (section 5).
    """

    NMF = "nmf"
    KMEANS = "kmeans"
    PCA = "pca"
    SPECTRAL = "spectral"
    AGGLOMERATIVE = "agglomerative"

    @property
    def needs_products(self) -> bool:
        """Whether it groups by `InfluenceResult.products`, not by maps alone."""
        return self in (Method.PCA, Method.SPECTRAL)

    @property
    def is_drawn(self) -> bool:
        """Whether its seed can matter: agglomerative clustering draws no random numbers."""
        return self is not Method.AGGLOMERATIVE


GroupingMethod: TypeAlias = Annotated[
    Method,
    Word(Method),
    Flag(
        "--method",
        "METHOD",
        "How channels are grouped: nmf, kmeans, agglomerative by where their maps are large; pca, "
        "spectral by what they do in every pair, for images that are not aligned in space.",
    ),
]
GroupingSeed: TypeAlias = Annotated[
    int,
    Whole(),
    Flag("--clustering-seed", "S", "Decides only the grouping, 0 to 4294967295. Default: --seed."),
]
KS_FLAG = Flag(
    "--k",
    "2-10|2,3,4",
    "Numbers of modules: a range, or some with commas. Default: 2 to 10, as far as there are "
    "channels.",
)
Window: TypeAlias = Annotated[
    int,
    Whole(1, odd=True),
    Flag("--window", "N", "Maps are averaged over windows of N x N pixels first; odd.", MAPS),
]
Percentile: TypeAlias = Annotated[
    float,
    Real(0, 100, inside=True),
    Flag(
        "--percentile",
        "P",
        "A pixel counts where its map is above its own percentile P, between 0 and 100.",
        MAPS,
    ),
]
