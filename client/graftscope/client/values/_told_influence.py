"""What is said of influence in a line: how it was computed, and when and why it stopped."""

import math
from collections.abc import Sequence

import numpy as np

from graftscope.client.values._contents import FloatArray, IntArray
from graftscope.client.values._influence import InfluenceResult
from graftscope.client.values._layers import LayersResult
from graftscope.client.values._stopping import (
    ConfidentLabels,
    RelativeError,
    StableLabels,
    Stopping,
    Together,
    bare,
)


def told_precision(result: InfluenceResult) -> str:
    """Say how far what ran is from float32, and what corrected it; empty where it was that."""
    execution = result.execution
    if execution.deviation is None:
        return ""
    if not result.corrected_pairs:
        return str(execution.deviation)
    return f"{execution.deviation}; corrected by float32 on {result.corrected_pairs:,} pairs"


def told_stop(result: InfluenceResult | LayersResult) -> str:
    """Say when and why a job stopped, or that its bound came first; empty without a rule."""
    parts = list(result.layers.values()) if isinstance(result, LayersResult) else [result]
    stopping = parts[0].stopping
    if stopping is None:
        return ""
    pairs = np.concatenate([part.pairs_of for part in parts])
    individual = np.concatenate([part.individual for part in parts])
    rule = bare(stopping.until)
    if isinstance(rule, ConfidentLabels):
        return _told_sure(parts[0], stopping, rule, pairs, int(np.count_nonzero(individual == 0)))
    told = _told_end(stopping, int(pairs.max()))
    error = _told_error(individual, stopping.relative_standard_error)
    match rule:
        case RelativeError():
            told += f"{error}, {rule.value:g} was asked for"
        case StableLabels():
            told += f"{_told_labels(stopping, rule)}; {error}"
    return f"{told}{_told_race(parts, stopping, pairs)}"


def _told_end(stopping: Stopping, pairs: int) -> str:
    if stopping.met:
        return f"stopped after {pairs:,} of at most {stopping.max_pairs:,} pairs: "
    return f"the bound of {stopping.max_pairs:,} pairs came first: "


def _told_sure(
    first: InfluenceResult, stopping: Stopping, rule: ConfidentLabels, pairs: IntArray, flat: int
) -> str:
    """Say how many labels are sure, and after how many pairs; flat maps have none."""
    spread = "stratified pairs" if first.stratified else "pairs"
    after = f"{pairs.max():,} {spread}"
    if pairs.min() < pairs.max():
        median = f"median {np.median(pairs):,.0f}"
        after = f"{pairs.min():,} to {after} a {first.subject.removesuffix('s')} ({median})"
    labels, modules = len(pairs) - flat, f"{rule.k} modules by {rule.method}"
    if math.isnan(stopping.label_probability):
        return f"after {after} no channel has a label among {modules}"
    sure = f"{max(stopping.settled - flat, 0)} of {labels} labels are sure"
    left_out = f"; {flat} without influence left out" if flat else ""
    return f"{sure} ({rule.probability:g}, {modules}) after {after}{left_out}"


def _told_race(parts: Sequence[InfluenceResult], stopping: Stopping, pairs: IntArray) -> str:
    """Say how many pairs the maps had, where they stopped one by one, and which did not."""
    if isinstance(stopping.until, Together | StableLabels):
        return ""
    unit, told = parts[0].subject or "maps", ""
    if pairs.min() < pairs.max():
        told = f"; {unit} had {np.median(pairs):,.0f} pairs (median), the most {pairs.max():,}"
    if stopping.met:
        return told
    return f"{told}; {len(pairs) - stopping.settled} of {len(pairs)} {unit} did not settle"


def _told_labels(stopping: Stopping, rule: StableLabels) -> str:
    labels = f"the labels of {rule.k} modules ({rule.method})"
    if stopping.met:
        return f"{labels} stayed the same over the last half of them"
    if math.isnan(stopping.label_agreement):
        return f"too few to tell whether {labels} stay the same"
    share = f"{100 * stopping.label_agreement:.0f}%"
    return f"{share} of {labels} stayed the same over the last half of them"


def _told_error(individual: FloatArray, error: float) -> str:
    flat = int(np.count_nonzero(individual == 0))
    if flat == len(individual):
        return "no map has any influence, so there is no relative standard error"
    left_out = f" ({flat} without influence left out)" if flat else ""
    return f"the largest relative standard error is {error:.4g}{left_out}"
