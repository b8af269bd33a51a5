"""What a measure of independence finds, as arrays: of all pieces together.

Axes: S sets, K modules, T pairs of modules, L pairs of layers, B pairs of originals, F features, G
groups of pairs, H, W pixels, h, w those of a map of at most 128.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import (
    REALISM_MEASURES,
    Realism,
    SpectralScore,
    jackknife_stderr,
    ratio_of_sums,
    symmetric,
)
from graftscope.server.worth._measure import Found
from graftscope.server.worth._successive_layers import LayerPair

MIXTURE, DONOR, MODULE, FLOOR = "mixture", "donor", "module", "floor"
"""Each module of another donor; all of one; one module alone; samples."""

_SCORES = {
    "spectral": "score",
    "spectral_stderr": "stderr",
    "spectral_swapped": "swapped",
    "spectral_swapped_stderr": "swapped_stderr",
    "spectral_spread": "spread",
}


@dataclass(frozen=True, eq=False)
class Piece:
    """What is kept of some pairs.

    Attributes:
        features: (S, B, F).
        maps: (T, h, w) interaction, summed over pairs.
        both: (T, 2, B) interaction and effect of both modules in each pair.
        spill: (K, 2, B) change outside of the template and everywhere; no pairs where the template
            was taken from them.
        power: of each pair of layers.
    """

    features: NDArray[np.float32]
    maps: NDArray[np.float64]
    both: NDArray[np.float64]
    spill: NDArray[np.float64]
    power: list[NDArray[np.float64] | None]


def realism_arrays(
    kinds: Sequence[str], table: Sequence[Realism]
) -> dict[str, NDArray[np.float64]]:
    """Every set against samples, (S,), and the mixture less others, (6,), with standard errors.

    Differences are of sets of the same pairs, so their errors are smaller than those of the sets.

    Args:
        kinds: S words.
        table: S comparisons.
    """
    values = np.stack([x.values for x in table])  # (S, 6)
    left_out = np.stack([x.left_out for x in table], axis=1)  # (G, S, 6)
    errors = jackknife_stderr(left_out)
    found: dict[str, NDArray[np.float64]] = {}
    for i, name in enumerate(REALISM_MEASURES):
        found |= {name: values[:, i], f"{name}_stderr": errors[:, i]}
    mixture = list(kinds).index(MIXTURE)
    for name, kind in (("over_donor", DONOR), ("over_modules", MODULE), ("over_floor", FLOOR)):
        others = [i for i, each in enumerate(kinds) if each == kind]
        left = left_out[:, mixture] - left_out[:, others].mean(axis=1)
        found[name] = values[mixture] - values[others].mean(axis=0)
        found[f"{name}_stderr"] = jackknife_stderr(left)
    return found


def interaction_arrays(
    modules: int, pairs: int, pieces: Sequence[Piece]
) -> dict[str, NDArray[np.float64]]:
    """Interaction of every two of K modules, (K, K), and where, (T, h, w)."""
    parts, totals = np.concatenate([x.both for x in pieces], axis=2).swapaxes(0, 1)
    numbers, errors = ratio_of_sums(parts, totals)
    return {
        "interaction": symmetric(numbers, modules, alone=np.nan),
        "interaction_stderr": symmetric(errors, modules, alone=np.nan),
        "interaction_maps": np.sum([x.maps for x in pieces], axis=0) / pairs,
    }


def spill_arrays(
    pieces: Sequence[Piece], regions: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Spill of every module, (K,), and (K, H, W) what was inside."""
    outside, everywhere = np.concatenate([x.spill for x in pieces], axis=2).swapaxes(0, 1)
    spill, stderr = ratio_of_sums(outside, everywhere)
    return {
        "spill": spill,
        "spill_stderr": stderr,
        "area_outside": 1.0 - regions.mean(axis=(1, 2)),
        "regions": regions,
    }


def spectral_found(
    pairs: Sequence[LayerPair], scores: Sequence[tuple[SpectralScore | None, str]]
) -> Found:
    """The score of every two successive layers, (L,), or why there is none."""
    arrays: dict[str, NDArray[np.float64] | NDArray[np.int64]] = {
        name: np.array([np.nan if x is None else getattr(x, field) for x, _ in scores])
        for name, field in _SCORES.items()
    }
    counts = [0 if x is None else x.channel_pairs for x, _ in scores]
    arrays["spectral_pairs"] = np.array(counts, dtype=np.int64)
    return Found(
        arrays,
        {
            "upper": [x.upper.name for x in pairs],
            "lower": [x.lower for x in pairs],
            "absent": [absent for _, absent in scores],
        },
    )
