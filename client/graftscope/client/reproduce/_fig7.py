"""Fig. 7: the modules of a GAN of faces."""

from collections.abc import Mapping
from functools import partial

from graftscope.client.figures.paper import Stability, clusters, stability
from graftscope.client.reproduce._claims import Claim, Picture, Reproduction, verdict
from graftscope.client.reproduce._clustering import (
    cluster,
    clusters_caption,
    drawn,
    module_numbers,
    stability_caption,
    stability_drawn,
    stability_numbers,
)
from graftscope.client.reproduce._fig5 import consistency_at
from graftscope.client.reproduce._parts import module_of_parts
from graftscope.client.reproduce._seams import measure_seams, seam_claim
from graftscope.client.reproduce._study import GAN, K, Study
from graftscope.client.values import StabilityResult

_LEVEL = "intermediate"


def fig7(study: Study) -> Reproduction:
    """Run the procedure on the GAN at every level."""
    image_range = study.model(GAN).image.range
    levels = study.levels(GAN)
    main = cluster(study, GAN, _LEVEL)
    stable = {level: study.stability(study.maps(GAN, level)) for level in levels}
    parts = {level: _parts_at(study, level) for level in levels}
    borders = measure_seams(main)
    return Reproduction(
        name="fig7",
        title="Modules of a GAN of faces",
        pictures=[
            Picture(
                "fig7-clusters",
                clusters_caption(study, GAN, _LEVEL),
                partial(clusters, drawn(main, study.scale.shown, image_range)),
            ),
            Picture(
                "fig7-stability",
                stability_caption(study, GAN, "each level"),
                partial(stability, Stability([stability_drawn(x, stable[x]) for x in levels])),
            ),
        ],
        numbers={
            "modules": module_numbers(main),
            "stability": {level: stability_numbers(each) for level, each in stable.items()},
            "parts": parts,
            "seams": [vars(each) for each in borders],
        },
        claims=[
            _three_again(stable),
            _parts_claim(parts),
            seam_claim(borders, "4.2, Fig. 7"),
        ],
    )


def _parts_at(study: Study, level: str) -> dict[str, dict[str, object]]:
    return module_of_parts(study.modules(study.maps(GAN, level)).templates)


def _three_again(found: Mapping[str, StabilityResult]) -> Claim:
    suggested = {level: each.suggested[0] for level, each in found.items()}
    good = [level for level, each in suggested.items() if each.k == K]
    near = [level for level, each in suggested.items() if K in each.rivals]
    told = "; ".join(
        f"{level}: K = {each.k} (consistency {each.consistency:.2f}, chance {each.chance:.2f}; at "
        f"K = 3 {consistency_at(found[level], K).mean:.2f})"
        for level, each in suggested.items()
    )
    return Claim(
        section="4.2, Fig. 7",
        claim="For the GAN 3 clusters again seem optimal by stability.",
        measured=f"Largest excess over chance, NMF: {told}.",
        criterion=f"At K = 3 at the {_LEVEL} level; partly if there it cannot be told from the "
        "largest, or at another level.",
        verdict=verdict(agrees=_LEVEL in good, partly=bool(good or _LEVEL in near)),
    )


def _parts_claim(found: Mapping[str, Mapping[str, Mapping[str, object]]]) -> Claim:
    told, joined = [], []
    for level, parts in found.items():
        modules = {name: part["module"] for name, part in parts.items()}
        told.append(f"{level}: " + ", ".join(f"{name} {m}" for name, m in modules.items()))
        if modules["eyes"] == modules["mouth"] == modules["top of the head"]:
            joined.append(level)
    partly = [
        level
        for level, parts in found.items()
        if parts["eyes"]["module"] == parts["mouth"]["module"]
    ]
    return Claim(
        section="4.2, Fig. 7",
        claim="Eyes and mouth are associated with the top of the head in one cluster; the rest of "
        "the face, and the sides with hair and background, form the two others.",
        measured=f"Module whose template is strongest in each part: {'; '.join(told)}.",
        criterion=f"Eyes, mouth and top of the head in one module at the {_LEVEL} level; partly if "
        "at another, or if eyes and mouth share one without the top.",
        verdict=verdict(agrees=_LEVEL in joined, partly=bool(joined or partly)),
    )
