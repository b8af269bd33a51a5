"""Fig. 2b: influence maps of single channels, at every level of the VAE."""

import math

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures import paper
from graftscope.client.reproduce._measures import map_correlation
from graftscope.client.reproduce._reproduction import Claim, Picture, Reproduction, verdict_of
from graftscope.client.reproduce._sample import noise_of
from graftscope.client.reproduce._study import VAE, Study
from graftscope.client.values import InfluenceResult

_SHOWN = 6
_UNLIKE = 0.5
_BEYOND = 2.0
"""More alike than any two maps are, whose cosine is at most 1."""


def fig2b(study: Study) -> Reproduction:
    """Compute maps of every channel and show those that are least alike."""
    found = {level: study.maps(VAE, level) for level in study.levels(VAE)}
    chosen = {level: representative(maps.maps, _SHOWN) for level, maps in found.items()}
    examples = paper.InfluenceExamples(
        [
            paper.LevelExamples(
                level=level,
                channels=chosen[level],
                maps=maps.maps[chosen[level]] / maps.range_width,
                individual=maps.individual_share[chosen[level]],
                total=len(maps.maps),
            )
            for level, maps in found.items()
        ]
    )
    alike = {level: _alike(maps.maps) for level, maps in found.items()}
    caption = (
        f"Influence maps of single channels of {VAE} at each level, {study.effort.pairs:,} pairs; "
        f"originals from {study.source(VAE)}. Shown are {_SHOWN} channels a level that are least "
        "alike, in the order in which they were chosen; lighter pixels change more. The number "
        "above a map is its channel and its individual influence in % of the image range."
    )
    return Reproduction(
        name="fig2b",
        title="Influence maps of single channels",
        pictures=[Picture("fig2b", caption, lambda: paper.influence_examples(examples))],
        numbers={
            level: {
                "channels_shown": chosen[level],
                "individual_share": maps.individual_share,
                "individual_share_stderr": maps.individual_stderr / maps.range_width,
                "median_correlation_between_maps": alike[level],
                "relative_stderr_median": _relative_error(maps),
            }
            for level, maps in found.items()
        },
        claims=[_segregated(alike, {level: noise_of(maps) for level, maps in found.items()})],
    )


def representative(maps: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Choose maps that are unlike each other: the strongest, then whatever is farthest from those.

    Args:
        maps: (C, H, W).
        count: How many, at most C.

    Returns:
        (count,) channels, in the order in which they were chosen; flat maps, which are like
        nothing, come last.
    """
    flat = maps.reshape(len(maps), -1)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = flat / np.where(norms > 0, norms, 1.0)
    chosen = [int(norms.argmax())]
    while len(chosen) < min(count, len(maps)):
        nearest = (unit @ unit[chosen].T).max(axis=1)
        nearest[norms[:, 0] == 0] = _BEYOND
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
    return np.array(chosen, dtype=np.int64)


def _alike(maps: NDArray[np.float64]) -> float:
    """The median correlation between the maps of two channels."""
    count = len(maps)
    pairs = [(i, j) for i in range(count) for j in range(i)]
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    return float(np.nanmedian(map_correlation(maps[first], maps[second])))


def _relative_error(maps: InfluenceResult) -> float:
    known = maps.individual > 0
    return float(np.median(maps.individual_stderr[known] / maps.individual[known]))


def _segregated(alike: dict[str, float], noise: dict[str, float]) -> Claim:
    told = ", ".join(f"{level} {value:.2f}" for level, value in alike.items())
    # Noise makes maps look less alike than they are, by the factor 1 / (1 + noise).
    below = [
        None
        if value < _UNLIKE <= value * (1 + noise[level]) or math.isnan(noise[level])
        else value < _UNLIKE
        for level, value in alike.items()
    ]
    return Claim(
        section="3.3, Fig. 2b",
        claim="Channels are functionally segregated to some extent: different channels influence "
        "different parts of the image.",
        measured=f"Median correlation between two channels' maps: {told}.",
        criterion=f"Below {_UNLIKE} at every level, also when the maps' noise, which makes them "
        "less alike, is taken out; partly if at some.",
        verdict=verdict_of(below),
        sample=f"noise: {', '.join(f'{each} {100 * part:.1f} %' for each, part in noise.items())} "
        "of what the maps show",
    )
