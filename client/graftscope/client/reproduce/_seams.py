"""Whether hybrids are torn along the borders of modules: gradient energy there.

Three things are compared on the same pixels: originals, hybrids, and original 2's pixels pasted
into original 1, which shows what a seam would measure.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures import paper
from graftscope.client.reproduce._clustering import Clustering
from graftscope.client.reproduce._measures import border, gradient_energy, pasted, regions
from graftscope.client.reproduce._reproduction import Claim, Verdict, verdict_of

_RESAMPLES = 2000
_CONFIDENCE = 0.95
_INTERVAL = (50 * (1 - _CONFIDENCE), 50 * (1 + _CONFIDENCE))
_SEAMLESS = 1.1


@dataclass(frozen=True)
class SeamNumbers:
    """Gradient energy along one module's border.

    Args:
        module: Which.
        border_pixels: How many pixels the border has.
        originals: Mean energy of the two originals, a value a pair.
        hybrids: Energy of the hybrid, a value a pair.
        ratio: Mean of the hybrids' over mean of the originals'.
        low: Lower end of its 95 % interval, over resampled pairs.
        high: Upper end.
        pasted_ratio: The same ratio for pasted pixels.
        pasted_stderr: Its standard error, over resampled pairs.
    """

    module: int
    border_pixels: int
    originals: list[float]
    hybrids: list[float]
    ratio: float
    low: float
    high: float
    pasted_ratio: float
    pasted_stderr: float


def measure_seams(clustering: Clustering) -> list[SeamNumbers]:
    """Measure the borders of every module that has channels and a border."""
    found = []
    masks = regions(clustering.modules.templates)
    for module, (region, made) in enumerate(zip(masks, clustering.hybrids, strict=True)):
        edge = border(region)
        if not clustering.modules.members(module) or not edge.any():
            continue
        scissors = pasted(made.original1, made.original2, region)
        originals = (_along(made.original1, edge) + _along(made.original2, edge)) / 2
        hybrids, cut = _along(made.hybrid, edge), _along(scissors, edge)
        ratios, cuts = _resampled(hybrids, originals), _resampled(cut, originals)
        low, high = np.percentile(ratios, _INTERVAL)
        found.append(
            SeamNumbers(
                module=module,
                border_pixels=int(edge.sum()),
                originals=originals.tolist(),
                hybrids=hybrids.tolist(),
                ratio=float(hybrids.mean() / originals.mean()),
                low=float(low),
                high=float(high),
                pasted_ratio=float(cut.mean() / originals.mean()),
                pasted_stderr=float(cuts.std(ddof=1)),
            )
        )
    return found


def seams_drawn(found: list[SeamNumbers]) -> paper.Seams:
    """Make the figure's input."""
    return paper.Seams(
        [
            paper.ModuleSeams(
                np.array(each.originals),
                np.array(each.hybrids),
                each.ratio,
                (each.low, each.high),
                each.module,
            )
            for each in found
        ],
        _CONFIDENCE,
    )


def seam_claim(found: list[SeamNumbers], section: str) -> Claim:
    """Lay the claim that hybrids have no discontinuity beside what was measured."""
    told = "; ".join(
        f"module {each.module}: hybrids {each.ratio:.2f} [{each.low:.2f}, {each.high:.2f}], "
        f"pasted pixels {each.pasted_ratio:.2f} ± {each.pasted_stderr:.2f}"
        for each in found
    )
    if not found:
        told = "no module has a border"
    return Claim(
        section=section,
        claim="Hybrids respect the overall structure of the image: no discontinuity is introduced.",
        measured="Gradient energy along the module's border over that of the originals, with its "
        f"95 % interval, beside original 2's pixels pasted into original 1: {told}.",
        criterion=f"Every module's interval reaches down to {_SEAMLESS} or below, and lies below "
        "what pasted pixels give; partly if some modules' do, and open where it reaches above "
        f"{_SEAMLESS} too.",
        verdict=verdict_of([_seamless(each) for each in found]) if found else Verdict.UNDECIDED,
    )


def _seamless(found: SeamNumbers) -> bool | None:
    """Whether a border is no seam; None where its interval holds both answers."""
    if found.low <= _SEAMLESS < found.high:
        return None
    return found.high < found.pasted_ratio and found.low <= _SEAMLESS


def _along(images: NDArray[np.floating], edge: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean gradient energy over the border's pixels, (P,)."""
    return np.asarray(gradient_energy(images)[:, edge].mean(axis=1), np.float64)


def _resampled(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratios of means over pairs drawn with replacement, the same pairs on both sides."""
    drawn = np.random.default_rng(0).integers(len(over), size=(_RESAMPLES, len(over)))
    return np.asarray(over[drawn].mean(axis=1) / under[drawn].mean(axis=1), np.float64)
