"""Where in the picture a template has its weight, in numbers.

The code cannot know what a template shows (a face, hair, a background); it can measure where its
weight lies. The picture is cut at a quarter and at three quarters of its height and of its width,
which makes nine zones: the centre (a quarter of the area), four corners (a sixteenth each) and the
four sides between them (an eighth each). A region is a union of zones.
It must not know figures or the rest of the report: arrays in, words out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EVEN_MARGIN = 0.10
"""A region stands out when its share of the weight exceeds its share of the area by this."""

EVERYWHERE = "spread over the whole picture"
"""The region of a template whose weight is about even."""

NOWHERE = "nowhere: the template is zero"
"""The region of a template without weight."""

_EDGES = np.array([0.0, 0.25, 0.75, 1.0])

# Rows are top, middle, bottom; columns left, centre, right.
_REGIONS: dict[str, tuple[str, str, str]] = {
    "centre": ("...", ".x.", "..."),
    "left border": ("x..", "x..", "x.."),
    "right border": ("..x", "..x", "..x"),
    "top border": ("xxx", "...", "..."),
    "bottom border": ("...", "...", "xxx"),
    "left and right border": ("x.x", "x.x", "x.x"),
    "top and bottom border": ("xxx", "...", "xxx"),
    "top, left and right border": ("xxx", "x.x", "x.x"),
    "bottom, left and right border": ("x.x", "x.x", "xxx"),
    "border all around": ("xxx", "x.x", "xxx"),
    "upper left corner": ("x..", "...", "..."),
    "upper right corner": ("..x", "...", "..."),
    "lower left corner": ("...", "...", "x.."),
    "lower right corner": ("...", "...", "..x"),
    "four corners": ("x.x", "...", "x.x"),
    "top middle": (".x.", "...", "..."),
    "bottom middle": ("...", "...", ".x."),
    "centre and top": (".x.", ".x.", "..."),
    "centre and bottom": ("...", ".x.", ".x."),
    "middle column": (".x.", ".x.", ".x."),
    "middle row": ("...", "xxx", "..."),
}


@dataclass(frozen=True)
class Place:
    """Where a template lies: its best region, and its centre of weight.

    Attributes:
        region: The region that holds the most weight beyond its share of the area. It is
            `EVERYWHERE` if none stands out by `EVEN_MARGIN`, `NOWHERE` if there is no weight.
        share: Share of the template's weight in that region, 0 to 1.
        area: Share of the picture that the region covers, 0 to 1.
        across: Centre of weight from the left edge (0) to the right edge (1); NaN without weight.
        down: The same from the top edge (0) to the bottom edge (1).
    """

    region: str
    share: float
    area: float
    across: float
    down: float


def zone_shares(template: NDArray[np.floating]) -> NDArray[np.float64]:
    """Share of a template's weight in each of the nine zones.

    Args:
        template: (H, W), finite, not negative, not all zero. A pixel that a zone's edge crosses
            is divided between both zones.

    Returns:
        (3, 3), rows top, middle, bottom and columns left, centre, right; they add up to 1.

    Raises:
        ValueError: If the template is not like that.
    """
    if template.ndim != 2 or not np.isfinite(template).all() or (template < 0).any():
        raise ValueError(f"a template is a finite (H, W) array >= 0; this has {template.shape}")
    weights = template.astype(np.float64)
    if not weights.sum() > 0:
        raise ValueError("the template is zero everywhere, so it has no place")
    height, width = weights.shape
    shares: NDArray[np.float64] = _bands(height) @ (weights / weights.sum()) @ _bands(width).T
    return shares


def locate_template(template: NDArray[np.floating]) -> Place:
    """Measure where a template's weight lies.

    Args:
        template: (H, W), finite and not negative.

    Returns:
        Its place.

    Raises:
        ValueError: If the template is not like that.
    """
    if template.size and not template.any():
        return Place(NOWHERE, 0.0, 0.0, float("nan"), float("nan"))
    shares = zone_shares(template)
    areas = np.outer(np.diff(_EDGES), np.diff(_EDGES))
    masks = {name: np.array([list(row) for row in rows]) == "x" for name, rows in _REGIONS.items()}
    excess = {name: float((shares - areas)[mask].sum()) for name, mask in masks.items()}
    best = max(excess, key=lambda name: excess[name])
    across, down = _center_of_weight(template)
    if excess[best] < EVEN_MARGIN:
        return Place(EVERYWHERE, 1.0, 1.0, across, down)
    share, area = float(shares[masks[best]].sum()), float(areas[masks[best]].sum())
    return Place(best, share, area, across, down)


def describe_template(template: NDArray[np.floating]) -> str:
    """Say in a few words where a template's weight lies.

    Args:
        template: (H, W), finite and not negative.

    Returns:
        Such as ``centre (25 % of the picture, 64 % of the template)``.

    Raises:
        ValueError: If the template is not like that.
    """
    place = locate_template(template)
    if place.region in (EVERYWHERE, NOWHERE):
        return place.region
    share, area = f"{place.share:.0%}"[:-1], f"{place.area:.0%}"[:-1]
    return f"{place.region} ({area} % of the picture, {share} % of the template)"


def _bands(size: int) -> NDArray[np.float64]:
    """(3, size): the part of each pixel row that lies in the first, middle and last band."""
    starts = np.arange(size) / size
    overlap = np.minimum(starts + 1 / size, _EDGES[1:, None]) - np.maximum(
        starts, _EDGES[:-1, None]
    )
    covered: NDArray[np.float64] = np.clip(overlap, 0.0, None) * size
    return covered


def _center_of_weight(template: NDArray[np.floating]) -> tuple[float, float]:
    weights = template / template.sum(dtype=np.float64)
    height, width = weights.shape
    across = float(weights.sum(axis=0) @ ((np.arange(width) + 0.5) / width))
    down = float(weights.sum(axis=1) @ ((np.arange(height) + 0.5) / height))
    return across, down
