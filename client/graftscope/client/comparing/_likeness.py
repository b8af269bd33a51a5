"""How alike templates are, whatever their sizes.

Axis letters: A, B modules, H, W pixels, h, w pixels of the common size.
"""

import numpy as np
from numpy.typing import NDArray

from graftscope.client.finding import areas

FloatArray = NDArray[np.float64]

HALF = 0.5
"""A pixel is inside a template from this share of its highest value on."""


def to_common_size(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Average (A, H, W) and (B, H, W) templates over areas, to the smaller height and width."""
    height, width = (min(a.shape[axis], b.shape[axis]) for axis in (1, 2))
    return _averaged(a, height, width), _averaged(b, height, width)


def _averaged(templates: FloatArray, height: int, width: int) -> FloatArray:
    if templates.shape[1:] == (height, width):
        return templates
    rows, columns = areas(height, templates.shape[1]), areas(width, templates.shape[2])
    averaged: FloatArray = rows @ templates @ columns.T
    return averaged


def cosines(a: FloatArray, b: FloatArray) -> FloatArray:
    """(A, B) cosines between (A, h, w) and (B, h, w) templates; 0 for one that is zero."""
    flat = [_unit(each.reshape(len(each), -1)) for each in (a, b)]
    found: FloatArray = flat[0] @ flat[1].T
    return found


def correlations(a: FloatArray, b: FloatArray) -> FloatArray:
    """(A, B) correlations over pixels; 0 for a template that is the same everywhere."""
    flat = [each.reshape(len(each), -1) for each in (a, b)]
    centred = [_unit(each - each.mean(axis=1, keepdims=True)) for each in flat]
    found: FloatArray = centred[0] @ centred[1].T
    return found


def overlaps(a: FloatArray, b: FloatArray) -> FloatArray:
    """(A, B) intersection over union of the pixels inside; 0 where there are none."""
    inside = [_inside(each).reshape(len(each), -1).astype(np.float64) for each in (a, b)]
    common = inside[0] @ inside[1].T
    union = inside[0].sum(axis=1)[:, np.newaxis] + inside[1].sum(axis=1) - common
    found: FloatArray = common / np.where(union > 0, union, 1.0)
    return found


def _inside(templates: FloatArray) -> NDArray[np.bool_]:
    highest = templates.max(axis=(1, 2), keepdims=True)
    found: NDArray[np.bool_] = (templates >= HALF * highest) & (highest > 0)
    return found


def _unit(rows: FloatArray) -> FloatArray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    # What is left of a constant by rounding has no direction.
    known = length > 1e-12 * np.abs(rows).max(initial=1e-300)
    unit: FloatArray = np.where(known, rows / np.where(known, length, 1.0), 0.0)
    return unit
