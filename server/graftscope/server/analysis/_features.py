"""What channels are grouped by (section 3.3): their maps, smoothed and made binary, and products.

Axes: C channels, H and W the map's size, P = H W pixels. This module must not know how channels are
grouped afterwards.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, finite_array, require_smoothing

DEFAULT_WINDOW = 3
DEFAULT_PERCENTILE = 75.0

# Products are sums of squares over many pairs, the same in both triangles up to rounding.
_SYMMETRY = 1e-9


@dataclass(frozen=True, eq=False)
class BinaryMaps:
    """The matrix S of section 3.3.

    Attributes:
        matrix: Which pixels each channel influences most, shape (C, P), bool, pixels row by row.
        empty: Indices of the channels without any such pixel, ascending, int64: a constant map,
            or one whose largest value fills more of the image than the percentile leaves.
        map_shape: (H, W).
    """

    matrix: npt.NDArray[np.bool_]
    empty: npt.NDArray[np.int64]
    map_shape: tuple[int, int]

    @property
    def nonempty(self) -> npt.NDArray[np.int64]:
        """Indices of the other channels, ascending."""
        return np.setdiff1d(np.arange(len(self.matrix)), self.empty).astype(np.int64)


def preprocess(
    maps: npt.ArrayLike, window: int = DEFAULT_WINDOW, percentile: float = DEFAULT_PERCENTILE
) -> BinaryMaps:
    """Smooths each map and keeps the pixels above its own percentile.

    Args:
        maps: Influence maps, shape (C, H, W), finite.
        window: Side of the box filter in pixels, odd, from 1 (no smoothing) to the map's longest
            side; beyond the border the nearest pixel is repeated.
        percentile: Between 0 and 100, both excluded; interpolated linearly.

    Returns:
        The binary matrix, and which of its rows are empty.

    Raises:
        InvalidInputError: The window is even or below 1, the percentile is out of range, or the
            maps have another shape or values that are not finite.
    """
    values = finite_array("maps", maps, "CHW")
    channels, height, width = values.shape
    require_smoothing(window, percentile, max(height, width))
    smooth = _box_filter(values, window).reshape(channels, height * width)  # (C, P)
    thresholds = np.percentile(smooth, percentile, axis=1, keepdims=True, method="linear")
    matrix = smooth > thresholds
    empty = np.flatnonzero(~matrix.any(axis=1)).astype(np.int64)
    return BinaryMaps(matrix, empty, (height, width))


@dataclass(frozen=True, eq=False)
class Features:
    """Channels that can be grouped, all of them or some.

    Attributes:
        binary: The matrix S of section 3.3.
        products: Mean over pairs and pixels of the product of two channels' effects in the same
            pair, shape (C, C), float64; None where it is not known.
    """

    binary: BinaryMaps
    products: npt.NDArray[np.float64] | None = None

    def of(self, channels: npt.NDArray[np.int64]) -> "Features":
        """The features of some channels, none of them empty."""
        maps = BinaryMaps(
            self.binary.matrix[channels], np.zeros(0, dtype=np.int64), self.binary.map_shape
        )
        chosen = None if self.products is None else self.products[np.ix_(channels, channels)]
        return Features(maps, chosen)

    def without_empty(self) -> "Features":
        """The features of the channels that are not empty."""
        return self.of(self.binary.nonempty)


def features_of(
    maps: npt.ArrayLike,
    window: int = DEFAULT_WINDOW,
    percentile: float = DEFAULT_PERCENTILE,
    products: npt.ArrayLike | None = None,
) -> Features:
    """What the channels of a layer are grouped by.

    Args:
        maps: Elementary influence maps, as in `preprocess`.
        window: Likewise.
        percentile: Likewise.
        products: Mean over pairs and pixels of the product of two channels' effects in the same
            pair, shape (C, C); some methods need them.

    Raises:
        InvalidInputError: The window, the percentile, the maps or the products are not allowed.
    """
    binary = preprocess(maps, window, percentile)
    return Features(binary, None if products is None else _checked(products, binary))


def _box_filter(maps: npt.NDArray[np.float64], window: int) -> npt.NDArray[np.float64]:
    """The mean over window x window pixels, nearest at the border.

    Not scipy's uniform_filter: its running sum leaves rounding errors behind a bump, which stand
    above the threshold where the rest of the map is zero. Here equal surroundings give equal means.
    """
    # Slow to import, and a server starts without it.
    from scipy.ndimage import correlate1d

    weights = np.full(window, 1.0 / window)
    down = correlate1d(maps, weights, axis=1, mode="nearest")
    return np.asarray(correlate1d(down, weights, axis=2, mode="nearest"), dtype=np.float64)


def _checked(products: npt.ArrayLike, binary: BinaryMaps) -> npt.NDArray[np.float64]:
    values = finite_array("products", products, "CC")
    channels = len(binary.matrix)
    if values.shape != (channels, channels):
        raise InvalidInputError(
            f"products have shape {values.shape}; the maps need ({channels}, {channels})",
            "products",
        )
    scale = np.abs(values).max()
    if np.abs(values - values.T).max() > _SYMMETRY * scale:
        raise InvalidInputError("products are not symmetric", "products")
    silent = np.setdiff1d(np.flatnonzero(values.diagonal() <= 0), binary.empty)
    if silent.size:
        raise InvalidInputError(
            f"products say that channel {silent[0]} has no effect, but its map is not flat; they "
            "must be of the same influence",
            "products",
        )
    lengths = np.sqrt(np.clip(values.diagonal(), 0, None))
    if (np.abs(values) > np.outer(lengths, lengths) * (1 + _SYMMETRY) + _SYMMETRY * scale).any():
        raise InvalidInputError(
            "products are larger than effects can give: no product of two channels exceeds the "
            "geometric mean of their own",
            "products",
        )
    return values
