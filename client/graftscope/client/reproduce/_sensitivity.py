"""How much the modules depend on what the paper leaves open: window, percentile, pairs."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from graftscope.client.figures import paper
from graftscope.client.figures.paper import Setting
from graftscope.client.reproduce._clustering import consistency_at
from graftscope.client.reproduce._measures import Measured, agreement, means_and_errors
from graftscope.client.reproduce._reproduction import Picture, Reproduction
from graftscope.client.reproduce._study import VAE, K, Study
from graftscope.client.values import ModulesResult, StabilityResult

_WINDOWS = (1, 3, 5, 7)
_PERCENTILES = (60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0)
_DEFAULT_WINDOW, _DEFAULT_PERCENTILE = 3, 75.0


def compare_settings(study: Study) -> Reproduction:
    """Vary one setting at a time, the others at their defaults, at every level."""
    levels = study.levels(VAE)
    default = {level: study.modules(study.maps(VAE, level)) for level in levels}
    most = study.effort.sweep[-1]
    longest = {level: study.modules(study.maps(VAE, level, pairs=most)) for level in levels}
    sweeps = [
        _sweep(study, Setting.WINDOW, _WINDOWS, _DEFAULT_WINDOW, default),
        _sweep(study, Setting.PERCENTILE, _PERCENTILES, _DEFAULT_PERCENTILE, default),
        _sweep(study, Setting.PAIRS, study.effort.sweep, study.effort.pairs, longest),
    ]
    return Reproduction(
        name="sensitivity",
        title="What the paper leaves open",
        pictures=[
            Picture(
                "sensitivity",
                f"Modules of {VAE} (NMF, K = {K}) when one setting is varied: share of channels "
                f"with the label that the default gives (for pairs: that {most:,} pairs give), "
                f"and label consistency with its standard deviation over {study.effort.repeats} "
                f"partitions. The default is marked. Originals from {study.source(VAE)}.",
                partial(paper.sensitivity, paper.Sensitivity(sweeps)),
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


def _sweep(
    study: Study,
    setting: Setting,
    values: Sequence[float],
    default: float,
    reference: dict[str, ModulesResult],
) -> paper.Sweep:
    """Vary a setting at every level; labels are compared with those of the reference."""
    same, consistency = [], []
    for level, usual in reference.items():
        found = [_varied(study, setting, level, value) for value in values]
        same.append([agreement(usual.labels, modules.labels, K) for modules, _ in found])
        consistency.append([_consistency(stability) for _, stability in found])
    return paper.Sweep(
        setting=setting,
        values=np.array(values, dtype=np.float64),
        default=default,
        levels=list(reference),
        agreement=paper.ErrorBars(*means_and_errors(same)),
        consistency=paper.ErrorBars(*means_and_errors(consistency)),
    )


def _varied(
    study: Study, setting: Setting, level: str, value: float
) -> tuple[ModulesResult, StabilityResult]:
    """What one value of a setting gives at one level."""
    maps = study.maps(VAE, level, pairs=int(value) if setting is Setting.PAIRS else None)
    window = int(value) if setting is Setting.WINDOW else _DEFAULT_WINDOW
    percentile = value if setting is Setting.PERCENTILE else _DEFAULT_PERCENTILE
    return (
        study.modules(maps, window=window, percentile=percentile),
        study.stability(maps, ks=(K,), window=window, percentile=percentile),
    )


def _consistency(found: StabilityResult) -> Measured:
    """The mean, and the standard deviation over partitions as in Fig. 5."""
    return Measured(consistency_at(found, K).mean, float(found.consistency_sd[0, 0]))
