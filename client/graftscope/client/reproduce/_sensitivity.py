"""How much the modules depend on what the paper leaves open: window, percentile, pairs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from graftscope.client.figures.paper import ErrorBars, Sensitivity, Setting, Sweep, sensitivity
from graftscope.client.reproduce._claims import Picture, Reproduction
from graftscope.client.reproduce._fig5 import consistency_at
from graftscope.client.reproduce._measures import Measured, label_agreement
from graftscope.client.reproduce._study import VAE, K, Study
from graftscope.client.values import InfluenceResult, ModulesResult, StabilityResult

_WINDOWS = (1, 3, 5, 7)
_PERCENTILES = (60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0)
_DEFAULT_WINDOW, _DEFAULT_PERCENTILE = 3, 75.0


@dataclass(frozen=True, eq=False)
class _Varied:
    """What one value of a setting gives at one level."""

    modules: ModulesResult
    stability: StabilityResult


_Make = Callable[[str, float], _Varied]


def compare_settings(study: Study) -> Reproduction:
    """Vary one setting at a time, the others at their defaults, at every level."""
    levels = study.levels(VAE)
    default = {level: study.modules(study.maps(VAE, level)) for level in levels}
    most = study.scale.sweep[-1]
    longest = {level: study.modules(study.maps(VAE, level, pairs=most)) for level in levels}
    sweeps = [
        _sweep(Setting.WINDOW, _WINDOWS, _DEFAULT_WINDOW, _with_window(study), default),
        _sweep(
            Setting.PERCENTILE, _PERCENTILES, _DEFAULT_PERCENTILE, _with_percentile(study), default
        ),
        _sweep(Setting.PAIRS, study.scale.sweep, study.scale.pairs, _with_pairs(study), longest),
    ]
    return Reproduction(
        name="sensitivity",
        title="What the paper leaves open",
        pictures=[
            Picture(
                "sensitivity",
                f"Modules of {VAE} (NMF, K = {K}) when one setting is varied: share of channels "
                f"with the label that the default gives (for pairs: that {most:,} pairs give), "
                f"and label consistency with its standard deviation over {study.scale.repeats} "
                f"partitions. The default is marked. Originals from {study.source(VAE)}.",
                partial(sensitivity, Sensitivity(sweeps)),
            )
        ],
        numbers={
            sweep.setting.name.lower(): {
                "values": sweep.values,
                "levels": levels,
                "agreement": sweep.agreement.value,
                "consistency_mean": sweep.consistency.value,
                "consistency_sd": sweep.consistency.error,
            }
            for sweep in sweeps
        },
    )


def _with_window(study: Study) -> _Make:
    def make(level: str, value: float) -> _Varied:
        maps, window = study.maps(VAE, level), int(value)
        return _Varied(
            study.modules(maps, window=window), study.stability(maps, ks=(K,), window=window)
        )

    return make


def _with_percentile(study: Study) -> _Make:
    def make(level: str, value: float) -> _Varied:
        maps = study.maps(VAE, level)
        return _Varied(
            study.modules(maps, percentile=value),
            study.stability(maps, ks=(K,), percentile=value),
        )

    return make


def _with_pairs(study: Study) -> _Make:
    def make(level: str, value: float) -> _Varied:
        maps: InfluenceResult = study.maps(VAE, level, pairs=int(value))
        return _Varied(study.modules(maps), study.stability(maps, ks=(K,)))

    return make


def _sweep(
    setting: Setting,
    values: Sequence[float],
    default: float,
    make: _Make,
    reference: dict[str, ModulesResult],
) -> Sweep:
    agreement, consistency = [], []
    for level, usual in reference.items():
        found = [make(level, value) for value in values]
        agreement.append([_agreement(usual, each.modules) for each in found])
        consistency.append([_consistency(each.stability) for each in found])
    return Sweep(
        setting=setting,
        values=np.array(values, dtype=np.float64),
        default=default,
        levels=list(reference),
        agreement=_estimate(agreement),
        consistency=_estimate(consistency),
    )


def _agreement(usual: ModulesResult, other: ModulesResult) -> Measured:
    share, _ = label_agreement(usual.labels, other.labels, K)
    return Measured(share, math.sqrt(share * (1 - share) / len(usual.labels)))


def _consistency(found: StabilityResult) -> Measured:
    """The mean, and the standard deviation over partitions as in Fig. 5."""
    return Measured(consistency_at(found, K).mean, float(found.consistency_sd[0, 0]))


def _estimate(rows: list[list[Measured]]) -> ErrorBars:
    return ErrorBars(
        np.array([[cell.mean for cell in row] for row in rows]),
        np.array([[cell.stderr for cell in row] for row in rows]),
    )
