"""When a report's numbers say nothing, or little: measured, and put in words.

A clustering always finds modules, also in noise, and seeds agree on it. So what the page praises
must first be large enough to matter, and known well enough.
It must not know the page.
"""

import numpy as np

from graftscope.client.report._data import LayerSection, ReportData
from graftscope.client.report._words import percent, plural

SAMPLES_DIFFER = 0.01
"""Samples differ when their mean standard deviation is at least this share of the range."""

CHANNELS_ACT = 0.001
"""A layer acts when its strongest channel changes the average pixel by this share of the range."""

ERROR_BOUND = 0.10
"""Pairs are few when the median relative standard error of individual influence is above this."""


def doubts(data: ReportData) -> tuple[str, ...]:
    """Say what was measured that makes the report doubtful.

    Returns:
        One sentence each, the gravest first; nothing where all is well.
    """
    found = []
    if not samples_differ(data):
        found.append(
            "The samples hardly differ from one another: over them, a pixel varies by only "
            f"{percent(_variation(data), 1)} of the image range (standard deviation, mean over "
            "pixels). The generator may not be trained; its modules then mean nothing."
        )
    for section in data.sections:
        found += _weak(data, section) + _uncertain(section, data.pairs)
    return tuple(found)


def samples_differ(data: ReportData) -> bool:
    """Whether the generator makes different samples; one alone is given the benefit of doubt."""
    return len(data.samples) < 2 or _variation(data) >= SAMPLES_DIFFER


def layer_acts(data: ReportData, section: LayerSection) -> bool:
    """Whether any channel of the layer changes the picture enough to speak of."""
    return _strongest(data, section) >= CHANNELS_ACT


def pairs_suffice(section: LayerSection) -> bool:
    """Whether individual influence is known well enough; never so from one pair."""
    return relative_error(section) <= ERROR_BOUND


def relative_error(section: LayerSection) -> float:
    """Median standard error of an individual influence relative to it; NaN where unknown."""
    known = np.isfinite(section.individual_stderr) & (section.individual > 0)
    if not known.any():
        return float("nan")
    return float(np.median(section.individual_stderr[known] / section.individual[known]))


def _weak(data: ReportData, section: LayerSection) -> list[str]:
    if layer_acts(data, section):
        return []
    return [
        f"In the {_name(section)} layer even the strongest channel changes the average pixel by "
        f"only {percent(_strongest(data, section), 1)} of the image range: too little to be seen. "
        "Modules of such channels may be those of noise."
    ]


def _uncertain(section: LayerSection, pairs: int) -> list[str]:
    if pairs_suffice(section):
        return []
    error = relative_error(section)
    known = "unknown" if np.isnan(error) else percent(error) + " in the median"
    return [
        f"{plural(pairs, 'pair')} are few: in the {_name(section)} layer the standard error of a "
        f"channel's individual influence is {known}. More pairs make it smaller."
        if pairs != 1
        else f"From one pair the {_name(section)} layer's standard errors are unknown."
    ]


def _variation(data: ReportData) -> float:
    spread = data.samples.std(axis=0, dtype=np.float64)  # (c, H, W)
    return float(spread.mean()) / data.range_width


def _strongest(data: ReportData, section: LayerSection) -> float:
    return float(section.individual.max()) / data.range_width


def _name(section: LayerSection) -> str:
    return section.level or section.layer
