"""How much modules change the image, and what that depends on (section 4.1, Fig. 3 right).

Axes: N modules, of all layers and all K together. This module must not know maps or generators.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, finite_array

POOLED = ""
"""Name of the regression over all layers."""


@dataclass(frozen=True)
class Regression:
    """A straight line by ordinary least squares.

    Attributes:
        layer: The layer's name, or `POOLED`.
        slope: Individual influence gained with a unit of the predictor.
        intercept: Individual influence at a predictor of 0.
        r2: Share of the variance that the line explains, 0 to 1; NaN where nothing varies.
        slope_stderr: Standard error of the slope as if rows were independent. They are not quite:
            modules of different K share channels.
        residual: Standard deviation of what the line leaves, in units of individual influence.
        rows: How many modules it went through.
    """

    layer: str
    slope: float
    intercept: float
    r2: float
    slope_stderr: float
    residual: float
    rows: int


@dataclass(frozen=True, eq=False)
class MagnitudeLines:
    """What individual influence depends on: a line a layer, then one through all of them.

    Attributes:
        by_share: Against the module's share of its layer's channels; L + 1 regressions.
        by_channels: Against the number of the module's channels, likewise.
    """

    by_share: tuple[Regression, ...]
    by_channels: tuple[Regression, ...]


def magnitude_lines(
    layers: Sequence[str],
    layer: npt.ArrayLike,
    channels: npt.ArrayLike,
    share: npt.ArrayLike,
    individual: npt.ArrayLike,
) -> MagnitudeLines:
    """Fits individual influence of modules to their size, layer by layer and pooled.

    Args:
        layers: Names, at least one.
        layer: Index into `layers` of each module, shape (N,).
        channels: Number of channels of each module, shape (N,).
        share: The same as a share of the layer's channels, shape (N,), 0 to 1.
        individual: Individual influence of each module, shape (N,).

    Returns:
        The lines.

    Raises:
        InvalidInputError: The columns differ in length or are not finite.
    """
    index = np.asarray(layer)
    columns = [
        finite_array(name, values, "N")
        for name, values in (("channels", channels), ("share", share), ("individual", individual))
    ]
    lengths = {len(index), *map(len, columns)}
    if len(lengths) > 1:
        raise InvalidInputError(f"columns have different lengths: {sorted(lengths)}", "individual")
    groups = [(name, index == i) for i, name in enumerate(layers)]
    groups.append((POOLED, np.ones(len(index), dtype=bool)))
    counts, shares, influence = columns
    return MagnitudeLines(
        tuple(fit_line(name, shares[rows], influence[rows]) for name, rows in groups),
        tuple(fit_line(name, counts[rows], influence[rows]) for name, rows in groups),
    )


def fit_line(
    layer: str, predictor: npt.NDArray[np.float64], influence: npt.NDArray[np.float64]
) -> Regression:
    """Fits a line; a predictor that does not vary has none, and its numbers are NaN."""
    from scipy.stats import linregress

    rows = len(predictor)
    if rows < 3 or np.ptp(predictor) == 0:
        nan = float("nan")
        return Regression(layer, nan, nan, nan, nan, nan, rows)
    line = linregress(predictor, influence)
    left = influence - (line.intercept + line.slope * predictor)
    return Regression(
        layer=layer,
        slope=float(line.slope),
        intercept=float(line.intercept),
        r2=float(line.rvalue**2),
        slope_stderr=float(line.stderr),
        residual=float(np.sqrt((left**2).sum() / (rows - 2))),
        rows=rows,
    )
