"""What a page is told of every channel of a layer: where it acts, and how much."""

import math

import numpy as np
from numpy.typing import NDArray

from graftscope.client import InfluenceResult, Json
from graftscope.client.values import PartialMaps
from graftscope.explorer._told import Answer, Picture

LONGEST_SIDE = 64
"""Of a map as a page gets it, in pixels."""

MOST_BYTES = 2**20
"""Of all maps together: 256 of 64 x 64 pixels, 1,024 of 32 x 32."""

_DIGITS = 5


def channels_told(influence: PartialMaps | InfluenceResult, width: float) -> Answer:
    """Say what is known of every channel.

    Args:
        influence: Of each by itself, in the order of the layer.
        width: Of the image range.

    Returns:
        Individual influences, their standard errors and the highest pixel of each map, all as
        shares of the range; and one picture of all maps, one below the other, each from 0 to its
        own highest pixel. A map that is too large is averaged over areas, and not smoothed.
    """
    maps = reduced(influence.maps, longest_side(len(influence.maps)))
    peaks = maps.max(axis=(1, 2))
    count, rows, columns = maps.shape
    fields: dict[str, Json] = {
        "channels": {
            "count": count,
            "pairs": influence.pairs,
            "height": rows,
            "width": columns,
            "peaks": _shares(peaks, width),
            "influence": _shares(influence.individual, width),
            "errors": _shares(influence.individual_stderr, width),
        }
    }
    shares = maps / np.where(peaks > 0, peaks, 1.0)[:, np.newaxis, np.newaxis]
    return Answer(fields, [Picture("maps", levels(shares.reshape(count * rows, columns)))])


def longest_side(count: int) -> int:
    """How many pixels a side of each of so many maps may have."""
    return max(1, min(LONGEST_SIDE, math.isqrt(MOST_BYTES // count)))


def reduced(maps: NDArray[np.floating], side: int) -> NDArray[np.float64]:
    """(C, H, W) maps, averaged over areas where a side is longer."""
    found = np.asarray(maps, np.float64)
    for axis in (1, 2):
        length = found.shape[axis]
        if length > side:
            starts = np.arange(side) * length // side
            sizes = np.diff(starts, append=length)
            shape = (1, -1, 1) if axis == 1 else (1, 1, -1)
            found = np.add.reduceat(found, starts, axis=axis) / sizes.reshape(shape)
    return found


def levels(shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(H, W, 1) levels of shares, 0 to 1, as a page colours them."""
    found: NDArray[np.uint8] = np.round(255 * shares.clip(0, 1)).astype(np.uint8)[..., np.newaxis]
    return found


def _shares(values: NDArray[np.floating], width: float) -> list[Json]:
    """Of the range, with as many digits as anybody reads; None for what is not known."""
    return [
        float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
        for value in (values / width).tolist()
    ]
