"""How sure each channel's module is: in words, and as a chip a channel. It must not know HTML."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from graftscope.client.figures import module_color
from graftscope.client.report._data import LayerSection
from graftscope.client.report._wording import listing, number

LABELLED = 160
"""Up to so many channels each chip has its channel's number on it."""

_LEAST_SHOWN = 0.005


@dataclass(frozen=True)
class Chip:
    """One channel.

    Attributes:
        channel: Its number.
        sure: Whether other pairs would put it into the same module.
        colors: Those of the modules that it may belong to, its own first, as a gradient of CSS.
        words: The channel and those modules, for whoever points at it.
    """

    channel: int
    sure: bool
    colors: str
    words: str


@dataclass(frozen=True)
class Between:
    """Channels that are between the same modules: which modules, and which channels."""

    modules: str
    channels: tuple[int, ...]


@dataclass(frozen=True)
class ConfidenceWords:
    """How sure a layer's labels are.

    Attributes:
        unknown: Why nobody knows; empty where they are known.
        sure: Channels that are sure of their module, of how many.
        chips: Of each module's channels, the surest first.
        labelled: Whether there is room for channels' numbers.
        between: Channels that are between modules, together where the modules are the same.
    """

    unknown: str
    sure: str
    chips: tuple[tuple[Chip, ...], ...]
    labelled: bool
    between: tuple[Between, ...]


def confidence_words(section: LayerSection) -> ConfidenceWords:
    """Put how sure a layer's labels are into words and chips."""
    order = np.argsort(-np.nan_to_num(section.confidence), kind="stable")
    labels = section.labels[0]
    return ConfidenceWords(
        unknown=section.confidence_unknown,
        sure=sure_words(section),
        chips=tuple(
            tuple(_chip(section, int(i)) for i in order[labels[order] == module])
            for module in range(section.modules)
        ),
        labelled=len(labels) <= LABELLED,
        between=tuple(_between(section)),
    )


def sure_words(section: LayerSection, module: int | None = None) -> str:
    """How many of a module's channels, or of all, are sure of it: ``21 of 24``; or nothing."""
    of = section.labels[0] >= 0 if module is None else section.labels[0] == module
    if np.isnan(section.confidence[of]).all():
        return ""
    return f"{int(section.sure[of].sum())} of {int(of.sum())}"


def others(section: LayerSection) -> dict[int, tuple[int, ...]]:
    """The modules that a channel may belong to instead of its own, by its place in the maps."""
    labels = section.labels[0].tolist()
    return {
        each.channel: tuple(module for module in each.modules if module != labels[each.channel])
        for each in section.between
    }


def _chip(section: LayerSection, place: int) -> Chip:
    channel, own = int(section.channel_indices[place]), int(section.labels[0, place])
    found = np.nan_to_num(section.probabilities[place])
    ranked = sorted(range(len(found)), key=lambda module: (module != own, -found[module]))
    parts, end = [], 0.0
    for module in ranked:
        if found[module] > _LEAST_SHOWN:
            start, end = end, end + 100 * float(found[module])
            parts.append(f"{module_color(module)} {start:.0f}% {end:.0f}%")
    told = [
        f"module {module} ({number(float(found[module]))})"
        for module in ranked
        if found[module] > _LEAST_SHOWN
    ]
    return Chip(
        channel,
        bool(section.sure[place]),
        ", ".join(parts or ["transparent"]),
        f"channel {channel}: {listing(told) or 'not known'}",
    )


def _between(section: LayerSection) -> Iterator[Between]:
    found: dict[tuple[int, ...], list[int]] = {}
    for each in section.between:
        channel = int(section.channel_indices[each.channel])
        found.setdefault(tuple(sorted(each.modules)), []).append(channel)
    for modules, channels in sorted(found.items()):
        yield Between(listing([str(module) for module in modules]), tuple(sorted(channels)))
