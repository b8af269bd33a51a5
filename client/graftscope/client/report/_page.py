"""What the page says: the report's numbers, in words. It must not know HTML."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures import module_color
from graftscope.client.report._confidence import ConfidenceWords, confidence_words, sure_words
from graftscope.client.report._data import LayerSection, ReportData
from graftscope.client.report._wording import (
    NO_BREAK,
    change_sentence,
    conclusive,
    number,
    pairs_words,
    percent,
    relative_error,
    stability,
    stability_words,
    unbroken,
    with_error,
)
from graftscope.client.report._worth_words import WorthPage, worth_page
from graftscope.client.report._zones import Place, describe_template, locate_template
from graftscope.client.values import told_pairs

_METHODS = {
    "nmf": "non-negative matrix factorisation",
    "kmeans": "k-means",
    "agglomerative": "agglomerative clustering",
}
_ORIGINALS = {
    "prior": "latents drawn from the generator's prior",
    "encoded": (
        "latents drawn from a Gaussian with the mean and covariance of real images' encodings"
    ),
}


@dataclass(frozen=True)
class ModuleRow:
    """One module's line in a layer's table, ready to print.

    ``size`` is its share of channels. ``sure``, ``confidence`` and ``purity`` are empty where they
    are not known.
    """

    index: int
    color: str
    size: float
    channels: str
    sure: str
    confidence: str
    purity: str
    members: str
    region: str
    place: str
    center: str
    influence: str
    inside: str
    outside: str
    ratio: str


@dataclass(frozen=True)
class LayerPage:
    """One layer's numbers, ready to print.

    Attributes:
        id: For links within the page.
        name: Its heading, such as ``Coarse layer``.
        rows: Its modules.
        unassigned: Channels that are in no module, or nothing.
        method: The clustering, in words.
        stability: What seeds and overlapping thirds say of the modules, or why they say nothing.
        overview: How sure and how stable modules are, in a few words, or nothing.
        purity: Median share of a channel's weight that is its own template's, or nothing.
        pairs: The pairs behind each map.
        confidence: How sure each channel's module is.
        error: Median standard error of an individual influence, relative to it; or nothing.
        verdict: Whether hybrids change what their template shows; nothing where all is too weak.
        check: The pairs behind the modules' own maps.
        strongest: The strongest channel and its individual influence.
        span: How many times the strongest channel's influence the weakest has.
        worth: What the modules are worth; None where nobody asked.
    """

    id: str
    name: str
    rows: tuple[ModuleRow, ...]
    unassigned: str
    method: str
    stability: str
    overview: str
    purity: str
    pairs: str
    confidence: ConfidenceWords
    error: str
    verdict: str
    check: str
    strongest: str
    span: str
    worth: WorthPage | None


def describe_originals(originals: str) -> str:
    """Say where originals come from."""
    return _ORIGINALS.get(originals, f"real images through the encoder: {originals}")


def layer_page(data: ReportData, section: LayerSection, place: int) -> LayerPage:
    """Put the numbers of the section that stands at ``place``, from 1, into words."""
    strongest = int(np.argmax(section.individual))
    influence, error = float(section.individual[strongest]), relative_error(section)
    return LayerPage(
        id=f"layer-{place}",
        name=f"{section.level.capitalize()} layer" if section.level else f"Layer {section.layer}",
        rows=tuple(_row(data, section, module) for module in range(section.modules)),
        unassigned=_numbers(section.members(-1)),
        method=_METHODS.get(section.method, section.method),
        stability=stability(data, section),
        overview=_overview(data, section),
        purity=_purity(section),
        pairs=told_pairs(section.pairs_of),
        confidence=confidence_words(section),
        error=percent(error, 1) if np.isfinite(error) else "",
        verdict=change_sentence(section) if conclusive(data, section) else "",
        check=pairs_words(section),
        strongest=(
            f"channel {section.channel_indices[strongest]} changes the average pixel by "
            f"{number(influence)}, {percent(influence / data.range_width, 1)} of the image range"
        ),
        span=_span(section),
        worth=None if section.worth is None else worth_page(section.worth),
    )


def _overview(data: ReportData, section: LayerSection) -> str:
    sure = sure_words(section)
    told = (
        f"{sure} channels are sure of their module" if sure else "",
        stability_words(data, section),
    )
    return "; ".join(filter(None, told))


def _row(data: ReportData, section: LayerSection, module: int) -> ModuleRow:
    template = section.templates[0, module]
    place = locate_template(template)
    members = section.members(module)
    inside, outside = (section.change[module] / data.range_width).tolist()
    influence = section.module_individual[module] / data.range_width
    stderr = section.module_individual_stderr[module] / data.range_width
    return ModuleRow(
        index=module,
        color=module_color(module),
        size=len(members) / len(section.maps),
        channels=f"{len(members)} of {len(section.maps)}",
        sure=sure_words(section, module),
        confidence=_mean(section.confidence[section.labels[0] == module]),
        purity=_mean(_purities(section)[section.labels[0] == module]),
        members=_numbers(members),
        region=place.region,
        place=unbroken(describe_template(template)),
        center=_center(place),
        influence=with_error(float(influence), float(stderr)),
        inside=percent(inside, 1),
        outside=percent(outside, 1),
        ratio=_times(inside, outside) if conclusive(data, section) else "",
    )


def _center(place: Place) -> str:
    if np.isnan(place.across):
        return ""
    return f"{percent(place.across)} across, {percent(place.down)} down"


def _times(inside: float, outside: float) -> str:
    known = np.isfinite(inside) and np.isfinite(outside) and outside > 0
    return f"{inside / outside:.1f}{NO_BREAK}times" if known else ""


def _numbers(channels: NDArray[np.integer]) -> str:
    return ",".join(str(channel) for channel in channels.tolist())


def _purity(section: LayerSection) -> str:
    mixed = _purities(section)
    return "" if np.isnan(mixed).all() else percent(float(np.nanmedian(mixed)))


def _purities(section: LayerSection) -> NDArray[np.float64]:
    """(C,) the share of its weights that a channel's largest is; NaN where that says nothing."""
    total = section.weights.sum(axis=1)
    if section.method != "nmf" or section.modules == 1:
        return np.full(len(total), np.nan)
    return np.where(total > 0, section.weights.max(axis=1) / np.where(total > 0, total, 1), np.nan)


def _mean(values: NDArray[np.float64]) -> str:
    """The mean of those that are known, or nothing."""
    known = values[np.isfinite(values)]
    return f"{known.mean():.2f}" if len(known) else ""


def _span(section: LayerSection) -> str:
    weakest = float(section.individual.min())
    if len(section.individual) < 2 or weakest <= 0:
        return ""
    return f"{section.individual.max() / weakest:.1f} times"
