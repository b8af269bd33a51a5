"""Fig. 7: the modules of a GAN of faces."""

from collections.abc import Mapping

from graftscope.client.reproduce._clustering import (
    LEVEL,
    cluster,
    clusters_picture,
    consistency_at,
    module_numbers,
    stability_numbers,
    stability_picture,
    suggested_by,
)
from graftscope.client.reproduce._measures import module_of_parts, parts_told
from graftscope.client.reproduce._reproduction import Claim, Reproduction, verdict
from graftscope.client.reproduce._sample import resting_on, sample_of
from graftscope.client.reproduce._seams import measure_seams, seam_claim
from graftscope.client.reproduce._study import GAN, K, Study
from graftscope.client.values import StabilityResult


def fig7(study: Study) -> Reproduction:
    """Run the procedure on the GAN at every level."""
    main = cluster(study, GAN, LEVEL)
    maps = {level: study.maps(GAN, level) for level in study.levels(GAN)}
    stable = {level: study.stability(each) for level, each in maps.items()}
    parts = {level: _parts_at(study, level) for level in stable}
    borders = measure_seams(main)
    return Reproduction(
        name="fig7",
        title="Modules of a GAN of faces",
        pictures=[
            clusters_picture(study, "fig7-clusters", main),
            stability_picture(study, "fig7-stability", GAN, "each level", stable),
        ],
        numbers={
            "modules": module_numbers(main),
            "stability": {level: stability_numbers(each) for level, each in stable.items()},
            "parts": parts,
            "seams": [vars(each) for each in borders],
        },
        claims=[
            *resting_on(sample_of(maps.values()), [_three_again(stable), _parts_claim(parts)]),
            *resting_on(sample_of([main.maps]), [seam_claim(borders, "4.2, Fig. 7")]),
        ],
    )


def _parts_at(study: Study, level: str) -> dict[str, dict[str, object]]:
    return module_of_parts(study.modules(study.maps(GAN, level)).templates)


def _three_again(found: Mapping[str, StabilityResult]) -> Claim:
    suggested, agreement = suggested_by(found)
    told = "; ".join(
        f"{level}: K = {each.k} (consistency {each.consistency:.2f}, chance {each.chance:.2f}; at "
        f"K = 3 {consistency_at(found[level], K).mean:.2f})"
        for level, each in suggested.items()
    )
    return Claim(
        section="4.2, Fig. 7",
        claim="For the GAN 3 clusters again seem optimal by stability.",
        measured=f"Largest excess over chance, NMF: {told}.",
        criterion=f"At K = 3 at the {LEVEL} level; partly if there it cannot be told from the "
        "largest, or at another level.",
        verdict=agreement,
    )


def _parts_claim(found: Mapping[str, Mapping[str, Mapping[str, object]]]) -> Claim:
    joined, partly = [], False
    for level, parts in found.items():
        eyes, mouth, top = (parts[n]["module"] for n in ("eyes", "mouth", "top of the head"))
        partly = partly or eyes == mouth
        if eyes == mouth == top:
            joined.append(level)
    return Claim(
        section="4.2, Fig. 7",
        claim="Eyes and mouth are associated with the top of the head in one cluster; the rest of "
        "the face, and the sides with hair and background, form the two others.",
        measured=f"Module whose template is strongest in each part: {parts_told(found)}.",
        criterion=f"Eyes, mouth and top of the head in one module at the {LEVEL} level; partly if "
        "at another, or if eyes and mouth share one without the top.",
        verdict=verdict(agrees=LEVEL in joined, partly=partly),
    )
