"""What channels are grouped by: their binary maps, and for some methods their products.

Axes: C channels, P pixels. This module must not know how channels are grouped.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._checks import finite_array
from graftscope.server.analysis._errors import InvalidInputError
from graftscope.server.analysis._preprocess import (
    DEFAULT_PERCENTILE,
    DEFAULT_WINDOW,
    BinaryMaps,
    preprocess,
)

# Products are sums of squares over many pairs, the same in both triangles up to rounding.
_SYMMETRY = 1e-9


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
    """Makes features of influence maps; see `preprocess` and `find_modules`.

    Raises:
        InvalidInputError: The window, the percentile, the maps or the products are not allowed.
    """
    binary = preprocess(maps, window, percentile)
    return Features(binary, None if products is None else _checked(products, binary))


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
