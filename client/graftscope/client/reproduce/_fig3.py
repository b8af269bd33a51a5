"""Fig. 3: the VAE's modules, hybrids, and how much modules change the image."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from graftscope.client.figures.paper import (
    ErrorBars,
    LayerMagnitude,
    LevelModules,
    Levels,
    Line,
    Magnitude,
    clusters,
    levels,
    magnitude,
    purity,
    seams,
)
from graftscope.client.reproduce._claims import Picture, Reproduction
from graftscope.client.reproduce._clustering import (
    Clustering,
    cluster,
    clusters_caption,
    drawn,
    module_numbers,
)
from graftscope.client.reproduce._magnitude_claims import magnitude_claims
from graftscope.client.reproduce._parts import kinds_claim
from graftscope.client.reproduce._purity import purity_claim, purity_cost, purity_numbers
from graftscope.client.reproduce._seams import measure_seams, seam_claim, seams_drawn
from graftscope.client.reproduce._study import VAE, K, Study
from graftscope.client.values import MagnitudeResult, Regression

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEVEL = "intermediate"
_SHOWN_PAIR = 0


def fig3(study: Study) -> Reproduction:
    """Run the whole procedure at every level, measure magnitudes, seams and purity."""
    image_range = study.model(VAE).image.range
    found = {level: cluster(study, VAE, level) for level in study.levels(VAE)}
    main = found[_LEVEL]
    sizes = study.magnitude(VAE)
    cost = purity_cost(study, main)
    borders = measure_seams(main)
    drawings: dict[str, Callable[[], Figure]] = {
        "clusters": partial(clusters, drawn(main, study.scale.shown, image_range)),
        "magnitude": partial(magnitude, magnitude_drawn(study, sizes)),
        "levels": partial(levels, _levels_drawn(found, image_range)),
        "purity": partial(purity, cost),
    }
    if borders:
        drawings["seams"] = partial(seams, seams_drawn(borders))
    captions = _captions(study)
    return Reproduction(
        name="fig3",
        title="Modules, hybrids and magnitudes of the VAE",
        pictures=[Picture(f"fig3-{name}", captions[name], draw) for name, draw in drawings.items()],
        numbers={
            "levels": {level: module_numbers(each) for level, each in found.items()},
            "magnitude": _magnitude_numbers(sizes),
            "purity": purity_numbers(cost),
            "seams": [vars(each) for each in borders],
        },
        claims=[
            kinds_claim({level: each.modules.templates for level, each in found.items()}),
            *magnitude_claims(study, sizes),
            purity_claim(cost),
            seam_claim(borders, "4.1, Fig. 3"),
        ],
    )


def _captions(study: Study) -> dict[str, str]:
    pairs, source = f"{study.scale.pairs:,} pairs", study.source(VAE)
    return {
        "clusters": clusters_caption(study, VAE, _LEVEL),
        "magnitude": f"Individual influence of modules of {VAE} at the last three levels, K = 1 to "
        "10. Top: mean over modules and standard deviation. Bottom: each module with its standard "
        "error, against the number of its channels (a line a level) and against their share of the "
        f"level's (one line through all). Found on {pairs}, measured on as many others; originals "
        f"from {source}.",
        "levels": f"Coarse against fine: what K = {K} gives at each level of {VAE}, and the "
        f"hybrids of one pair. Maps over {pairs}, originals from {source}.",
        "purity": "What excluding impure channels costs (the paper's result not shown): individual "
        "influence of each module without the channels below a purity, as a share of that with "
        f"all of them, on {pairs} that found neither; and how many stay. {VAE}, {_LEVEL} level, "
        f"originals from {source}.",
        "seams": "Gradient energy along the border of each module's region, hybrids against the "
        f"mean of their originals, {study.scale.hybrids} pairs; bars are 95 % intervals of the "
        f"ratio. {VAE}, {_LEVEL} level, originals from {source}.",
    }


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
                individual=ErrorBars(
                    found.individual_share[found.layer == layer.name],
                    found.individual_stderr[found.layer == layer.name] / found.range_width,
                ),
                on_channels=_line(line, found.range_width),
            )
            for layer, line in zip(rows, found.by_channels, strict=False)
        ],
        pooled=_line(found.by_share[-1], found.range_width),
    )


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
