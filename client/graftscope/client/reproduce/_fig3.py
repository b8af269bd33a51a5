"""Fig. 3: the VAE's modules, hybrids, and how much modules change the image."""

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from graftscope.client._results import InfluenceResult, ModulesResult
from graftscope.client._sweeps import MagnitudeResult, Regression
from graftscope.client.figures.paper import (
    Estimate,
    LayerMagnitude,
    LevelModules,
    Levels,
    Line,
    Magnitude,
    ModuleSeams,
    PureModule,
    Purity,
    Seams,
    clusters,
    levels,
    magnitude,
    purity,
    seams,
)
from graftscope.client.reproduce._claims import Claim, Picture, Reproduction, verdict
from graftscope.client.reproduce._clustering import Clustering, cluster, drawn, module_numbers
from graftscope.client.reproduce._magnitude_claims import magnitude_claims
from graftscope.client.reproduce._seams import SeamNumbers, measure_seams
from graftscope.client.reproduce._study import VAE, K, Study

_LEVEL = "intermediate"
_PURITIES = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_CONFIDENCE = 0.95
_SHOWN_PAIR = 0


def fig3(study: Study) -> Reproduction:
    """Run the whole procedure at every level, measure magnitudes, seams and purity."""
    image_range = study.model(VAE).image.range
    found = {level: cluster(study, VAE, level) for level in study.levels(VAE)}
    main = found[_LEVEL]
    sizes = study.magnitude(VAE)
    cost = purity_cost(study, main)
    borders = measure_seams(main)
    source = study.source(VAE)
    pictures = [
        Picture(
            "fig3-clusters",
            f"Modules of {VAE} at the {_LEVEL} level (NMF, K = {K}): template, influence maps of "
            "its purest channels, and hybrids of pairs that no map has seen: original 1 with the "
            f"module's channels from original 2. Maps over {study.scale.pairs:,} pairs, originals "
            f"from {source}.",
            partial(clusters, drawn(main, study.scale.shown, image_range)),
        ),
        Picture(
            "fig3-magnitude",
            "Individual influence of modules at the last three levels, K = 1 to 10. Top: mean over "
            "modules and standard deviation. Bottom: each module with its standard error, against "
            "the number of its channels (line a level) and against their share of the level's "
            f"(one line through all). Found on {study.scale.pairs:,} pairs, measured on as many "
            f"others; originals from {source}.",
            partial(magnitude, magnitude_drawn(study, sizes)),
        ),
        Picture(
            "fig3-levels",
            f"Coarse against fine: what K = {K} gives at each level, and the hybrids of one pair.",
            partial(levels, _levels_drawn(found, image_range)),
        ),
        Picture(
            "fig3-purity",
            "What excluding impure channels costs (the paper's result not shown): individual "
            "influence of each module without the channels below a purity, as a share of that with "
            f"all of them, on {study.scale.pairs:,} pairs that found neither; and how many stay.",
            partial(purity, cost),
        ),
        Picture(
            "fig3-seams",
            "Gradient energy along the border of each module's region, hybrids against the mean of "
            f"their originals, {study.scale.hybrids} pairs; bars are 95 % intervals of the ratio.",
            partial(seams, _seams_drawn(borders)),
        ),
    ]
    return Reproduction(
        name="fig3",
        title="Modules, hybrids and magnitudes of the VAE",
        pictures=pictures,
        numbers={
            "levels": {level: module_numbers(each) for level, each in found.items()},
            "magnitude": _magnitude_numbers(sizes),
            "purity": _purity_numbers(cost),
            "seams": [vars(each) for each in borders],
        },
        claims=[
            *magnitude_claims(study, sizes),
            _purity_claim(cost),
            seam_claim(borders, "4.1, Fig. 3"),
        ],
    )


def magnitude_drawn(study: Study, found: MagnitudeResult) -> Magnitude:
    """Make the figure's input."""
    model = study.model(found.model.partition("@")[0])
    rows = [model.layer(name) for name in found.layers]
    return Magnitude(
        layers=[
            LayerMagnitude(
                level=layer.level or layer.name,
                total=layer.channels,
                k=found.k[found.layer == layer.name],
                channels=found.channels[found.layer == layer.name],
                individual=Estimate(
                    found.individual_share[found.layer == layer.name],
                    found.individual_stderr[found.layer == layer.name] / found.range_width,
                ),
                on_channels=_line(line, found.range_width),
            )
            for layer, line in zip(rows, found.by_channels, strict=False)
        ],
        pooled=_line(found.by_share[-1], found.range_width),
    )


def purity_cost(study: Study, clustering: Clustering) -> Purity:
    """Measure modules without their impure channels, on pairs that found neither."""
    shares: list[NDArray[np.float64]] = []
    errors: list[NDArray[np.float64]] = []
    counts: list[list[int]] = []
    whole = _of_modules(clustering.fresh)
    for least in _PURITIES:
        kept = study.modules(clustering.maps, min_purity=least)
        counts.append([len(kept.members(module)) for module in range(K)])
        values, stderr = _measured_of(study, clustering, kept)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares.append(values / whole[0])
            errors.append(stderr / whole[0])
    return Purity(
        minimum=np.array(_PURITIES),
        modules=[
            PureModule(
                channels=np.array([count[module] for count in counts]),
                share=Estimate(
                    np.array([share[module] for share in shares]),
                    np.array([error[module] for error in errors]),
                ),
            )
            for module in range(K)
        ],
    )


def seam_claim(found: list[SeamNumbers], section: str) -> Claim:
    """Lay the claim that hybrids have no discontinuity beside what was measured."""
    told = "; ".join(
        f"module {each.module}: hybrids {each.ratio:.2f} [{each.low:.2f}, {each.high:.2f}], "
        f"pasted pixels {each.pasted_ratio:.2f} ± {each.pasted_stderr:.2f}"
        for each in found
    )
    good = [each for each in found if each.high < each.pasted_ratio and each.low <= 1.1]
    return Claim(
        section=section,
        claim="Hybrids respect the overall structure of the image: no discontinuity is introduced.",
        measured="Gradient energy along the module's border over that of the originals, with its "
        f"95 % interval, beside original 2's pixels pasted into original 1: {told}.",
        criterion="Every module's interval reaches down to 1.1 or below, and lies below what "
        "pasted pixels give; partly if some modules' do.",
        verdict=verdict(agrees=len(good) == len(found), partly=bool(good)),
    )


def _measured_of(
    study: Study, clustering: Clustering, kept: ModulesResult
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if (kept.labels < 0).all():
        return np.full(K, np.nan), np.full(K, np.nan)
    return _of_modules(study.fresh(clustering.maps, kept.labels, VAE))


def _of_modules(found: InfluenceResult) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Individual influence (K,) and its standard error (K,); NaN for a module without channels."""
    values, errors = np.full(K, np.nan), np.full(K, np.nan)
    values[found.channels] = found.individual
    errors[found.channels] = found.individual_stderr
    return values, errors


def _levels_drawn(found: dict[str, Clustering], image_range: tuple[float, float]) -> Levels:
    first = next(iter(found.values())).hybrids[0]
    return Levels(
        levels=[
            LevelModules(
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


def _seams_drawn(found: list[SeamNumbers]) -> Seams:
    return Seams(
        [
            ModuleSeams(
                np.array(each.originals), np.array(each.hybrids), each.ratio, (each.low, each.high)
            )
            for each in found
        ],
        _CONFIDENCE,
    )


def _line(line: Regression, width: float) -> Line:
    return Line(line.slope / width, line.intercept / width, line.r2)


def _magnitude_numbers(found: MagnitudeResult) -> dict[str, object]:
    return {
        "layers": found.layers,
        "range_width": found.range_width,
        "rows": {
            "layer": found.layer,
            "k": found.k,
            "module": found.module,
            "channels": found.channels,
            "share": found.share,
            "individual": found.individual,
            "individual_stderr": found.individual_stderr,
        },
        "by_share": [vars(line) for line in found.by_share],
        "by_channels": [vars(line) for line in found.by_channels],
    }


def _purity_numbers(found: Purity) -> dict[str, object]:
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


def _purity_claim(found: Purity) -> Claim:
    at = _PURITIES.index(0.6)
    values = [
        (m.channels[at], m.channels[0], m.share.value[at], m.share.error[at]) for m in found.modules
    ]
    told = "; ".join(
        f"module {j}: {kept} of {total} channels keep {100 * share:.0f} ± {100 * error:.0f} %"
        if math.isfinite(share)
        else f"module {j}: no channel of {total} is left"
        for j, (kept, total, share, error) in enumerate(values)
    )
    lost = [not math.isfinite(share) or share < 1 - 2 * error for _, _, share, error in values]
    return Claim(
        section="4.1",
        claim="Excluding maps that are not pure reduces the influence of interventions on modules "
        "(result not shown).",
        measured=f"Without channels of purity below 0.6: {told}.",
        criterion="Every module that loses channels loses influence, by more than two standard "
        "errors; partly if some do.",
        verdict=verdict(
            agrees=all(
                x for x, (kept, total, _, _) in zip(lost, values, strict=True) if kept < total
            )
            and any(kept < total for kept, total, _, _ in values),
            partly=any(lost),
        ),
    )
