"""What the reproduction measures on pictures and maps: arrays in, numbers out.

Axes: P pairs, K modules, c colours, H, W pixels. It must not know clients, models or figures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import deviation_of_known, mean_of_known

Floats = NDArray[np.floating]
Masks = NDArray[np.bool_]

_MOST_MODULES = 7
"""Up to so many modules every renaming is tried."""

# Where parts of an aligned face lie, as shares of the image's height and width: CelebA's mean
# landmarks (eyes 69 and 108, 111; mouth 73 to 105, 152 of 178 x 218), through the crop of the
# central 148 x 148.
PARTS: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "eyes": ((0.46, 0.57), (0.30, 0.70)),
    "mouth": ((0.73, 0.85), (0.38, 0.62)),
    "top of the head": ((0.02, 0.15), (0.35, 0.65)),
    "cheeks and nose": ((0.58, 0.70), (0.35, 0.65)),
    "sides": ((0.10, 0.90), (0.00, 0.12)),
}
"""Rows (from, to) and columns (from, to)."""


@dataclass(frozen=True)
class Measured:
    """A mean with its standard error over pairs, or over repeats.

    Args:
        mean: The mean.
        stderr: Its standard error; NaN where there is one value.
    """

    mean: float
    stderr: float

    def __format__(self, number: str) -> str:
        """Both in one format of numbers, such as ``0.912 ± 0.003``."""
        return f"{self.mean:{number}} ± {self.stderr:{number}}"

    def exceeds(self, other: "Measured") -> bool:
        """Whether it is above another by more than two standard errors of the difference."""
        return self.mean - other.mean > 2 * math.hypot(self.stderr, other.stderr)


def measured(values: Floats) -> Measured:
    """Average what is known of (P,) values."""
    count = int(np.isfinite(values).sum())
    spread = float(deviation_of_known(values)) / math.sqrt(max(count, 1))
    return Measured(float(mean_of_known(values)), spread)


def means_and_errors(
    table: Sequence[Sequence[Measured]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Part a table into its means and their standard errors."""
    parts = np.array([[(cell.mean, cell.stderr) for cell in row] for row in table], np.float64)
    return parts[..., 0], parts[..., 1]


def gradient_energy(images: Floats) -> NDArray[np.float64]:
    """Squared differences of neighbouring pixels, averaged over colours.

    Args:
        images: (P, c, H, W).

    Returns:
        (P, H, W): at each pixel the mean over those of its four neighbours that there are.
    """
    values = np.asarray(images, np.float64)
    total = np.zeros((len(values), *values.shape[2:]))
    count = np.zeros(values.shape[2:])
    for axis in (2, 3):
        squared = (np.diff(values, axis=axis) ** 2).mean(axis=1)  # (P, h, w)
        low, high = (_along(axis - 1, side) for side in (slice(None, -1), slice(1, None)))
        for side in (low, high):
            total[side] += squared
            count[side[1:]] += 1
    return total / count


def regions(templates: Floats) -> Masks:
    """Divide the image between modules: each pixel goes to the template that is largest there.

    Args:
        templates: (K, H, W), each first divided by its own mean, as their scales differ.

    Returns:
        (K, H, W): one of the K is set at every pixel, none where every template is 0.
    """
    means = templates.mean(axis=(1, 2), keepdims=True)
    scaled = templates / np.where(means > 0, means, 1.0)
    winner = np.where(scaled.max(axis=0) > 0, scaled.argmax(axis=0), -1)
    return np.stack([winner == module for module in range(len(templates))])


def border(region: Masks) -> Masks:
    """Find a region's border: pixels with a neighbour on the other side, (H, W)."""
    found = np.zeros_like(region)
    for axis in (0, 1):
        differs = np.diff(region.astype(np.int8), axis=axis) != 0
        for side in (slice(None, -1), slice(1, None)):
            found[_along(axis, side)] |= differs
    return found


def pasted(original1: Floats, original2: Floats, region: Masks) -> Floats:
    """Cut original 2's pixels out and paste them into original 1, as scissors would.

    It is what no seam must look like: the comparison that shows that the measure can fail.
    """
    return np.where(region, original2, original1)


def overlay(original1: Floats, original2: Floats, hybrid: Floats, region: Masks) -> Floats:
    """Tell how much of original 1 still shows where a module took its place.

    In the region each hybrid is fitted as a mixture (1 - t) original 1 + t original 2; what
    remains of original 1 is 1 - t: 0 where it was replaced, 0.5 for a double exposure, 1 where
    nothing changed.

    Args:
        original1: (P, c, H, W).
        original2: The same shape.
        hybrid: The same shape.
        region: (H, W), where the module acts.

    Returns:
        (P,), NaN for a pair whose originals are equal there.
    """
    a, b, h = (np.asarray(x, np.float64)[:, :, region] for x in (original1, original2, hybrid))
    difference = b - a
    norm = (difference**2).sum(axis=(1, 2))
    share = ((h - a) * difference).sum(axis=(1, 2)) / np.where(norm > 0, norm, np.nan)
    return np.asarray(1.0 - share, np.float64)


def off_mixture(original1: Floats, original2: Floats, hybrid: Floats, region: Masks) -> Floats:
    """Tell how far hybrids are from any mixture of their originals in a region.

    Returns:
        (P,): what the best mixture leaves, as a share of the originals' mean squared difference.
    """
    a, b, h = (np.asarray(x, np.float64)[:, :, region] for x in (original1, original2, hybrid))
    t = 1.0 - overlay(original1, original2, hybrid, region)
    left = h - a - t[:, None, None] * (b - a)
    norm = ((b - a) ** 2).sum(axis=(1, 2))
    norm = np.where(norm > 0, norm, np.nan)
    return np.asarray((left**2).sum(axis=(1, 2)) / norm, np.float64)


def label_agreement(
    labels_a: NDArray[np.integer], labels_b: NDArray[np.integer], k: int
) -> tuple[float, tuple[int, ...]]:
    """Share of channels with one label in both, under the best renaming of the second.

    Channels in no module in both are left out.

    Args:
        labels_a: (C,), -1 for none.
        labels_b: The same channels.
        k: Number of modules, at most 7.

    Returns:
        From 0 to 1, NaN if no channel is left; and the renaming, b's module j being a's `[j]`.
    """
    if k > _MOST_MODULES:
        raise ValueError(f"k {k} is more than {_MOST_MODULES}, up to which renamings are tried")
    counted = (labels_a >= 0) | (labels_b >= 0)
    if not counted.any():
        return math.nan, tuple(range(k))
    a, b = labels_a[counted], labels_b[counted]

    def share(renaming: tuple[int, ...]) -> float:
        # The last entry is for -1, which no renaming touches.
        return float(np.mean(np.array([*renaming, -1])[b] == a))

    best = max(permutations(range(k)), key=share)
    return share(best), best


def agreement(labels_a: NDArray[np.integer], labels_b: NDArray[np.integer], k: int) -> Measured:
    """The share of `label_agreement`, with the standard error of a proportion of C channels."""
    share, _ = label_agreement(labels_a, labels_b, k)
    return Measured(share, math.sqrt(share * (1 - share) / len(labels_a)))


def map_correlation(maps_a: Floats, maps_b: Floats) -> NDArray[np.float64]:
    """Pearson's correlation over pixels of each channel's two maps, (C,)."""
    a, b = (x.reshape(len(x), -1) - x.mean(axis=(1, 2))[:, None] for x in (maps_a, maps_b))
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.where(norm > 0, norm, np.nan), np.float64)


def centre_ratio(maps: Floats) -> NDArray[np.float64]:
    """Mean influence in the central half of the image over that in the rest, (C,).

    The central half is a centred rectangle of half the area: sides 1/sqrt(2) of the image's.
    """
    height, width = maps.shape[1:]
    inside = np.zeros((height, width), dtype=bool)
    inside[_middle(height), _middle(width)] = True
    outside = maps[:, ~inside].mean(axis=1)
    return np.asarray(
        maps[:, inside].mean(axis=1) / np.where(outside > 0, outside, np.nan), np.float64
    )


def module_of_parts(templates: NDArray[np.float64]) -> dict[str, dict[str, object]]:
    """Tell which module paints each part of a face most.

    Args:
        templates: (K, H, W).

    Returns:
        For each part, `module` and every module's `strength` there: the template's mean in the
        part over its mean in the image.
    """
    height, width = templates.shape[1:]
    means = templates.mean(axis=(1, 2))
    found: dict[str, dict[str, object]] = {}
    for name, (rows, columns) in PARTS.items():
        part = templates[:, _part(rows, height), _part(columns, width)]
        strength = part.mean(axis=(1, 2)) / np.where(means > 0, means, 1.0)
        found[name] = {"module": int(strength.argmax()), "strength": strength}
    return found


def parts_told(found: Mapping[str, Mapping[str, Mapping[str, object]]]) -> str:
    """Say for every level which module paints each part most."""
    return "; ".join(
        f"{level}: " + ", ".join(f"{name} {part['module']}" for name, part in parts.items())
        for level, parts in found.items()
    )


def _part(part: tuple[float, float], length: int) -> slice:
    return slice(round(part[0] * length), max(round(part[1] * length), round(part[0] * length) + 1))


def _middle(length: int) -> slice:
    margin = round(length * (1 - math.sqrt(0.5)) / 2)
    return slice(margin, length - margin)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    """Index `part` of one axis, and all of those before it."""
    return (*(slice(None) for _ in range(axis)), part)
