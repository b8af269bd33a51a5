"""What excluding impure channels costs in influence (section 4.1, the paper's result not shown)."""

import math

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures.paper import ErrorBars, PureModule, Purity
from graftscope.client.reproduce._claims import Claim, verdict
from graftscope.client.reproduce._clustering import Clustering
from graftscope.client.reproduce._study import VAE, K, Study
from graftscope.client.values import InfluenceResult, ModulesResult

_PURITIES = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_CLAIMED = 0.6


def purity_cost(study: Study, clustering: Clustering) -> Purity:
    """Measure modules without their impure channels, on pairs that found neither.

    The share's standard error is that of what is left, over the whole module's influence: the
    pairs are the same, so the share itself varies less.
    """
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
                share=ErrorBars(
                    np.array([share[module] for share in shares]),
                    np.array([error[module] for error in errors]),
                ),
            )
            for module in range(K)
        ],
    )


def purity_numbers(found: Purity) -> dict[str, object]:
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


def purity_claim(found: Purity) -> Claim:
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
    lost = [
        not math.isfinite(share) or share < 1 - 2 * error
        for kept, total, share, error in values
        if kept < total
    ]
    return Claim(
        section="4.1",
        claim="Excluding maps that are not pure reduces the influence of interventions on modules "
        "(result not shown).",
        measured=f"Without channels of purity below {_CLAIMED}: {told}.",
        criterion="Every module that loses channels loses influence, by more than two standard "
        "errors; partly if some do.",
        verdict=verdict(agrees=bool(lost) and all(lost), partly=any(lost)),
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
