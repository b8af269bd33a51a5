"""What the page says: the report's numbers, in words. It must not know HTML."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures import module_color
from graftscope.client.report._data import LayerSection, ReportData
from graftscope.client.report._words import NO_BREAK, listing, number, percent, plural, unbroken
from graftscope.client.report._zones import describe_template, locate_template

AGREE_AT = 0.9
"""A seed agrees when at least this share of the channels keep the first seed's module."""

_METHODS = {"nmf": "non-negative matrix factorisation", "kmeans": "k-means"}
_ORIGINALS = {
    "prior": "latents drawn from the generator's prior",
    "encoded": (
        "latents drawn from a Gaussian with the mean and covariance of real images' encodings"
    ),
}


@dataclass(frozen=True)
class ModuleRow:
    """One module's line in a layer's table, ready to print."""

    index: int
    color: str
    channels: str
    members: str
    place: str
    center: str
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
        agreeing: How many seeds agree with the first, itself included.
        agreement: The smallest share of channels that keep their module, over the seeds.
        purity: Median share of a channel's weight that is its own template's, or nothing.
        error: Median standard error of an individual influence, relative to it; or nothing.
        verdict: Whether hybrids change what their template shows.
        strongest: The strongest channel and its individual influence.
        span: How many times the strongest channel's influence the weakest has.
    """

    id: str
    name: str
    rows: tuple[ModuleRow, ...]
    unassigned: str
    method: str
    agreeing: int
    agreement: str
    purity: str
    error: str
    verdict: str
    strongest: str
    span: str


def describe_originals(originals: str) -> str:
    """Say where originals come from."""
    return _ORIGINALS.get(originals, f"real images through the encoder: {originals}")


def layer_page(data: ReportData, section: LayerSection, place: int) -> LayerPage:
    """Put the numbers of the section that stands at ``place``, from 1, into words."""
    strongest = int(np.argmax(section.individual))
    influence = float(section.individual[strongest])
    return LayerPage(
        id=f"layer-{place}",
        name=f"{section.level.capitalize()} layer" if section.level else f"Layer {section.layer}",
        rows=tuple(_row(data, section, module) for module in range(section.modules)),
        unassigned=_numbers(section.members(-1)),
        method=_METHODS.get(section.method, section.method),
        agreeing=int(np.sum(section.agreement >= AGREE_AT)),
        agreement=percent(float(section.agreement.min())),
        purity=_purity(section),
        error=_relative_error(section),
        verdict=_verdict(section),
        strongest=(
            f"channel {section.channel_indices[strongest]} changes the average pixel by "
            f"{number(influence)}, {percent(influence / data.range_width, 1)} of the image range"
        ),
        span=_span(section),
    )


def _row(data: ReportData, section: LayerSection, module: int) -> ModuleRow:
    template = section.templates[0, module]
    place = locate_template(template)
    members = section.members(module)
    inside, outside = section.change[module].tolist()
    return ModuleRow(
        index=module,
        color=module_color(module),
        channels=f"{len(members)} of {len(section.maps)}",
        members=_numbers(members),
        place=unbroken(describe_template(template)),
        center=f"{percent(place.across)} across, {percent(place.down)} down",
        inside=percent(inside / data.range_width, 1),
        outside=percent(outside / data.range_width, 1),
        ratio=_times(inside, outside),
    )


def _verdict(section: LayerSection) -> str:
    """Which modules' hybrids change more inside their template than outside."""
    inside, outside = section.change.T
    within = [str(module) for module in np.flatnonzero(inside > outside)]
    if len(within) == section.modules == 1:
        return "The hybrids change more inside the template than outside."
    if len(within) == section.modules:
        every = "both" if len(within) == 2 else f"all {len(within)}"
        return f"The hybrids of {every} modules change more inside their template than outside."
    if not within:
        return "The hybrids of no module change more inside their template than outside."
    return (
        f"The hybrids of {'module' if len(within) == 1 else 'modules'} {listing(within)} change "
        "more inside their template than outside; those of the other modules do not."
    )


def _times(inside: float, outside: float) -> str:
    known = np.isfinite(inside) and np.isfinite(outside) and outside > 0
    return f"{inside / outside:.1f}{NO_BREAK}times" if known else ""


def _numbers(channels: NDArray[np.integer]) -> str:
    return ",".join(str(channel) for channel in channels.tolist())


def _purity(section: LayerSection) -> str:
    total = section.weights.sum(axis=1)
    mixed = section.weights[total > 0]
    if section.method == "kmeans" or section.modules == 1 or not len(mixed):
        return ""
    return percent(float(np.median(mixed.max(axis=1) / mixed.sum(axis=1))))


def _relative_error(section: LayerSection) -> str:
    known = np.isfinite(section.individual_stderr) & (section.individual > 0)
    if not known.any():
        return ""
    relative = section.individual_stderr[known] / section.individual[known]
    return percent(float(np.median(relative)), 1)


def _span(section: LayerSection) -> str:
    weakest = float(section.individual.min())
    if len(section.individual) < 2 or weakest <= 0:
        return ""
    return f"{section.individual.max() / weakest:.1f} times"


def agreement_sentence(page: LayerPage, section: LayerSection) -> str:
    """How many seeds of the clustering agree with the first."""
    seeds = len(section.seeds)
    if seeds == 1:
        return "The clustering ran with one seed, so nothing is said here of its stability."
    agree = f"{page.agreeing} of {plural(seeds, 'seed')} of the clustering agree"
    if section.agreement.min() == 1.0:
        return f"{agree}, on every channel."
    if page.agreeing == 1:
        agree = f"None of the other {plural(seeds - 1, 'seed')} of the clustering agrees"
    return (
        f"{agree} with the first on the modules of at least {percent(AGREE_AT)} of the channels; "
        f"the one least like the first agrees on {page.agreement}."
    )
