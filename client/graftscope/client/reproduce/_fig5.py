"""Fig. 5: how stable modules are, by number and method, at every level of the VAE."""

from graftscope.client.arrays import mean_of_known
from graftscope.client.reproduce._clustering import (
    LEVEL,
    consistency_at,
    place_of,
    stability_numbers,
    stability_picture,
    suggested_by,
)
from graftscope.client.reproduce._measures import Measured, measured
from graftscope.client.reproduce._reproduction import Claim, Reproduction, verdict, verdict_at
from graftscope.client.reproduce._sample import resting_on, sample_of
from graftscope.client.reproduce._study import VAE, K, Study
from graftscope.client.values import Method, StabilityResult

_LARGE = 0.9
_CONSIDERABLE = 0.05
_COSINE = 0.85
_ERRORS = 2.0


def fig5(study: Study) -> Reproduction:
    """Compare NMF and k-means for K = 2 to 10 at each level."""
    maps = {level: study.maps(VAE, level) for level in study.levels(VAE)}
    found = {level: study.stability(each) for level, each in maps.items()}
    return Reproduction(
        name="fig5",
        title="Stability of modules",
        pictures=[stability_picture(study, "fig5", VAE, "each level", found)],
        numbers={level: stability_numbers(each) for level, each in found.items()},
        claims=resting_on(sample_of(maps.values()), stability_claims(found)),
    )


def stability_claims(found: dict[str, StabilityResult]) -> list[Claim]:
    """Lay the claims of section 4.1 beside every level's numbers."""
    return [
        _three_is_large(found),
        _four_drops(found),
        _nmf_above_kmeans(found),
        _cosine_at_three(found),
        _three_is_suggested(found),
    ]


def drop_after(found: StabilityResult, k: int) -> Measured:
    """How much NMF's consistency falls from K to K + 1, paired by partition."""
    row, at = place_of(found, k)
    return measured(found.consistency[row, at] - found.consistency[row, at + 1])


def _three_is_large(found: dict[str, StabilityResult]) -> Claim:
    values = {level: consistency_at(each, K) for level, each in found.items()}
    good = [level for level, value in values.items() if value.mean > _LARGE]
    return Claim(
        section="4.1, Fig. 5",
        claim="With 3 clusters label consistency is large, above 90 %.",
        measured=f"NMF at K = 3: {_told(values)}.",
        criterion="The mean is above 0.9 at the intermediate level; partly if at another only.",
        verdict=verdict_at(LEVEL, good),
    )


def _four_drops(found: dict[str, StabilityResult]) -> Claim:
    values = {level: drop_after(each, K) for level, each in found.items()}
    good = [
        level
        for level, value in values.items()
        if value.mean > max(_CONSIDERABLE, _ERRORS * value.stderr)
    ]
    return Claim(
        section="4.1, Fig. 5",
        claim="Consistency drops considerably from 3 to 4 clusters.",
        measured=f"NMF, K = 3 minus K = 4, paired: {_told(values)}.",
        criterion="The drop is above 0.05 and above two standard errors at the intermediate level; "
        "partly if at another only.",
        verdict=verdict_at(LEVEL, good),
    )


def _nmf_above_kmeans(found: dict[str, StabilityResult]) -> Claim:
    values = {}
    for level, each in found.items():
        rows = [each.methods.index(method) for method in (Method.NMF, Method.KMEANS)]
        difference = each.consistency[rows[0]] - each.consistency[rows[1]]  # (n, R)
        # All K of one partition see the same channels, so a partition is one value.
        values[level] = measured(mean_of_known(difference.T))
    good = [level for level, value in values.items() if value.mean > _ERRORS * value.stderr]
    return Claim(
        section="4.1, Fig. 5",
        claim="NMF-based clustering outperforms k-means.",
        measured=f"Consistency of NMF minus k-means, mean over K, paired: {_told(values)}.",
        criterion="Above two standard errors at every level; partly if at some.",
        verdict=verdict(agrees=len(good) == len(found), partly=bool(good)),
    )


def _cosine_at_three(found: dict[str, StabilityResult]) -> Claim:
    values = {level: measured(each.cosine[place_of(each, K)]) for level, each in found.items()}
    good = [level for level, value in values.items() if value.mean >= _COSINE]
    return Claim(
        section="4.1, Fig. 5",
        claim="With 3 clusters the average cosine similarity of matched templates is 0.9.",
        measured=f"NMF at K = 3: {_told(values)}.",
        criterion="0.85 or more at the intermediate level; partly if at another only.",
        verdict=verdict_at(LEVEL, good),
    )


def _three_is_suggested(found: dict[str, StabilityResult]) -> Claim:
    suggested, agreement = suggested_by(found)
    told = "; ".join(f"{level}: {each.reason}" for level, each in suggested.items())
    return Claim(
        section="4.1",
        claim="3 clusters are a reasonable choice.",
        measured=f"{told}.",
        criterion="K = 3 has the largest excess over chance at the intermediate level; partly if "
        "there it cannot be told from the largest, or has it at another level.",
        verdict=agreement,
    )


def _told(values: dict[str, Measured]) -> str:
    return ", ".join(f"{level} {value:.3f}" for level, value in values.items())
