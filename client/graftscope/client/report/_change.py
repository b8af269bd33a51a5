"""Whether a module changes what its template shows (section 4.1), in numbers.

It must not know figures or the rest of the report: arrays in, arrays out.
"""

import numpy as np
from numpy.typing import NDArray

INSIDE_PERCENTILE = 75.0
"""A pixel is inside a template from this percentile of it upwards: the threshold of section 3.3."""


def region_change(
    maps: NDArray[np.floating], templates: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compare how much modules change the picture inside and outside their templates.

    Args:
        maps: (K, H, W) influence maps of whole modules, in image units.
        templates: (K, H, W), in the same order.

    Returns:
        (K, 2) mean of each map, in image units: inside the template (its highest quarter of
        pixels) and outside. NaN where a flat template has no inside.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if maps.ndim != 3 or maps.shape != templates.shape:
        raise ValueError(
            f"maps have shape {maps.shape}, templates {templates.shape}: both must be (K, H, W)"
        )
    changes = maps.astype(np.float64)
    inside = [_inside(template) for template in templates]
    return np.array(
        [
            [_mean(change[mask]), _mean(change[~mask])]
            for change, mask in zip(changes, inside, strict=True)
        ]
    ).reshape(-1, 2)


def _inside(template: NDArray[np.floating]) -> NDArray[np.bool_]:
    # Where many pixels share the threshold they are all inside, but never the lowest ones.
    high = template >= np.percentile(template, INSIDE_PERCENTILE)
    inside: NDArray[np.bool_] = high & (template > template.min())
    return inside


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")
