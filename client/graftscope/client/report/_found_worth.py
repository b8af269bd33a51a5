"""What was measured of modules' worth to the report's values: results in, `LayerWorth` out."""

import math
from dataclasses import dataclass

import numpy as np

from graftscope.client.report._worth import Known, LayerWorth, ModuleWorth
from graftscope.client.values import FaithfulnessResult, IndependenceResult

_SAMPLES = 0
"""The reference, among a result's references."""


@dataclass(frozen=True, eq=False)
class WorthFindings:
    """What was measured of one layer's modules.

    Args:
        faithful: Whether their hybrids look like samples.
        independent: Whether they act by themselves.
    """

    faithful: FaithfulnessResult
    independent: IndependenceResult


def layer_worth(found: WorthFindings) -> LayerWorth:
    """Take what a report tells from the results of both analyses."""
    faithful, independent = found.faithful, found.independent
    kinds = list(faithful.kinds)
    modules = [place for place, kind in enumerate(kinds) if kind == "module"]
    against = faithful.against.index("count")
    return LayerWorth(
        modules=tuple(
            ModuleWorth(
                index=int(faithful.module[place]),
                distance=_known(
                    faithful.frechet[_SAMPLES, place], faithful.frechet_stderr[_SAMPLES, place]
                ),
                against=_known(
                    faithful.verdict[against, _SAMPLES, k],
                    faithful.verdict_stderr[against, _SAMPLES, k],
                ),
                spill=_known(independent.spill[k], independent.spill_stderr[k]),
                interaction=_with_others(independent, k),
            )
            for k, place in enumerate(modules)
        ),
        floor=float(faithful.frechet[_SAMPLES, kinds.index("floor")]),
        pasted=float(faithful.frechet[_SAMPLES, kinds.index("pasted")]),
        mixture=_set(independent, "mixture"),
        one_donor=_set(independent, "donor"),
        pairs=faithful.pairs,
        features=faithful.features,
        warning=faithful.warning,
    )


def _known(value: float, stderr: float) -> Known:
    return Known(float(value), float(stderr))


def _set(found: IndependenceResult, kind: str) -> Known:
    if kind not in found.kinds:
        return Known(math.nan, math.nan)
    at = found.kinds.index(kind)
    return _known(found.frechet[at], found.frechet_stderr[at])


def _with_others(found: IndependenceResult, k: int) -> Known:
    """The mean over the other modules; its error as if theirs went together, which bounds it."""
    row, errors = found.interaction[k], found.interaction_stderr[k]
    known = np.isfinite(row)
    if not known.any():
        return Known(math.nan, math.nan)
    return _known(row[known].mean(), errors[known].mean())
