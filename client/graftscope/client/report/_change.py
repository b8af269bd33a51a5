"""Whether hybrids change what their module's template shows (section 4.1), in numbers.

It must not know figures or the rest of the report: arrays in, arrays out.
"""

import numpy as np
from numpy.typing import NDArray

INSIDE_PERCENTILE = 75.0
"""A pixel is inside a template above this percentile of it: the threshold of section 3.3."""


def region_change(
    original1: NDArray[np.floating],
    hybrids: NDArray[np.floating],
    templates: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Compare how much a module's hybrids change inside and outside its template.

    Args:
        original1: (B, c, H, W) in the generator's own range.
        hybrids: (K, B, c, H, W), those of each module with the same originals.
        templates: (K, Hm, Wm); a template smaller than the image is enlarged by repetition.

    Returns:
        (K, 2) mean absolute difference from original 1, in image units: inside the template (its
        highest quarter of pixels) and outside. NaN where a flat template has no inside.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if hybrids.shape[1:] != original1.shape or len(hybrids) != len(templates):
        raise ValueError(
            f"original 1 {original1.shape}, hybrids {hybrids.shape}, templates {templates.shape}: "
            "they must be (B, c, H, W), (K, B, c, H, W) and (K, Hm, Wm)"
        )
    difference = np.abs(hybrids.astype(np.float64) - original1)  # (K, B, c, H, W)
    changes = difference.mean(axis=(1, 2))  # (K, H, W)
    inside = [_inside(template, changes.shape[1:]) for template in templates]
    return np.array(
        [
            [_mean(change[mask]), _mean(change[~mask])]
            for change, mask in zip(changes, inside, strict=True)
        ]
    )


def _inside(template: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows = np.arange(shape[0]) * template.shape[0] // shape[0]
    columns = np.arange(shape[1]) * template.shape[1] // shape[1]
    above: NDArray[np.bool_] = template > np.percentile(template, INSIDE_PERCENTILE)
    return above[np.ix_(rows, columns)]


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")
