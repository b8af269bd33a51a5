"""Fig. 3: the VAE's modules, hybrids, how much modules change the image, and what excluding impure
channels costs in that (section 4.1, the paper's result not shown).
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures import paper
from graftscope.client.reproduce._clustering import (
    LEVEL,
    Clustering,
    cluster,
    clusters_picture,
    influence_of_modules,
    module_numbers,
)
from graftscope.client.reproduce._magnitude import (
    magnitude_claims,
    magnitude_drawn,
    magnitude_numbers,
)
from graftscope.client.reproduce._measures import module_of_parts, parts_told
from graftscope.client.reproduce._reproduction import (
    Claim,
    Picture,
    Reproduction,
    Verdict,
    verdict_at,
    verdict_of,
)
from graftscope.client.reproduce._sample import resting_on, sample_of
from graftscope.client.reproduce._seams import measure_seams, seam_claim, seams_drawn
from graftscope.client.reproduce._study import VAE, K, Study
from graftscope.client.values import ModulesResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN_PAIR = 0
_PURITIES = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_CLAIMED = 0.6

_KINDS = ("sides", "cheeks and nose", "top of the head")
"""Where background, face and hair lie, if anywhere."""


def fig3(study: Study) -> Reproduction:
    """Run the whole procedure at every level, measure magnitudes, seams and purity."""
    found = {level: cluster(study, VAE, level) for level in study.levels(VAE)}
    main = found[LEVEL]
    sizes = study.magnitude(VAE)
    cost = purity_cost(study, main)
    borders = measure_seams(main)
    drawings: dict[str, Callable[[], Figure]] = {
        "magnitude": partial(paper.magnitude, magnitude_drawn(study, sizes)),
        "levels": partial(paper.levels, _levels_drawn(found, study.model(VAE).image.range)),
        "purity": partial(paper.purity, cost),
    }
    if borders:
        drawings["seams"] = partial(paper.seams, seams_drawn(borders))
    captions = _captions(study)
    return Reproduction(
        name="fig3",
        title="Modules, hybrids and magnitudes of the VAE",
        pictures=[
            clusters_picture(study, "fig3-clusters", main),
            *(Picture(f"fig3-{name}", captions[name], draw) for name, draw in drawings.items()),
        ],
        numbers={
            "levels": {level: module_numbers(each) for level, each in found.items()},
            "magnitude": magnitude_numbers(sizes),
            "purity": purity_numbers(cost),
            "seams": [vars(each) for each in borders],
        },
        claims=resting_on(
            sample_of(each.maps for each in found.values()),
            [
                kinds_claim({level: each.modules.templates for level, each in found.items()}),
                *magnitude_claims(study, sizes),
                purity_claim(cost),
                seam_claim(borders, "4.1, Fig. 3"),
            ],
        ),
    )


def _captions(study: Study) -> dict[str, str]:
    pairs, source = f"{study.effort.pairs:,} pairs", study.source(VAE)
    return {
        "magnitude": f"Individual influence of modules of {VAE} at the last three levels, K = 1 to "
        "10. Top: mean over modules and standard deviation. Bottom: each module with its standard "
        "error, against the number of its channels (a line a level) and against their share of the "
        f"level's (one line through all). Found on {pairs}, measured on as many others; originals "
        f"from {source}.",
        "levels": f"Coarse against fine: what K = {K} gives at each level of {VAE}, and the "
        f"hybrids of one pair. Maps over {pairs}, originals from {source}.",
        "purity": "What excluding impure channels costs (the paper's result not shown): individual "
        "influence of each module without the channels below a purity, as a share of that with "
        f"all of them, on {pairs} that found neither; and how many stay. {VAE}, {LEVEL} level, "
        f"originals from {source}.",
        "seams": "Gradient energy along the border of each module's region, hybrids against the "
        f"mean of their originals, {study.effort.hybrids} pairs; bars are 95 % intervals of the "
        f"ratio. {VAE}, {LEVEL} level, originals from {source}.",
    }


def kinds_claim(found: Mapping[str, NDArray[np.float64]]) -> Claim:
    """Lay the claim that modules are background, face and hair beside every level's templates.

    Args:
        found: Templates (K, H, W) by level.
    """
    modules = {level: module_of_parts(each) for level, each in found.items()}
    apart = {level: [parts[kind]["module"] for kind in _KINDS] for level, parts in modules.items()}
    good = [level for level, each in apart.items() if len(set(each)) == len(_KINDS)]
    face = [level for level, (sides, cheeks, _) in apart.items() if cheeks != sides]
    return Claim(
        section="4.1, Fig. 3",
        claim="With 3 clusters the templates are interpretable: one is associated to the "
        "background, one to the face and one to the hair.",
        measured=f"Module whose template is strongest in each part: {parts_told(modules)}.",
        criterion="Sides of the image, cheeks with nose, and top of the head are in three modules "
        "at the intermediate level; partly if there the face is in another than the sides, or at "
        "another level all three are apart.",
        verdict=verdict_at(LEVEL, good, face),
    )


def _levels_drawn(found: dict[str, Clustering], image_range: tuple[float, float]) -> paper.Levels:
    first = next(iter(found.values())).hybrids[0]
    return paper.Levels(
        levels=[
            paper.LevelModules(
                level=level,
                total=len(each.modules.labels),
                channels=np.array([len(each.modules.members(j)) for j in range(K)]),
                templates=each.modules.templates,
                hybrids=np.stack([made.hybrid[_SHOWN_PAIR] for made in each.hybrids]),
            )
            for level, each in found.items()
        ],
        original1=first.original1[_SHOWN_PAIR],
        original2=first.original2[_SHOWN_PAIR],
        image_range=image_range,
    )


def purity_cost(study: Study, clustering: Clustering) -> paper.Purity:
    """Measure modules without their impure channels, on pairs that found neither.

    The share's standard error is that of what is left, over the whole module's influence: the
    pairs are the same, so the share itself varies less.
    """
    counts, left = [], []
    for least in _PURITIES:
        kept = study.modules(clustering.maps, min_purity=least)
        counts.append([len(kept.members(module)) for module in range(K)])
        left.append(_measured_of(study, clustering, kept))
    whole, _ = influence_of_modules(clustering.fresh)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.array(left) / whole  # (purities, value and error, K)
    return paper.Purity(
        minimum=np.array(_PURITIES),
        modules=[
            paper.PureModule(np.array(channels), paper.ErrorBars(*share))
            for channels, share in zip(zip(*counts, strict=True), shares.T, strict=True)
        ],
    )


def purity_numbers(found: paper.Purity) -> dict[str, object]:
    """Make the numbers ready for JSON."""
    return {
        "min_purity": found.minimum,
        "modules": [
            {
                "channels": module.channels,
                "share_of_influence": module.share.value,
                "stderr": module.share.error,
            }
            for module in found.modules
        ],
    }


def purity_claim(found: paper.Purity) -> Claim:
    """Lay the paper's result not shown beside what was measured, at one purity."""
    at = _PURITIES.index(_CLAIMED)
    values = [
        (m.channels[at], m.channels[0], m.share.value[at], m.share.error[at]) for m in found.modules
    ]
    told = "; ".join(
        f"module {j}: {kept} of {total} channels keep {100 * share:.0f} ± {100 * error:.0f} %"
        if math.isfinite(share)
        else f"module {j}: no channel of {total} is left"
        for j, (kept, total, share, error) in enumerate(values)
    )
    lost = [_lost(share, error) for kept, total, share, error in values if kept < total]
    return Claim(
        section="4.1",
        claim="Excluding maps that are not pure reduces the influence of interventions on modules "
        "(result not shown).",
        measured=f"Without channels of purity below {_CLAIMED}: {told}.",
        criterion="Every module that loses channels loses influence, by more than two standard "
        "errors; partly if some do, and open where one is within them.",
        verdict=verdict_of(lost) if lost else Verdict.UNDECIDED,
    )


def _lost(share: float, error: float) -> bool | None:
    """Whether less than all is left; None where the error leaves that open."""
    if math.isfinite(share) and abs(share - 1) <= 2 * error:
        return None
    return not share > 1


def _measured_of(
    study: Study, clustering: Clustering, kept: ModulesResult
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if (kept.labels < 0).all():
        return np.full(K, np.nan), np.full(K, np.nan)
    return influence_of_modules(study.fresh(clustering.maps, kept.labels, VAE))
