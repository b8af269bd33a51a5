"""Stability, magnitude, and the channels that act inside a region, as cards."""

import numpy as np

from graftscope.client.display._cards import Card, Table
from graftscope.client.display._numbers import percent, short
from graftscope.client.display._provenance import provenance_of
from graftscope.client.display._tiles import map_tile
from graftscope.client.finding import FoundChannels
from graftscope.client.values import MagnitudeResult, StabilityResult, SuggestedK
from graftscope.client.words import counted, number, with_spread

_FOUND = 12


def stability_card(value: StabilityResult) -> Card:
    """Show how far modules depend on channels."""
    rows = [
        [
            f"{method.value}, K = {k}" + (" ← suggested" if value.suggested[m].k == k else ""),
            with_spread(value.consistency_mean[m, n], value.consistency_sd[m, n]),
            number(value.chance[m, n]),
            with_spread(value.cosine_mean[m, n], value.cosine_sd[m, n]),
            f"{value.settled[m, n]} of {value.repeats}",
        ]
        for m, method in enumerate(value.methods)
        for n, k in _most_telling(value, m)
    ]
    heads = ["modules K", "label consistency ± sd", "by chance", "cosine ± sd", "cuts that settled"]
    caption = (
        "From 0 to 1, mean and standard deviation over cuts; what exceeds chance most comes first"
    )
    return Card(
        title="Stability",
        of="of modules, where they are found in other channels",
        tables=[Table(caption, heads, rows, of=value.consistency_mean.size)],
        notes=[told for each in value.suggested if (told := _told(each))],
        origin=provenance_of(value),
    )


def _most_telling(value: StabilityResult, method: int) -> list[tuple[int, int]]:
    """Places and numbers of modules, those whose consistency exceeds chance most first."""
    excess = np.nan_to_num(value.consistency_mean[method] - value.chance[method], nan=-1.0)
    most = max(2, 10 // len(value.methods))
    return [(at, int(value.k[at])) for at in np.argsort(-excess, kind="stable")[:most].tolist()]


def _told(each: SuggestedK) -> str:
    return each.reason and f"{each.method.value}: {each.reason}"


def magnitude_card(value: MagnitudeResult) -> Card:
    """Show how modules grow in influence."""
    percents = 100 / value.range_width
    lines = [
        [
            each.layer or "all layers",
            short(percents * each.slope, percents * each.slope_stderr),
            number(each.r2),
            f"{each.rows:,}",
        ]
        for each in value.by_share
    ]
    strongest = np.argsort(-value.individual, kind="stable")[:6].tolist()
    rows = [
        [
            f"{value.layer[at]}, module {value.module[at]} of {value.k[at]}",
            f"{value.channels[at]}",
            percent(value.share[at]),
            percent(value.individual_share[at], value.individual_stderr[at] / value.range_width),
        ]
        for at in strongest
    ]
    heads = ["layer", "% of range a whole layer ± se", "r²", "modules"]
    of_modules = ["module", "channels", "% of the layer", "influence, % of range ± se"]
    return Card(
        title="Magnitude",
        of="how much modules change the image as they grow",
        tables=[
            Table("Individual influence against the share of the layer's channels", heads, lines),
            Table("The strongest modules", of_modules, rows, of=len(value.k)),
        ],
        origin=provenance_of(value),
    )


def found_card(value: FoundChannels) -> Card:
    """Show the channels that act inside a region."""
    contrast = value.contrast
    tiles = [
        map_tile(value.region, "the region", "The region, white inside"),
        map_tile(value.found_map, "sum of the found", "Sum of the found channels' maps"),
    ]
    tiles += [
        map_tile(
            value.maps[channel],
            f"channel {channel}\n{number(contrast.score[channel])} x",
            f"Influence map of channel {channel}",
        )
        for channel in value.channels[:_FOUND]
    ]
    rows = [
        [
            f"{channel}" + ("" if value.labels[channel] == 0 else " (not found)"),
            number(contrast.score[channel]),
            short(contrast.inside[channel]),
            short(contrast.outside[channel]),
            "yes" if contrast.certain[channel] else "no",
        ]
        for channel in value.ranked[:8]
    ]
    heads = ["channel", "inside ÷ outside", "inside, image units", "outside", "certain"]
    return Card(
        title="Channels that act inside a region",
        of=f"{len(value.channels)} of {counted(len(value.labels), 'channel')} found",
        tiles=tiles,
        tiles_of=2 + len(value.channels),
        tiles_are="Maps are coloured to their own maximum; below each its influence inside ÷ "
        "outside.",
        tables=[Table("The highest scores first", heads, rows, of=len(value.labels))],
        origin=provenance_of(value),
    )
